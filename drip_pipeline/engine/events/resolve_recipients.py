"""Finding out whose staged events are: by message, by address and campaign, by address alone. What
cannot be assigned comes back with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.delivery.unknown_outcomes import UnknownDelivery
from drip_pipeline.db.events import ingestion as events_db
from drip_pipeline.db.events.ingestion import NO_SUCH_MESSAGE, RejectedLine
from drip_pipeline.domain.events.vocabulary import EVENT_CLOCK_TOLERANCE
from drip_pipeline.engine.delivery.results import SettleContext
from drip_pipeline.engine.delivery.settle import by_channel, settle_accepted
from drip_pipeline.engine.events.event_parser import Named
from drip_pipeline.errors import NotAllowed, NotFound

NEVER_SENT: Final = "the message was never sent"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose events are taken: `only` restricts to a workspace, `alone` owns addresses that name no
    campaign.
    """

    only: UUID | None
    alone: UUID | None


def scope_of(database: Database, workspace: str | None) -> Scope:
    """The scope of a workspace given by name or id. Without one all events are taken, and an
    address alone belongs to the only workspace there is.
    """
    with database.transaction(is_read_only=True) as connection:
        found = events_db.workspaces(connection, workspace)
    if workspace is None:
        return Scope(None, found[0] if len(found) == 1 else None)
    if not found:
        raise NotFound("workspace", workspace)
    if len(found) > 1:
        raise NotAllowed(
            f"several workspaces are named {workspace!r}", hint="Give its id instead of its name."
        )
    return Scope(found[0], found[0])


def resolve(
    connection: Connection,
    named_by: frozenset[Named],
    scope: Scope,
    *,
    batch_id: UUID,
    now: datetime,
) -> tuple[list[RejectedLine], int]:
    """Take the staged events that belong to somebody. Gives back the lines that do not, and how
    many messages in doubt were settled because their provider speaks of them.
    """
    misfits: list[RejectedLine] = []
    settled = 0
    if "provider_id" in named_by:
        events_db.resolve_provider_refs(connection)
    if named_by & {"message", "provider_id"}:
        found = events_db.resolve_by_message(connection, scope.only)
        misfits += [(line, why) for line, why, _ in found if why != NO_SUCH_MESSAGE]
        unknown = {line: message for line, why, message in found if why == NO_SUCH_MESSAGE}
        if unknown:
            left, settled = _settle_doubts(connection, unknown, scope, batch_id, now)
            misfits += left
    if "campaign" in named_by:
        misfits += events_db.resolve_by_campaign(connection, scope.only, EVENT_CLOCK_TOLERANCE)
    if "address" in named_by:
        misfits += events_db.resolve_by_address(connection, scope.alone)
    return misfits, settled


def _settle_doubts(
    connection: Connection,
    unknown: Mapping[int, UUID | None],
    scope: Scope,
    batch_id: UUID,
    now: datetime,
) -> tuple[list[RejectedLine], int]:
    """A provider that speaks of a message has it: one in doubt is thereby settled as sent.

    `unknown` has the lines whose message is not known to have been sent.
    """
    ids = sorted({message for message in unknown.values() if message is not None})
    named = events_db.lock_deliveries(connection, scope.only, ids) if ids else []
    if not named:
        return [(line, NO_SUCH_MESSAGE) for line in unknown], 0
    sent = [
        UnknownDelivery(row["id"], row["enrollment_id"], row["channel"])
        for row in named
        if row["status"] in ("sending", "unknown")
    ]
    for channel, deliveries in by_channel(sent).items():
        settle_accepted(connection, deliveries, SettleContext(channel, batch_id, now))
    left = events_db.resolve_by_message(connection, scope.only, list(unknown))
    unsent = {row["id"] for row in named}
    misfits = [(line, NEVER_SENT if message in unsent else why) for line, why, message in left]
    return misfits, len(sent)
