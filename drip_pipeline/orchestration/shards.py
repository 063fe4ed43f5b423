"""Concurrent runs of the minute job. A tag of the run names its shard of the enrollments.

Deliveries have no shards: any run takes the next due ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
ONE_SHARD: Final = WorkUnit(1, 1)
MESSAGES_PER_RUN: Final = 1_000
"""One more run is started for each this many due messages."""


@dataclass(frozen=True, slots=True)
class ShardCheck:
    """Whether a shard has work, and the id of its run in progress."""

    shard: WorkUnit
    has_work: bool
    run_id: str | None

    @property
    def needs_run(self) -> bool:
        """Return whether a run of the shard should start."""
        return self.has_work and self.run_id is None


def shard_of_run(tags: Mapping[str, str]) -> WorkUnit:
    """Return the shard that a run's tags name; all enrollments without the tag.

    Raises DripError for a tag that is not a shard.
    """
    tag = tags.get(SHARD_TAG)
    if tag is None:
        return ONE_SHARD
    try:
        shard = WorkUnit.from_key(tag)
    except ValueError:
        shard = WorkUnit(0, 0)
    if not 1 <= shard.number <= shard.of:
        raise DripError(
            f"the tag {SHARD_TAG} is {tag!r}, which is not a shard",
            hint="Write it as 2_of_4. Without the tag a run takes all enrollments.",
        )
    return shard


def check_shards(
    instance: dg.DagsterInstance,
    database: Database,
    pending: PendingWork,
    *,
    shards: int,
    tags: Mapping[str, str],
    now: datetime,
) -> list[ShardCheck]:
    """Check each shard for work and for a run in progress.

    The first shard recovers interrupted work and takes the first MESSAGES_PER_RUN messages.
    """
    checks = []
    for number in range(1, shards + 1):
        shard = WorkUnit(number, shards)
        run_id = unfinished_run_id(instance, {**tags, SHARD_TAG: shard.key})
        checks.append(ShardCheck(shard, _has_work(database, pending, shard, now), run_id))
    return checks


def requests(checks: Sequence[ShardCheck], tags: Mapping[str, str]) -> Iterator[dg.RunRequest]:
    """Yield a run request for each shard that needs a run."""
    for check in checks:
        if check.needs_run:
            # No run key: it would make the work of a minute start only once.
            yield dg.RunRequest(run_key=None, tags={**tags, SHARD_TAG: check.shard.key})


def describe_runs(checks: Sequence[ShardCheck]) -> str:
    """Describe the runs in progress for a skip reason."""
    ids = [check.run_id[:8] for check in checks if check.run_id is not None]
    return f"run{'s' if len(ids) > 1 else ''} {', '.join(ids)} still in progress"


def _has_work(database: Database, pending: PendingWork, shard: WorkUnit, now: datetime) -> bool:
    messages_of_others = (shard.number - 1) * MESSAGES_PER_RUN
    only_first = pending.to_recover or pending.has_changed_contacts
    if pending.due_messages > messages_of_others or (shard.number == 1 and only_first):
        return True
    if shard.of == 1 or not pending.due_states:
        return bool(pending.due_states)
    with database.transaction(is_read_only=True) as connection:
        due = states_db.due_overview(
            connection, now=now, count_limit=1, shard=shard.number - 1, shards=shard.of
        )
    return bool(due.due_states)
