"""Claim due states, and store a watermark per campaign so that the next claim can skip rows already
moved.

The watermark only affects speed: states due before it (an earlier batch failed, an application
wrote an old due time) are found by the full claim that runs when a watermarked claim returns
nothing, or when the watermark is older than five minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.db.execution.workflow_states import DueState

WATERMARK_FROM: Final = 100
"""States of a campaign in one batch from which on a watermark is stored. Fewer leave too few dead
index entries to be worth skipping."""


@dataclass(frozen=True, slots=True)
class Claim:
    """States that the transaction holds locked, and the new watermark of each campaign."""

    states: Sequence[DueState]
    watermarks: Mapping[UUID, datetime] = field(default_factory=dict)

    def write_watermarks(self, connection: Connection, now: datetime) -> None:
        """Store the watermarks.

        Call it as the last write of the batch: the rows stay locked until it commits.
        """
        if self.watermarks:
            states_db.write_watermarks(connection, self.watermarks, now)


def claim_due(
    connection: Connection, *, batch_size: int, now: datetime, shard: int = 0, shards: int = 1
) -> Claim:
    """Lock up to `batch_size` due states of this shard until the transaction ends."""
    claimed = states_db.claim(
        connection, batch_size=batch_size, now=now, shard=shard, shards=shards, from_watermarks=True
    )
    if not claimed.states and shards == 1:
        claimed = states_db.claim(connection, batch_size=batch_size, now=now)
    if shards > 1:
        return Claim(claimed.states)
    due_times: dict[int, list[datetime]] = {}
    for state, due_at in zip(claimed.states, claimed.due_times, strict=True):
        # By the integer of the id: a UUID computes its hash in Python.
        due_times.setdefault(state.campaign_id.int, []).append(due_at)
    return Claim(
        claimed.states,
        {UUID(int=c): max(times) for c, times in due_times.items() if len(times) >= WATERMARK_FROM},
    )
