"""Queries of matchers: events with their properties, and the positions of the runs that ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.binary_arrays import uuids
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.db.unreadable import Unreadable
from drip_pipeline.domain.events.vocabulary import EVENT_CLOCK_TOLERANCE


class RunPositionRow(NamedTuple):
    """The beginning of a run, the time since which events of its contact end a wait, and its latest
    messages."""

    id: UUID
    started_at: datetime
    since: datetime
    email_id: UUID | None
    emailed_at: datetime | None
    sms_id: UUID | None
    texted_at: datetime | None


class OccurrenceRow(NamedTuple):
    """An event of a run; `belongs_to` is run, contact or other run."""

    enrollment_id: UUID
    event_id: UUID
    event_type: str
    occurred_at: datetime | Unreadable
    event_data: Mapping[str, Any] | Unreadable
    message_id: UUID | None
    node_id: str | None
    belongs_to: str


def run_positions(
    connection: Connection, state_ids: Sequence[UUID], *, with_messages: bool
) -> list[RunPositionRow]:
    """Return the positions of these runs; the latest messages only on request."""
    return queries.records(
        connection,
        "run_positions",
        RunPositionRow,
        state_ids=uuids(state_ids),
        with_messages=with_messages,
    )


def occurrences(
    connection: Connection,
    enrollment_ids: Sequence[UUID],
    contact_ids: Sequence[UUID],
    event_types: Sequence[str],
    any_types: Sequence[str],
) -> list[OccurrenceRow]:
    """Return the events of these types; the two lists of ids have the same order.

    Of `any_types` also those from before the run and of other runs.
    """
    rows, _ = queries.readable_records(
        connection,
        "occurrences",
        OccurrenceRow,
        enrollment_ids=uuids(enrollment_ids),
        contact_ids=uuids(contact_ids),
        event_types=list(event_types),
        any_types=list(any_types),
        tolerance=EVENT_CLOCK_TOLERANCE,
    )
    return rows


def waits_of_version(connection: Connection, campaign_id: UUID, version: int) -> list[DueState]:
    """Lock and return the waiting states of a version whose wait judges events one by one."""
    return queries.records(
        connection, "matched_waits_of_version", DueState, campaign_id=campaign_id, version=version
    )


def resume(
    connection: Connection, state_ids: Sequence[UUID], ports: Sequence[str], now: datetime
) -> int:
    """Let these waiting states leave their waits by these ports. Return their number."""
    return queries.run(
        connection, "resume_matched_waits", state_ids=uuids(state_ids), ports=list(ports), now=now
    )
