"""Work units: due states divided by a hash of their id.

Each unit is advanced, fails and is retried by itself. The minute job runs each unit as a step;
`drip run` uses tick.py instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Self

from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.engine.deadline import Deadline
from drip_pipeline.engine.delivery.recover import Recovered, recover
from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.engine.execution.batch_log import NO_RUN, RunContext
from drip_pipeline.engine.execution.followed_waits import (
    NOTHING_FOLLOWED,
    FollowReport,
    follow_contacts,
)
from drip_pipeline.engine.operations.pause_guard import pause_by_guard
from drip_pipeline.engine.privacy.erase import erase_at_tick
from drip_pipeline.engine.runner.tick import Engine

FOLLOW_SECONDS: Final = 30.0
"""The longest that planning lets waits follow their contacts; the next run continues."""


@dataclass(frozen=True, slots=True)
class WorkUnit:
    """Unit `number` (from 1) of `of`; for the same `of` a state always belongs to the same unit."""

    number: int
    of: int

    @property
    def key(self) -> str:
        """Return the unit as part of a step's name, for example `03_of_10`."""
        width = len(str(self.of))
        return f"{self.number:0{width}}_of_{self.of}"

    @classmethod
    def from_key(cls, key: str) -> Self:
        """Return the unit of a `key`."""
        number, _, of = key.partition("_of_")
        return cls(int(number), int(of))

    def of_engine(self, engine: Engine) -> Engine:
        """Return the engine restricted to this unit of its own shard."""
        return replace(
            engine,
            shard=engine.shard + engine.shards * (self.number - 1),
            shards=engine.shards * self.of,
        )


@dataclass(frozen=True, slots=True)
class WorkPlan:
    """The due work of a tick. Counts are limited to one batch per work unit.

    `followed`: waits that changes of contacts moved or ended before.
    """

    recovered: Recovered
    units: tuple[WorkUnit, ...]
    due_states: int
    due_messages: int
    followed: FollowReport = NOTHING_FOLLOWED


@dataclass(frozen=True, slots=True)
class WorkUnitReport:
    """Result of a work unit: committed batches, their states, and these by new status.

    `is_done` is False if the time was over first; the rest stays due.
    """

    batches: int = 0
    states: int = 0
    moved: Mapping[str, int] = field(default_factory=dict)
    is_done: bool = False


def plan_work_units(engine: Engine, *, now: datetime, most: int) -> WorkPlan:
    """Recover from earlier runs, erase deleted contacts, let waits follow their contacts, then
    divide the due states into at most `most` work units.

    Each unit has about one batch, or more if there are more states than `most` batches.
    """
    recovered = recover(engine.database, now=now)
    erase_at_tick(engine.database, engine.erasure, now=now)
    pause_by_guard(engine.database, now=now)
    followed = follow_contacts(engine.database, now=now, deadline=Deadline.after(FOLLOW_SECONDS))
    with engine.database.transaction(is_read_only=True) as connection:
        due = states_db.due_overview(
            connection,
            now=now,
            count_limit=engine.batch_size * most,
            shard=engine.shard,
            shards=engine.shards,
        )
    count = min(most, -(-due.due_states // engine.batch_size))
    units = tuple(WorkUnit(number, count) for number in range(1, count + 1))
    return WorkPlan(recovered, units, due.due_states, due.due_deliveries, followed)


def due_channels(engine: Engine, now: datetime) -> list[str]:
    """Return the names of the engine's channels with due deliveries."""
    with engine.database.transaction(is_read_only=True) as connection:
        due = deliveries_db.due_channels(connection, now)
    return [name for name in due if name in engine.channels]


def advance_work_unit(
    engine: Engine,
    unit: WorkUnit,
    *,
    now: datetime,
    max_seconds: float,
    context: RunContext = NO_RUN,
) -> WorkUnitReport:
    """Advance the unit's states in batches, until none is due or the time is over.

    At least one batch is executed, so that a late unit makes progress. A failed batch is written to
    the batch log and its DripError is raised; earlier batches stay committed.
    """
    part = unit.of_engine(engine)
    deadline = Deadline.after(max_seconds)
    batches, states, moved = 0, 0, Counter[str]()
    while True:
        done = advance_batch(
            part.database,
            now=now,
            batch_size=part.batch_size,
            shard=part.shard,
            shards=part.shards,
            context=context,
        )
        if not done.claimed:
            return WorkUnitReport(batches, states, dict(moved), is_done=True)
        batches += 1
        states += done.claimed
        moved.update(done.sizes)
        if deadline.is_over():
            return WorkUnitReport(batches, states, dict(moved))
