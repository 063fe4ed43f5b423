"""Resolve the recipients of staged events: by message id, by address and campaign, or by address
alone. Unresolved lines are returned with the reason, except refusals (unsubscriptions, complaints,
permanent bounces): their addresses are suppressed, whatever message or contact they name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.delivery.unknown_outcomes import UnknownDelivery
from drip_pipeline.db.events import ingestion as events_db
from drip_pipeline.db.events.ingestion import (
    DUPLICATE,
    NO_SUCH_MESSAGE,
    IdentifiedBy,
    RejectedLine,
)
from drip_pipeline.domain.events.vocabulary import EVENT_CLOCK_TOLERANCE
from drip_pipeline.engine.delivery.results import SettleContext
from drip_pipeline.engine.delivery.settle import by_channel, settle_accepted_late
from drip_pipeline.errors import NotAllowed, NotFound

NEVER_SENT: Final = "the message was never sent"


@dataclass(frozen=True, slots=True)
class WorkspaceScope:
    """The workspaces of the events. `only` restricts all events to a workspace; `default` is the
    workspace of addresses without a campaign.
    """

    only: UUID | None
    default: UUID | None


def scope_of(database: Database, workspace: str | None) -> WorkspaceScope:
    """Return the scope of a workspace, given by name or id.

    Without a workspace, events of all workspaces are ingested, and `default` is set if there is
    only one. Raises NotFound and, for an ambiguous name, NotAllowed.
    """
    with database.transaction(is_read_only=True) as connection:
        ids = events_db.workspaces(connection, workspace)
    if workspace is None:
        return WorkspaceScope(None, ids[0] if len(ids) == 1 else None)
    if not ids:
        raise NotFound("workspace", workspace)
    if len(ids) > 1:
        raise NotAllowed(
            f"several workspaces are named {workspace!r}", hint="Give its id instead of its name."
        )
    return WorkspaceScope(ids[0], ids[0])


class Refusals(NamedTuple):
    """The lines that are not resolved, and what was done for the refusals among the others.

    `without_contact` counts resolved lines that are no event of any contact, `extra_events` the
    events beyond one for a line, `suppressed` new entries of suppression lists.
    """

    rejected: list[RejectedLine]
    without_contact: int = 0
    extra_events: int = 0
    suppressed: int = 0


def take_refusals(
    connection: Connection,
    rejected: list[RejectedLine],
    scope: WorkspaceScope,
    *,
    source: str,
    now: datetime,
    is_retried: bool,
) -> Refusals:
    """Suppress the addresses of refusals among the unresolved lines, in the scope's workspace or,
    if there are several and none is named, in all of them.

    With `is_retried`, the caller ingests lines of unknown messages again: their addresses are
    suppressed at once where the workspace is certain, and the lines stay unresolved.
    """
    lines = [line for line, reason in rejected if reason != DUPLICATE]
    if not lines:
        return Refusals(rejected)
    waiting = {line for line, reason in rejected if is_retried and reason == NO_SUCH_MESSAGE}
    at_once = lines if scope.default else [line for line in lines if line not in waiting]
    suppressed = events_db.suppress_refused_addresses(
        connection, at_once, scope.default, source=source, now=now
    )
    resolved = events_db.resolve_refusals(
        connection, [line for line in lines if line not in waiting], scope.default, now=now
    )
    done = {line for line, _ in resolved}
    return Refusals(
        [line for line in rejected if line.line_number not in done],
        without_contact=sum(not contacts for _, contacts in resolved),
        extra_events=sum(max(contacts - 1, 0) for _, contacts in resolved),
        suppressed=suppressed,
    )


def resolve_recipients(
    connection: Connection,
    identified_by: frozenset[IdentifiedBy],
    scope: WorkspaceScope,
    *,
    batch_id: UUID,
    now: datetime,
) -> tuple[list[RejectedLine], int]:
    """Resolve the staged events.

    Returns the unresolved lines, and the number of deliveries with an unknown outcome that were
    settled because an event proves that they were sent.
    """
    rejected: list[RejectedLine] = []
    settled = 0
    if "provider_id" in identified_by:
        events_db.resolve_provider_refs(connection)
    if identified_by & {"message", "provider_id"}:
        unresolved = events_db.resolve_by_message(connection, scope.only)
        unsent: dict[int, UUID | None] = {}
        for line_number, reason, message_id in unresolved:
            if reason == NO_SUCH_MESSAGE:
                unsent[line_number] = message_id
            else:
                rejected.append(RejectedLine(line_number, reason))
        if unsent:
            still_unresolved, settled = _settle_reported(connection, unsent, scope, batch_id, now)
            rejected += still_unresolved
    if "campaign" in identified_by:
        rejected += events_db.resolve_by_campaign(connection, scope.only, EVENT_CLOCK_TOLERANCE)
    if "address" in identified_by:
        rejected += events_db.resolve_by_address(connection, scope.default)
    return rejected, settled


def _settle_reported(
    connection: Connection,
    unsent: Mapping[int, UUID | None],
    scope: WorkspaceScope,
    batch_id: UUID,
    now: datetime,
) -> tuple[list[RejectedLine], int]:
    """Settle deliveries with an unknown outcome as sent, because the provider reports on them.

    `unsent` maps line numbers to message ids that have no outcome row. Returns the lines that stay
    unresolved, and the number of deliveries settled.
    """
    ids = sorted({message_id for message_id in unsent.values() if message_id is not None})
    deliveries = events_db.lock_reported_deliveries(connection, scope.only, ids) if ids else []
    if not deliveries:
        return [RejectedLine(line, NO_SUCH_MESSAGE) for line in unsent], 0
    sent = [
        UnknownDelivery(delivery.id, delivery.enrollment_id, delivery.channel)
        for delivery in deliveries
        if delivery.status in ("sending", "unknown")
    ]
    for channel, unknown in by_channel(sent).items():
        settle_accepted_late(connection, unknown, SettleContext(channel, batch_id, now))
    existing = {delivery.id for delivery in deliveries}
    rejected = [
        RejectedLine(line, NEVER_SENT if message_id in existing else reason)
        for line, reason, message_id in events_db.resolve_by_message(
            connection, scope.only, list(unsent)
        )
    ]
    return rejected, len(sent)
