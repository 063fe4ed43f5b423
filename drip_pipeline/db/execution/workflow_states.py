"""Workflow states: claim, write transitions, count, and change states in bulk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.binary_arrays import integers, random_uuids, unless_empty, uuids
from drip_pipeline.db.connection import Connection


class DueState(NamedTuple):
    """A locked workflow state that can be advanced.

    `id` is also the enrollment's id. `resume_port` is the port by which the state leaves its node,
    None when it is to enter the node.
    """

    id: UUID
    campaign_id: UUID
    campaign_version: int
    contact_id: UUID
    current_node_id: str
    resume_port: str | None
    retry_count: int
    max_retries: int
    steps_taken: int
    enrollment_status: str


class ClaimedStates(NamedTuple):
    """Locked states, and the due time of each in the same order."""

    states: list[DueState]
    due_times: list[datetime]


class DueOverview(NamedTuple):
    """Due work (counted up to a limit) and the times at which the next work is due."""

    due_states: int
    due_deliveries: int
    next_state_at: datetime | None
    next_delivery_at: datetime | None


class VersionPopulation(NamedTuple):
    """Enrollments of one campaign version by status.

    `entered` = `started` + `moved_in` - `moved_out` - `deleted` comes from the event log and the
    enrollments that were deleted with their contacts, the other counts from the states.
    """

    campaign_id: UUID
    campaign_name: str
    campaign_version: int
    entered: int
    started: int
    moved_in: int
    moved_out: int
    deleted: int
    active: int
    completed: int
    exited: int
    failed: int

    @property
    def is_balanced(self) -> bool:
        """Return whether every enrollment that entered is active or has ended."""
        return self.entered == self.active + self.completed + self.exited + self.failed


class ExitCount(NamedTuple):
    """Enrollments of one campaign version that exited for one reason."""

    campaign_id: UUID
    campaign_version: int
    exit_reason: str
    enrollments: int


def claim(
    connection: Connection,
    *,
    batch_size: int,
    now: datetime,
    shard: int = 0,
    shards: int = 1,
    from_watermarks: bool = False,
) -> ClaimedStates:
    """Lock up to `batch_size` due states until the transaction ends.

    With `from_watermarks` each campaign is read from its claim watermark on; shards ignore it.
    """
    rows = queries.many(
        connection,
        "claim_states",
        batch_size=batch_size,
        now=now,
        shard=shard,
        shards=shards,
        from_watermarks=from_watermarks,
    )
    return ClaimedStates([DueState._make(row[:-1]) for row in rows], [row[-1] for row in rows])


def write_watermarks(
    connection: Connection, due_from: Mapping[UUID, datetime], now: datetime
) -> None:
    """Store the claim watermark of each campaign."""
    queries.run(
        connection,
        "write_claim_watermarks",
        campaign_ids=list(due_from),
        due_from=list(due_from.values()),
        now=now,
    )


def write_transitions(connection: Connection, columns: Mapping[str, Any]) -> int:
    """Write a batch of transitions, given as columns of the query; return the states moved."""
    binary = {
        "state_id": uuids(columns["state_id"]),
        "member_group": integers(columns["member_group"]),
        "delivery_id": uuids(unless_empty(columns["delivery_id"])),
        "compared": list(unless_empty(columns["compared"])),
        "event_ids": random_uuids(columns["event_total"]),
    }
    others = {name: values for name, values in columns.items() if name != "event_total"}
    return int(queries.scalar(connection, "commit_transitions", **{**others, **binary}))


def park_paused(connection: Connection, state_ids: Sequence[UUID], now: datetime) -> int:
    """Suspend states whose enrollment is paused."""
    return queries.run(connection, "park_paused_states", state_ids=state_ids, now=now)


class UnpausedState(NamedTuple):
    """A suspended state whose enrollment is active again, and its contact."""

    id: UUID
    contact_id: UUID


def unpaused(connection: Connection) -> list[UnpausedState]:
    """Return suspended states whose enrollment is active again."""
    return queries.records(connection, "unpaused_states", UnpausedState)


def resume_unpaused(
    connection: Connection, now: datetime, ids: Sequence[UUID] | None = None
) -> int:
    """Resume suspended states whose enrollment is active again: all, or these."""
    return queries.run(
        connection, "resume_unpaused_states", now=now, ids=None if ids is None else list(ids)
    )


def due_overview(
    connection: Connection, *, now: datetime, count_limit: int, shard: int = 0, shards: int = 1
) -> DueOverview:
    """Count due states (of the shard) and due deliveries (of all shards), up to `count_limit`."""
    overview = queries.record(
        connection,
        "due_overview",
        DueOverview,
        now=now,
        count_limit=count_limit,
        shard=shard,
        shards=shards,
    )
    assert overview is not None
    return overview


def population(connection: Connection, campaign_id: UUID | None = None) -> list[VersionPopulation]:
    """Count the enrollments of each version, of one campaign or of all."""
    return queries.records(
        connection, "population_by_version", VersionPopulation, campaign_id=campaign_id
    )


def exits_by_reason(connection: Connection, campaign_id: UUID | None = None) -> list[ExitCount]:
    """Count the exited enrollments of each version by reason, of one campaign or of all."""
    return queries.records(connection, "exits_by_reason", ExitCount, campaign_id=campaign_id)


def spread_overdue(
    connection: Connection, campaign_id: UUID, *, spread_seconds: float, now: datetime
) -> int:
    """Spread a resumed campaign's overdue states and deliveries evenly over the next seconds."""
    params = {"campaign_id": campaign_id, "spread_seconds": spread_seconds, "now": now}
    return queries.run(connection, "spread_overdue_states", **params) + queries.run(
        connection, "spread_overdue_deliveries", **params
    )


def archive_open(connection: Connection, campaign_id: UUID, now: datetime) -> int:
    """Exit every open state of a campaign and skip its pending deliveries; return the states."""
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
    """Make failed states and deliveries due again; return (states, deliveries)."""
    params: dict[str, Any] = {
        "campaign_id": campaign_id,
        "batch_id": batch_id,
        "node_id": node_id,
        "since": since,
        "now": now,
    }
    deliveries = int(queries.scalar(connection, "requeue_failed_deliveries", **params))
    states = int(queries.scalar(connection, "requeue_failed_states", **params))
    return states, deliveries
