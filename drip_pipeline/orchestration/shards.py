"""Runs of the minute job side by side: each has a shard of the people, named by a tag of the run.
Deliveries are everybody's: whichever run is free takes the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import dagster as dg

from drip_pipeline.db.connection import Database
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.engine.runner.work_units import WorkUnit
from drip_pipeline.errors import DripError
from drip_pipeline.orchestration.pending_work import PendingWork, unfinished_run_id

SHARD_TAG: Final = "drip/shard"
ALL_PEOPLE: Final = WorkUnit(1, 1)
MESSAGES_PER_RUN: Final = 1_000
"""So many due messages are worth one more run that hands them over."""


@dataclass(frozen=True, slots=True)
class ShardCheck:
    """What a sensor found of one shard: whether it has something to do, and the id of the run that
    is at it."""

    share: WorkUnit
    has_work: bool
    run_id: str | None

    @property
    def is_wanted(self) -> bool:
        """Whether a run of it should begin."""
        return self.has_work and self.run_id is None


def share_of_run(tags: Mapping[str, str]) -> WorkUnit:
    """The shard that a run's tags name; all people without one. Raises DripError for a tag that
    names none."""
    told = tags.get(SHARD_TAG)
    if told is None:
        return ALL_PEOPLE
    try:
        share = WorkUnit.from_key(told)
    except ValueError:
        share = WorkUnit(0, 0)
    if not 1 <= share.number <= share.of:
        raise DripError(
            f"the tag {SHARD_TAG} is {told!r}, which names no shard",
            hint="It is written as 2_of_4; without the tag a run takes everybody.",
        )
    return share


def check_shards(
    instance: dg.DagsterInstance,
    database: Database,
    ahead: PendingWork,
    *,
    shards: int,
    tags: Mapping[str, str],
    now: datetime,
) -> list[ShardCheck]:
    """Each shard, when anything is due at all. What is to be put right, and the first messages, are
    the first shard's business."""
    found = []
    for number in range(1, shards + 1):
        share = WorkUnit(number, shards)
        run_id = unfinished_run_id(instance, {**tags, SHARD_TAG: share.key})
        found.append(ShardCheck(share, _has_work(database, ahead, share, now), run_id))
    return found


def requests(looks: list[ShardCheck], tags: Mapping[str, str]) -> Iterator[dg.RunRequest]:
    """A run for every shard that wants one."""
    for look in looks:
        if look.is_wanted:
            # No run key: the minute's work is not a thing that may happen only once.
            yield dg.RunRequest(run_key=None, tags={**tags, SHARD_TAG: look.share.key})


def busy_runs(looks: list[ShardCheck]) -> str:
    """Which runs are still at work, for a skip reason."""
    ids = [look.run_id[:8] for look in looks if look.run_id is not None]
    return f"run{'s' if len(ids) > 1 else ''} {', '.join(ids)} still at work"


def _has_work(database: Database, ahead: PendingWork, share: WorkUnit, now: datetime) -> bool:
    messages_to_have = (share.number - 1) * MESSAGES_PER_RUN
    if ahead.due_messages > messages_to_have or (share.number == 1 and ahead.to_put_right):
        return True
    if share.of == 1 or not ahead.due_people:
        return bool(ahead.due_people)
    with database.transaction(is_read_only=True) as connection:
        due = states_db.due_overview(
            connection, now=now, count_limit=1, shard=share.number - 1, shards=share.of
        )
    return bool(due.due_states)
