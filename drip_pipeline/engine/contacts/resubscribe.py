"""Resubscribe a person: lift the suppressions of the contact and of its addresses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from drip_pipeline.db.campaigns import workspaces as workspaces_db
from drip_pipeline.db.connection import Database
from drip_pipeline.db.contacts import suppressions as suppressions_db
from drip_pipeline.domain.addresses import Unusable, clean, parse_phone
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.campaigns.workspaces import existing_workspace
from drip_pipeline.engine.erased_addresses import ErasureKeys, lift_erased
from drip_pipeline.errors import NotAllowed

_EVENT_OF: Final = {"email": "email_resubscribed", "sms": "sms_opted_in"}


@dataclass(frozen=True, slots=True)
class Resubscription:
    """The numbers of contacts of the address, of suppressions lifted, and of ended runs that no
    longer keep the contacts from entering their campaigns again.
    """

    contacts: int
    lifted: int
    reopened: int


def resubscribe(
    database: Database,
    who: str,
    *,
    reason: str,
    now: datetime,
    channel: str | None = None,
    workspace: str | None = None,
    keys: ErasureKeys | None = None,
    actor: Actor = LIBRARY,
) -> Resubscription:
    """Lift all suppressions of a contact, given by id or address, on a channel or on all of them.

    Unlike an event, it also lifts bounces, complaints and manual entries: the operator answers for
    it with the reason, which is logged as an event of the contact. With `keys`, an address that was
    suppressed when it was erased is free, too. Raises NotAllowed if neither a
    contact nor a suppression has the address.
    """
    contact_id = _uuid(who)
    address = None if contact_id else clean(who)
    with database.transaction() as connection:
        workspace_id = existing_workspace(connection, workspace)
        region = workspaces_db.regions(connection, [workspace_id])[workspace_id]
        contacts = suppressions_db.contacts_to_resubscribe(
            connection, workspace_id, contact_id, address
        )
        ids = [contact.id for contact in contacts]
        addresses = [address] if address else []
        for contact in contacts:
            addresses += [text for text in (contact.email, contact.phone) if text]
        numbers = (parse_phone(text, region) for text in addresses if "@" not in text)
        addresses += [number for number in numbers if not isinstance(number, Unusable)]
        lifted = suppressions_db.lift(connection, workspace_id, ids, addresses, channel)
        if keys is not None:
            lifted += lift_erased(connection, keys, workspace_id, addresses, channel)
        if not contacts and not lifted:
            raise NotAllowed(
                "the workspace has neither a contact nor a suppression with this address or id"
            )
        reopened = 0
        if channel != "sms":
            reopened = suppressions_db.reopen_enrollments(connection, ids)
        suppressions_db.log_resubscription(
            connection,
            workspace_id,
            ids,
            [_EVENT_OF[channel]] if channel else list(_EVENT_OF.values()),
            reason=reason,
            now=now,
        )
        if lifted or reopened:
            audit.record(
                connection,
                actor,
                "resubscribe",
                audit.Subject("contact", workspace_id, ids[0] if ids else None),
                now=now,
                reason=reason,
                details={
                    "channel": channel,
                    "contacts": len(ids),
                    "lifted": lifted,
                    "reopened": reopened,
                },
            )
    return Resubscription(len(contacts), lifted, reopened)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
