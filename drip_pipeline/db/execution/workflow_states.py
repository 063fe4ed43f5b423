"""Workflow states: claiming, writing what a batch decided, and counting who is where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.binary_arrays import integers, random_uuids, unless_empty, uuids
from drip_pipeline.db.connection import Connection


def claim(
    connection: Connection,
    *,
    batch_size: int,
    now: datetime,
    shard: int = 0,
    shards: int = 1,
    from_marks: bool = False,
) -> list[tuple[Any, ...]]:
    """Lock up to `batch_size` due states; columns in the order of `DueState`, then the due time.
    `from_marks` reads each campaign from where the claims before came to."""
    return queries.many(
        connection,
        "claim_states",
        batch_size=batch_size,
        now=now,
        shard=shard,
        shards=shards,
        from_marks=from_marks,
    )


def mark_claimed(connection: Connection, due_from: Mapping[UUID, datetime], now: datetime) -> None:
    """Note how far a claim came, by campaign."""
    queries.run(
        connection,
        "mark_claimed",
        campaign_ids=list(due_from),
        due_from=list(due_from.values()),
        now=now,
    )


def lock_of_deliveries(
    connection: Connection, delivery_ids: Sequence[UUID], enrollment_ids: Sequence[UUID]
) -> list[tuple[Any, ...]]:
    """Lock the states parked on these deliveries; columns of `DueState`, the delivery's id, the
    campaign's status."""
    return queries.many(
        connection,
        "lock_states_of_deliveries",
        delivery_ids=uuids(delivery_ids),
        enrollment_ids=uuids(enrollment_ids),
    )


def write_transitions(connection: Connection, columns: Mapping[str, Any]) -> int:
    """Write a batch of transitions given as columns (see the query); the number of states moved."""
    people = {
        "state_id": uuids(columns["state_id"]),
        "member_group": integers(columns["member_group"]),
        "delivery_id": uuids(unless_empty(columns["delivery_id"])),
        "event_ids": random_uuids(columns["events_in_all"]),
    }
    named = {name: values for name, values in columns.items() if name != "events_in_all"}
    return int(queries.scalar(connection, "commit_transitions", **{**named, **people}))


def park_paused(connection: Connection, state_ids: Sequence[UUID], now: datetime) -> int:
    """Park states whose enrollment is paused."""
    return queries.run(connection, "park_paused_states", state_ids=state_ids, now=now)


def resume_unpaused(connection: Connection, now: datetime) -> int:
    """Bring states back whose enrollment is active again."""
    return queries.run(connection, "resume_unpaused_states", now=now)


def due_overview(
    connection: Connection, *, now: datetime, count_limit: int, shard: int = 0, shards: int = 1
) -> dict[str, Any]:
    """due_states and due_deliveries (counted up to the limit), next_state_at, next_delivery_at."""
    row = queries.one(
        connection,
        "due_overview",
        now=now,
        count_limit=count_limit,
        shard=shard,
        shards=shards,
    )
    assert row is not None
    return row


def population(connection: Connection, campaign_id: UUID | None = None) -> list[dict[str, Any]]:
    """entered, active, completed, exited, failed per campaign version."""
    return queries.rows(connection, "population_by_version", campaign_id=campaign_id)


def exits_by_reason(
    connection: Connection, campaign_id: UUID | None = None
) -> list[dict[str, Any]]:
    """People who exited, per campaign version and reason."""
    return queries.rows(connection, "exits_by_reason", campaign_id=campaign_id)


def spread_overdue(
    connection: Connection, campaign_id: UUID, *, spread_seconds: float, now: datetime
) -> int:
    """Spread a resumed campaign's overdue states and deliveries over a stretch of time."""
    named = {"campaign_id": campaign_id, "spread_seconds": spread_seconds, "now": now}
    return queries.run(connection, "spread_overdue_states", **named) + queries.run(
        connection, "spread_overdue_deliveries", **named
    )


def archive_open(connection: Connection, campaign_id: UUID, now: datetime) -> int:
    """End every open state of a campaign, and what it had still to send; the number of people."""
    queries.run(connection, "archive_open_deliveries", campaign_id=campaign_id, now=now)
    return int(queries.scalar(connection, "archive_open_states", campaign_id=campaign_id, now=now))


def requeue_failed(
    connection: Connection,
    *,
    campaign_id: UUID | None,
    batch_id: UUID | None,
    node_id: str | None,
    since: datetime | None,
    now: datetime,
) -> tuple[int, int]:
    """Failed deliveries and failed states back to due: (states, deliveries)."""
    named: dict[str, Any] = {
        "campaign_id": campaign_id,
        "batch_id": batch_id,
        "node_id": node_id,
        "since": since,
        "now": now,
    }
    deliveries = int(queries.scalar(connection, "requeue_failed_deliveries", **named))
    states = int(queries.scalar(connection, "requeue_failed_states", **named))
    return states, deliveries
