"""Read-only queries for Dagster and the metrics exporter: pending work, and what one run did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class OtherPendingWork(NamedTuple):
    """Work besides due states and deliveries; each count stops at the caller's limit."""

    waiting_states: int
    unknown_outcomes: int
    resumable_states: int


class RunBatch(NamedTuple):
    """A row of the batch log. `sizes` has counts by status (advance) or outcome (deliver)."""

    id: UUID
    kind: str
    outcome: str
    step_key: str | None
    engine_now: datetime
    duration_ms: int
    size: int
    sizes: Mapping[str, int]
    error: str | None


class FailedBatchNode(NamedTuple):
    """Enrollments at one node of a failed batch. `size` is the number of all in the batch."""

    batch_id: UUID
    kind: str
    size: int
    campaign: str | None
    version: int
    node: str
    enrollments: int


class EventCount(NamedTuple):
    """The number of events of one type."""

    event_type: str
    events: int


class WaitingMessages(NamedTuple):
    """Pending messages of one node."""

    campaign: str
    version: int
    node: str
    messages: int


class VariantPreview(NamedTuple):
    """Results of one variant. Rates are percentages."""

    campaign: str
    split: str
    variant: str
    sent: int
    opened_pct: Decimal | None
    clicked_pct: Decimal | None
    converted_pct: Decimal | None
    p_value: Decimal | None
    winner: bool


class DecisionPreview(NamedTuple):
    """One decision of an A/B test."""

    campaign: str
    split: str
    outcome: str
    winner: str | None
    decided_by: str
    reason: str
    decided_at: datetime


class AbTestRowCounts(NamedTuple):
    """Rows of the results and of the decisions, and running tests."""

    results: int
    decisions: int
    running: int


class ChannelOutcomes(NamedTuple):
    """Messages of one channel, and how many of them have each outcome."""

    channel: str
    messages: int
    delivered: int
    opened: int
    clicked: int
    replied: int
    converted: int
    unsubscribed: int
    bounced: int


class EngineRate(NamedTuple):
    """Batches of one kind and outcome, summed. `sizes` has the messages by outcome."""

    kind: str
    outcome: str
    batches: int
    enrollments: int
    busy_ms: int
    sizes: Mapping[str, int] | None


class EngineLevels(NamedTuple):
    """Counts of rows in states that an operator monitors."""

    sending: int
    unknown: int
    failed: int
    failed_enrollments: int
    stale_days: int
    open_incidents: int


def other_pending_work(
    connection: Connection, *, now: datetime, count_limit: int
) -> OtherPendingWork:
    """Count waiting states, expired unknown outcomes and resumable states, up to the limit."""
    row = queries.record(
        connection, "other_pending_work", OtherPendingWork, now=now, count_limit=count_limit
    )
    assert row is not None
    return row


def batches_of_run(connection: Connection, run_id: str, *, since: datetime) -> list[RunBatch]:
    """Return the batches of a Dagster run that started at `since` (wall clock) or later."""
    return queries.records(connection, "batches_of_run", RunBatch, run_id=run_id, since=since)


def nodes_of_failed_batch(
    connection: Connection, run_id: str, step_key: str, *, since: datetime
) -> list[FailedBatchNode]:
    """Return the nodes of the latest failed batch of a step, most enrollments first."""
    return queries.records(
        connection,
        "nodes_of_failed_batch",
        FailedBatchNode,
        run_id=run_id,
        step_key=step_key,
        since=since,
    )


def events_logged_between(
    connection: Connection, first: datetime, last: datetime
) -> list[EventCount]:
    """Count the events from `first` to before `last` by type, most first."""
    return queries.records(connection, "events_logged_between", EventCount, first=first, last=last)


def due_without_channel(
    connection: Connection, channels: Sequence[str], now: datetime
) -> dict[str, int]:
    """Return the number of due messages of each channel that is not in `channels`."""
    return dict(
        queries.tuples(connection, "due_without_channel", channels=sorted(channels), now=now)
    )


def messages_waiting(connection: Connection, channels: Sequence[str]) -> list[WaitingMessages]:
    """Return the nodes with pending messages on these channels, most messages first."""
    return queries.records(
        connection, "messages_waiting", WaitingMessages, channels=sorted(channels)
    )


def ab_results_preview(connection: Connection, *, limit: int) -> list[VariantPreview]:
    """Return variants of running tests, then of decided ones, the newest tests first."""
    return queries.records(connection, "ab_results_preview", VariantPreview, row_limit=limit)


def decisions_preview(connection: Connection, *, limit: int) -> list[DecisionPreview]:
    """Return the latest decisions, newest first."""
    return queries.records(connection, "decisions_preview", DecisionPreview, row_limit=limit)


def ab_test_row_counts(connection: Connection) -> AbTestRowCounts:
    """Count the rows of the A/B test tables."""
    row = queries.record(connection, "ab_test_row_counts", AbTestRowCounts)
    assert row is not None
    return row


def outcomes_between(connection: Connection, first: date, last: date) -> list[ChannelOutcomes]:
    """Count the outcomes of messages sent on these days (of their workspace), by channel."""
    return queries.records(connection, "outcomes_between", ChannelOutcomes, first=first, last=last)


def engine_rates(connection: Connection, *, since: datetime, until: datetime) -> list[EngineRate]:
    """Sum the batches that started in this range of wall-clock time, by kind and outcome."""
    return queries.records(connection, "engine_rates", EngineRate, since=since, until=until)


def engine_levels(connection: Connection) -> EngineLevels:
    """Count messages, enrollments, days and incidents in states that an operator monitors."""
    row = queries.record(connection, "engine_levels", EngineLevels)
    assert row is not None
    return row
