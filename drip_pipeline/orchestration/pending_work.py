"""Read-only checks for sensors: pending work, and whether a run is still in progress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import dagster as dg

from drip_pipeline.db.ab_tests import evaluations as evaluations_db
from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import inbox as inbox_db
from drip_pipeline.db.execution import followed_waits as followed_db
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.db.metrics import daily_metrics as metrics_db
from drip_pipeline.db.operations import overview as overview_db
from drip_pipeline.engine.metrics.daily_metrics import days_to_refresh
from drip_pipeline.orchestration.partitions import day_ranges

COUNT_LIMIT: Final = 10_000
TIME_CHANGES_AFTER: Final = timedelta(minutes=10)
_UNFINISHED: Final = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True, slots=True)
class PendingWork:
    """The work of a tick that would start now. Counts stop at COUNT_LIMIT.

    `to_recover` counts expired messages of unknown outcome and resumed enrollments, which only a
    tick can advance. `has_changed_contacts`: contacts changed that waits follow.
    """

    due_states: int
    due_messages: int
    to_recover: int
    waiting_states: int
    next_at: datetime | None
    has_changed_contacts: bool = False

    @property
    def is_any(self) -> bool:
        """Return whether a run would have work."""
        return bool(
            self.due_states or self.due_messages or self.to_recover or self.has_changed_contacts
        )

    def describe(self) -> str:
        """Describe the work in one line for a skip reason or a log."""
        if self.is_any:
            recover = f", {_count(self.to_recover)} to recover" if self.to_recover else ""
            changed = ", changed contacts to follow" if self.has_changed_contacts else ""
            return (
                f"{_count(self.due_states)} enrollments and {_count(self.due_messages)} messages"
                f" due{recover}{changed}"
            )
        if self.next_at is None:
            return "nothing due; no enrollment is waiting for a time"
        return (
            f"nothing due; next at {self.next_at:%Y-%m-%d %H:%M:%S} UTC;"
            f" {_count(self.waiting_states)} enrollments waiting"
        )


def find_pending_work(database: Database, now: datetime) -> PendingWork:
    """Return the work that is due at `now`; changes nothing."""
    with database.transaction(is_read_only=True) as connection:
        due = states_db.due_overview(connection, now=now, count_limit=COUNT_LIMIT)
        followed = followed_db.work(connection, now)
        other = overview_db.other_pending_work(connection, now=now, count_limit=COUNT_LIMIT)
    times = [at for at in (due.next_state_at, due.next_delivery_at) if at is not None]
    return PendingWork(
        due_states=due.due_states,
        due_messages=due.due_deliveries,
        to_recover=other.unknown_outcomes + other.resumable_states,
        waiting_states=other.waiting_states,
        next_at=min(times, default=None),
        has_changed_contacts=followed.has_queue or followed.can_open,
    )


@dataclass(frozen=True, slots=True)
class PendingEvaluation:
    """Running tests: those with changed counts, and those that change only by time."""

    changed: int
    changing_by_time: int
    running: int

    def is_due(self, now: datetime, *, evaluated_at: str | None) -> bool:
        """Return whether to evaluate now; `evaluated_at` is the sensor's cursor, an ISO time."""
        if self.changed:
            return True
        last = datetime.fromisoformat(evaluated_at) if evaluated_at else None
        return bool(self.changing_by_time) and (last is None or now - last >= TIME_CHANGES_AFTER)

    def describe(self) -> str:
        """Describe the tests in one line for a skip reason."""
        if self.changed:
            return f"{self.changed:,} of {self.running:,} running tests have changed"
        return f"no running test has changed; {self.running:,} running"


def evaluation_pending(database: Database) -> PendingEvaluation:
    """Count the running tests by what changes them; changes nothing."""
    with database.transaction(is_read_only=True) as connection:
        tests = evaluations_db.overview(connection)
    return PendingEvaluation(
        changed=tests.changed + tests.uncounted,
        changing_by_time=tests.moved_by_time,
        running=tests.running,
    )


def ranges_to_compute(database: Database, now: datetime) -> list[tuple[date, date]]:
    """Return the days whose metrics may have changed, as (first, last) ranges without gaps.

    Return none if no message changed since its day was computed.
    """
    with database.transaction(is_read_only=True) as connection:
        today = metrics_db.latest_date(connection, now)
        marked = metrics_db.stale_dates(connection)
    if not day_ranges(marked, today):
        return []
    return day_ranges(days_to_refresh(database, now=now), today)


def describe_pending_inbox(database: Database, now: datetime) -> str | None:
    """Describe the due payloads of the inbox; None if there are none."""
    with database.transaction(is_read_only=True) as connection:
        rows, oldest_at = inbox_db.backlog(connection, now=now, count_limit=COUNT_LIMIT)
    if oldest_at is None:
        return None
    return f"{_count(rows)} payloads waiting, the oldest since {oldest_at:%Y-%m-%d %H:%M:%S} UTC"


def unfinished_run_id(instance: dg.DagsterInstance, tags: Mapping[str, str]) -> str | None:
    """Return the id of a queued or running run with these tags, or None."""
    return _run_id(instance, dg.RunsFilter(tags=dict(tags), statuses=_UNFINISHED))


def latest_run_id(instance: dg.DagsterInstance, tags: Mapping[str, str]) -> str | None:
    """Return the id of the latest run with these tags, of any status, or None."""
    return _run_id(instance, dg.RunsFilter(tags=dict(tags)))


def still_running(run_id: str) -> str:
    """Describe the run that a sensor waits for, for a skip reason."""
    return f"run {run_id[:8]} is still in progress"


def _run_id(instance: dg.DagsterInstance, runs: dg.RunsFilter) -> str | None:
    records = instance.get_run_records(runs, limit=1)
    return records[0].dagster_run.run_id if records else None


def _count(count: int) -> str:
    return f"{count:,}+" if count >= COUNT_LIMIT else f"{count:,}"
