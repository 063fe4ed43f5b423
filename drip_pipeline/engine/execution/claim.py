"""Claiming due people, and remembering how far it came.

The mark is a hint for speed alone. Whoever is due before it (an earlier batch failed, an
application wrote an old due time) is found by the claim without marks that follows one which finds
nobody, or when the mark is too old.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.engine.execution.transitions import DueState

WORTH_A_MARK: Final = 100
"""People of a campaign in one batch; fewer leave nothing behind that is worth stepping over."""
_COLUMNS: Final = len(DueState._fields)


@dataclass(frozen=True, slots=True)
class Claimed:
    """People whose states the transaction holds locked, and how far their campaigns were read."""

    people: list[DueState]
    due_from: dict[UUID, datetime] = field(default_factory=dict)

    def mark(self, connection: Connection, now: datetime) -> None:
        """Let the next claim go on from here: the last thing that a batch writes, since others wait
        for nothing but may find the mark locked."""
        if self.due_from:
            states_db.mark_claimed(connection, self.due_from, now)


def claim_due(
    connection: Connection, *, batch_size: int, now: datetime, shard: int = 0, shards: int = 1
) -> Claimed:
    """Lock up to `batch_size` due people of this shard until the transaction ends."""
    rows = states_db.claim(
        connection, batch_size=batch_size, now=now, shard=shard, shards=shards, from_marks=True
    )
    if not rows and shards == 1:
        rows = states_db.claim(connection, batch_size=batch_size, now=now)
    people = [DueState._make(row[:_COLUMNS]) for row in rows]
    if shards > 1:
        return Claimed(people)
    due_times: dict[int, list[datetime]] = {}
    for row in rows:
        due_times.setdefault(row[1].int, []).append(row[_COLUMNS])
    return Claimed(
        people,
        {UUID(int=c): max(times) for c, times in due_times.items() if len(times) >= WORTH_A_MARK},
    )
