"""What a sensor decides by: the work ahead in one cheap look, and whether a run is still at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import dagster as dg

from drip_pipeline.db.ab_tests import evaluations as ab_tests_db
from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import inbox as inbox_db
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.db.metrics import daily_metrics as metrics_db
from drip_pipeline.db.operations import overview as overview_db
from drip_pipeline.engine.metrics.daily_metrics import days_to_refresh
from drip_pipeline.orchestration.partitions import day_ranges

COUNTED_AT_MOST: Final = 10_000
TIME_MOVES_AFTER: Final = timedelta(minutes=10)
_UNFINISHED: Final = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True, slots=True)
class PendingWork:
    """What a tick would find now; counts stop at COUNTED_AT_MOST. `to_put_right`: what only a tick
    can free, messages in doubt and people resumed.
    """

    due_people: int
    due_messages: int
    to_put_right: int
    waiting_people: int
    next_at: datetime | None

    @property
    def is_any(self) -> bool:
        """Whether a run would find something to do."""
        return bool(self.due_people or self.due_messages or self.to_put_right)

    def told(self) -> str:
        """One line for a skip reason or a log."""
        if self.is_any:
            right = f", {_counted(self.to_put_right)} to put right" if self.to_put_right else ""
            return (
                f"{_counted(self.due_people)} people and {_counted(self.due_messages)} messages"
                f" due{right}"
            )
        if self.next_at is None:
            return "nothing due; nobody is waiting for a time"
        waiting = _counted(self.waiting_people)
        return (
            f"nothing due; next at {self.next_at:%Y-%m-%d %H:%M:%S} UTC; {waiting} people waiting"
        )


def find_pending_work(database: Database, now: datetime) -> PendingWork:
    """Look, changing nothing."""
    with database.transaction(is_read_only=True) as connection:
        due = states_db.due_overview(connection, now=now, count_limit=COUNTED_AT_MOST)
        beside = overview_db.other_pending_work(connection, now=now, count_limit=COUNTED_AT_MOST)
    times = [at for at in (due.next_state_at, due.next_delivery_at) if at is not None]
    return PendingWork(
        due_people=due.due_states,
        due_messages=due.due_deliveries,
        to_put_right=beside["in_doubt"] + beside["resumable"],
        waiting_people=beside["waiting_people"],
        next_at=min(times, default=None),
    )


@dataclass(frozen=True, slots=True)
class PendingEvaluation:
    """Running tests: those with something new to count, and those that only time can move."""

    changed: int
    moved_by_time: int
    running: int

    def is_due(self, now: datetime, *, judged_at: str | None) -> bool:
        """Whether to judge now; `judged_at` is the sensor's cursor, the time of its last run."""
        if self.changed:
            return True
        last = datetime.fromisoformat(judged_at) if judged_at else None
        return bool(self.moved_by_time) and (last is None or now - last >= TIME_MOVES_AFTER)

    def told(self) -> str:
        """One line for a skip reason."""
        if self.changed:
            return f"{self.changed:,} of {self.running:,} running tests have something new"
        return f"nothing new to count; {self.running:,} tests running"


def evaluation_pending(database: Database) -> PendingEvaluation:
    """Look, changing nothing."""
    with database.transaction(is_read_only=True) as connection:
        row = ab_tests_db.overview(connection)
    return PendingEvaluation(
        changed=row.changed + row.uncounted,
        moved_by_time=row.moved_by_time,
        running=row.running,
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
    """What is due to be read in the inbox, in words; None when nothing is."""
    with database.transaction(is_read_only=True) as connection:
        rows, oldest_at = inbox_db.backlog(connection, now=now, count_limit=COUNTED_AT_MOST)
    if oldest_at is None:
        return None
    return f"{_counted(rows)} payloads wait, the oldest since {oldest_at:%Y-%m-%d %H:%M:%S} UTC"


def unfinished_run_id(instance: dg.DagsterInstance, tags: Mapping[str, str]) -> str | None:
    """The id of a run with these tags that is queued or under way, None when there is none."""
    wanted = dg.RunsFilter(tags=dict(tags), statuses=_UNFINISHED)
    found = instance.get_run_records(wanted, limit=1)
    return found[0].dagster_run.run_id if found else None


def latest_run_id(instance: dg.DagsterInstance, tags: Mapping[str, str]) -> str | None:
    """The id of the latest run with these tags, whatever became of it."""
    found = instance.get_run_records(dg.RunsFilter(tags=dict(tags)), limit=1)
    return found[0].dagster_run.run_id if found else None


def _counted(count: int) -> str:
    return f"{count:,}+" if count >= COUNTED_AT_MOST else f"{count:,}"
