"""A tick in shares: the due people parted by a hash of their id, so that each share is advanced,
fails and is repeated by itself. The minute job makes a step of each; without Dagster, `tick.py`
does all at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.engine.deadline import Deadline
from drip_pipeline.engine.delivery.recover import Recovered, recover
from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.engine.execution.batch_log import NO_RUN, RunContext
from drip_pipeline.engine.runner.tick import Engine


@dataclass(frozen=True, slots=True)
class WorkUnit:
    """One of `of` parts of the due people, numbered from 1. The same share of the same number of
    shares is the same people, whenever it is asked for.
    """

    number: int
    of: int

    @property
    def key(self) -> str:
        """`03_of_10`: what a step is called by."""
        width = len(str(self.of))
        return f"{self.number:0{width}}_of_{self.of}"

    @classmethod
    def from_key(cls, key: str) -> Self:
        """Read what `key` gave."""
        number, _, of = key.partition("_of_")
        return cls(int(number), int(of))

    def of_engine(self, engine: Engine) -> Engine:
        """The engine narrowed to this share of its own shard."""
        return replace(
            engine,
            shard=engine.shard + engine.shards * (self.number - 1),
            shards=engine.shards * self.of,
        )


@dataclass(frozen=True, slots=True)
class WorkPlan:
    """What a tick has before it. Counts stop at what its shares hold in one batch each."""

    recovered: Recovered
    shares: tuple[WorkUnit, ...]
    due_people: int
    due_messages: int


@dataclass(frozen=True, slots=True)
class WorkUnitReport:
    """What became of a share; `moved` counts people by the status they ended in. `is_done` is False
    when the time was over first: who is left stays due.
    """

    batches: int = 0
    people: int = 0
    moved: Mapping[str, int] = field(default_factory=dict)
    is_done: bool = False


def plan_work_units(engine: Engine, *, now: datetime, most: int) -> WorkPlan:
    """Put right what needs it, then part the due people into at most `most` shares, each of about
    one batch (more when there are more people than that).
    """
    recovered = recover(engine.database, now=now)
    with engine.database.transaction(is_read_only=True) as connection:
        due = states_db.due_overview(
            connection,
            now=now,
            count_limit=engine.batch_size * most,
            shard=engine.shard,
            shards=engine.shards,
        )
    count = min(most, -(-due.due_states // engine.batch_size))
    shares = tuple(WorkUnit(number, count) for number in range(1, count + 1))
    return WorkPlan(recovered, shares, due.due_states, due.due_deliveries)


def due_channels(engine: Engine, now: datetime) -> list[str]:
    """The engine's channels on which something is due, by name."""
    with engine.database.transaction(is_read_only=True) as connection:
        due = deliveries_db.due_channels(connection, now)
    return [name for name in due if name in engine.channels]


def advance_work_unit(
    engine: Engine,
    share: WorkUnit,
    *,
    now: datetime,
    max_seconds: float,
    context: RunContext = NO_RUN,
) -> WorkUnitReport:
    """Advance the share's people, batch after batch, each in its own transaction, until none is due
    or the time is over; at least one batch, so that even a late share gets on.

    Raises the DripError that made a batch fail, which is in the ledger; earlier batches stay done.
    """
    mine = share.of_engine(engine)
    deadline = Deadline.after(max_seconds)
    batches, people, moved = 0, 0, Counter[str]()
    while True:
        done = advance_batch(
            mine.database,
            now=now,
            batch_size=mine.batch_size,
            shard=mine.shard,
            shards=mine.shards,
            context=context,
        )
        if not done.claimed:
            return WorkUnitReport(batches, people, dict(moved), is_done=True)
        batches += 1
        people += done.claimed
        moved.update(done.sizes)
        if deadline.is_over():
            return WorkUnitReport(batches, people, dict(moved))
