"""What the orchestration shows and decides by: the work ahead, and what one run did. Nothing here
writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


def other_pending_work(
    connection: Connection, *, now: datetime, count_limit: int
) -> dict[str, int]:
    """waiting_people, in_doubt and resumable, each counted up to the limit."""
    row = queries.one(connection, "other_pending_work", now=now, count_limit=count_limit)
    assert row is not None
    return row


def batches_of_run(connection: Connection, run_id: str, *, since: datetime) -> list[dict[str, Any]]:
    """The ledger's rows of a run that began (by the real clock) no earlier than `since`."""
    return queries.rows(connection, "batches_of_run", run_id=run_id, since=since)


def nodes_of_failed_batch(
    connection: Connection, run_id: str, step_key: str, *, since: datetime
) -> list[dict[str, Any]]:
    """Where the people of the latest failed batch of a step stood: batch_id, kind, size, campaign,
    version, node, people; most people first.
    """
    return queries.rows(
        connection, "nodes_of_failed_batch", run_id=run_id, step_key=step_key, since=since
    )


def events_logged_between(
    connection: Connection, first: datetime, last: datetime
) -> list[dict[str, Any]]:
    """event_type and events, from `first` to before `last`, most first."""
    return queries.rows(connection, "events_logged_between", first=first, last=last)


def due_without_channel(
    connection: Connection, channels: Sequence[str], now: datetime
) -> dict[str, int]:
    """Due messages per channel that is not among these."""
    found = queries.rows(connection, "due_without_channel", channels=sorted(channels), now=now)
    return {row["channel"]: row["messages"] for row in found}


def messages_waiting(connection: Connection, channels: Sequence[str]) -> list[dict[str, Any]]:
    """campaign, version, node and messages that wait to go out on these channels, most first."""
    return queries.rows(connection, "messages_waiting", channels=sorted(channels))


def ab_results_preview(connection: Connection, *, limit: int) -> list[dict[str, Any]]:
    """Variants of running tests, then of decided ones, the newest tests first."""
    return queries.rows(connection, "ab_results_preview", row_limit=limit)


def decisions_preview(connection: Connection, *, limit: int) -> list[dict[str, Any]]:
    """The latest decisions, newest first."""
    return queries.rows(connection, "decisions_preview", row_limit=limit)


def ab_test_row_counts(connection: Connection) -> dict[str, int]:
    """Rows of the results (`results`) and of the decisions (`decisions`), and tests `running`."""
    row = queries.one(connection, "ab_test_row_counts")
    assert row is not None
    return row


def outcomes_between(connection: Connection, first: date, last: date) -> list[dict[str, Any]]:
    """Messages sent from the first to the last day (of their workspace's time zone), and what
    became of them, per channel.
    """
    return queries.rows(connection, "outcomes_between", first=first, last=last)


def engine_rates(
    connection: Connection, *, since: datetime, until: datetime
) -> list[dict[str, Any]]:
    """Of the batches that ended in this stretch of real time: kind, outcome, batches, people,
    busy_ms and sizes, summed.
    """
    return queries.rows(connection, "engine_rates", since=since, until=until)


def engine_levels(connection: Connection) -> dict[str, int]:
    """Counts of sending, unknown and failed messages, failed people, stale days, open incidents."""
    row = queries.one(connection, "engine_levels")
    assert row is not None
    return row
