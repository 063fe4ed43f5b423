"""Seed lists of a workspace: named addresses and numbers that get test messages.

They are no contacts: campaigns, events and metrics never use them. Stored as a rule of the
workspace, which the engine's batches ignore.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from drip_pipeline.db.campaigns import workspace_rules as rules_db
from drip_pipeline.db.campaigns import workspaces as workspaces_db
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.domain.addresses import Unusable, parse_email, parse_phone
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.campaigns.workspaces import existing_workspace
from drip_pipeline.errors import NotAllowed, NotFound

SEEDS: Final = "seeds"
MOST_ADDRESSES: Final = 50
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class SeedList:
    """A seed list after a command; without addresses if it was removed."""

    workspace_id: UUID
    name: str
    addresses: tuple[str, ...]
    is_changed: bool = False


def checked_addresses(texts: Sequence[str], region: str | None) -> list[str]:
    """Return addresses and phone numbers in the form in which they are sent to, each once.

    `region` is the country of numbers without a country code. Raises NotAllowed for a text that is
    neither, by its place and not by itself, and for more than 50.
    """
    addresses: list[str] = []
    for place, text in enumerate(texts, 1):
        parsed = parse_email(text) if "@" in text else parse_phone(text, region)
        if isinstance(parsed, Unusable):
            raise NotAllowed(
                f"address {place} of {len(texts)} cannot be used: {parsed.reason}",
                hint="Give email addresses, and phone numbers such as +14155550123.",
            )
        addresses.append(parsed)
    addresses = list(dict.fromkeys(addresses))
    if len(addresses) > MOST_ADDRESSES:
        raise NotAllowed(f"{len(addresses)} addresses are too many: {MOST_ADDRESSES} at most")
    return addresses


def seed_lists(database: Database, workspace: str | None) -> list[SeedList]:
    """Return the seed lists of a workspace. Raises NotAllowed for an unknown workspace."""
    with database.transaction(is_read_only=True) as connection:
        workspace_id = existing_workspace(connection, workspace)
        return _stored(connection, workspace_id)


def seed_list(connection: Connection, workspace_id: UUID, name: str) -> SeedList:
    """Return one seed list. Raises NotFound with the names of those that exist."""
    lists = _stored(connection, workspace_id)
    for each in lists:
        if each.name == name:
            return each
    names = ", ".join(each.name for each in lists) or "none"
    raise NotFound(
        "seed list", name, hint=f"Existing: {names}. `drip workspace seeds set` creates one."
    )


def set_seeds(
    database: Database,
    workspace: str | None,
    name: str,
    texts: Sequence[str],
    *,
    now: datetime,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> SeedList:
    """Create a seed list, or replace its addresses.

    Raises NotAllowed for an unknown workspace, a name that is not of small letters, digits, `-`
    and `_`, and for addresses that cannot be used.
    """
    if not _NAME.fullmatch(name):
        raise NotAllowed(
            f"{name!r} is no name of a seed list", hint="Use small letters, digits, - and _."
        )
    with database.transaction() as connection:
        workspace_id = existing_workspace(connection, workspace)
        region = workspaces_db.regions(connection, [workspace_id])[workspace_id]
        addresses = checked_addresses(texts, region)
        is_changed = rules_db.store(
            connection,
            workspace_id,
            kind=SEEDS,
            name=name,
            config={"addresses": addresses},
            now=now,
        )
        if is_changed:
            details = {"seeds": name, "addresses": len(addresses)}
            _record(connection, actor, "set_seeds", workspace_id, workspace, details, now, reason)
    return SeedList(workspace_id, name, tuple(addresses), is_changed)


def remove_seeds(
    database: Database,
    workspace: str | None,
    name: str,
    *,
    now: datetime,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> SeedList:
    """Remove a seed list; one that does not exist is no error."""
    with database.transaction() as connection:
        workspace_id = existing_workspace(connection, workspace)
        is_changed = rules_db.delete(connection, workspace_id, kind=SEEDS, name=name)
        if is_changed:
            details: dict[str, object] = {"seeds": name}
            _record(
                connection, actor, "remove_seeds", workspace_id, workspace, details, now, reason
            )
    return SeedList(workspace_id, name, (), is_changed)


def _stored(connection: Connection, workspace_id: UUID) -> list[SeedList]:
    return [
        SeedList(workspace_id, row.name, tuple(row.config.get("addresses", ())))
        for row in rules_db.rules(connection, [workspace_id])
        if row.kind == SEEDS
    ]


def _record(
    connection: Connection,
    actor: Actor,
    action: str,
    workspace_id: UUID,
    workspace: str | None,
    details: dict[str, object],
    now: datetime,
    reason: str | None,
) -> None:
    subject = audit.Subject("workspace", workspace_id, workspace_id, workspace)
    audit.record(connection, actor, action, subject, now=now, reason=reason, details=details)
