"""Erase a person, given by address or id: delete the contact, and complete its erasure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db.campaigns import workspaces as workspaces_db
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.privacy import erasures as erasures_db
from drip_pipeline.domain.addresses import Unusable, canonical_email, clean, parse_phone
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.campaigns.workspaces import existing_workspace
from drip_pipeline.engine.privacy.erase import ErasureReport, ErasureScope, erase_pending
from drip_pipeline.engine.privacy.identifiers import ERASED, Finder, Identifiers
from drip_pipeline.engine.progress import Progress
from drip_pipeline.errors import NotAllowed


class NamedPerson(NamedTuple):
    """The person that a command names: by a contact's id, an email address, or a phone number in
    E.164 form."""

    contact_id: UUID | None = None
    address: str | None = None
    number: str | None = None

    @classmethod
    def named(cls, who: str, region: str | None) -> NamedPerson:
        """Read an id, an email address or a phone number. Raises NotAllowed for anything else."""
        text = clean(who)
        try:
            return cls(contact_id=UUID(text))
        except ValueError:
            pass
        if "@" in text:
            return cls(address=canonical_email(text))
        number = parse_phone(text, region)
        if isinstance(number, Unusable):
            raise NotAllowed(
                "this is neither an id, nor an email address, nor a phone number",
                hint="Give a phone number with its country code, as in +14155550100.",
            )
        return cls(number=number)


@dataclass(frozen=True, slots=True)
class Erasure:
    """The contacts that were deleted, the ids that replace theirs, and whether all copies are gone:
    if not, for which reasons; the next ticks try again."""

    contacts: int
    ids: tuple[UUID, ...]
    is_complete: bool
    reasons: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def erase(
    database: Database,
    who: str,
    scope: ErasureScope,
    *,
    now: datetime,
    reason: str | None = None,
    workspace: str | None = None,
    accepts_missing: bool = False,
    actor: Actor = LIBRARY,
    progress: Progress | None = None,
) -> Erasure:
    """Erase a person from a workspace. Idempotent; an interrupted erasure is continued.

    An address without a contact is erased, too: from the suppression list, which remembers its
    hash, and from payloads and files. Raises NotAllowed for an unknown id or workspace.
    """
    with database.transaction() as connection:
        workspace_id = existing_workspace(connection, workspace)
        region = workspaces_db.regions(connection, [workspace_id])[workspace_id]
        person = NamedPerson.named(who, region)
        contact_ids, ids, is_new = _request(connection, workspace_id, person, now)
        for erasure_id in ids if is_new else ():
            audit.record(
                connection,
                actor,
                "erase",
                audit.Subject("contact", workspace_id, erasure_id),
                now=now,
                reason=_anonymous(reason, workspace_id, person, erasures_db.names(connection, ids)),
                details={"contacts": len(contact_ids)},
            )
    report: ErasureReport = erase_pending(
        database,
        scope,
        now=now,
        accepts_missing=accepts_missing,
        retries_at_once=True,
        progress=progress,
    )
    return Erasure(
        len(contact_ids), tuple(ids), not report.waiting, tuple(report.reasons), tuple(report.files)
    )


def _request(
    connection: Connection, workspace_id: UUID, person: NamedPerson, now: datetime
) -> tuple[list[UUID], list[UUID], bool]:
    """Delete the person's contacts. Return them, the ids of the person's erasures, and whether
    these are new."""
    contact_ids = erasures_db.contacts_to_erase(connection, workspace_id, *person)
    if len(contact_ids) > 1 and person.number is not None:
        raise NotAllowed(
            f"{len(contact_ids)} contacts have this phone number",
            hint="Name the contact by its email address or its id.",
        )
    if contact_ids:
        return contact_ids, erasures_db.delete_contacts(connection, contact_ids), True
    ids = erasures_db.requested(connection, workspace_id, *person)
    if ids:
        return [], ids, False
    if person.contact_id is not None:
        raise NotAllowed("no contact of this workspace has this id")
    erasure_id = erasures_db.request_address(
        connection, workspace_id, email=person.address, phone=person.number, now=now
    )
    return [], [erasure_id], True


def _anonymous(
    reason: str | None, workspace_id: UUID, person: NamedPerson, names: Sequence[str]
) -> str | None:
    """Return the reason without the person's address, id and name."""
    if reason is None:
        return None
    addresses = tuple(text for text in (person.address, person.number) if text)
    text = Finder([Identifiers(workspace_id, person.contact_id, addresses)]).replaced(
        reason, workspace_id
    )
    for name in names:
        text = re.sub(re.escape(name), ERASED, text, flags=re.IGNORECASE)
    return text
