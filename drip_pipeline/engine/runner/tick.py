"""A tick: recover and erase, then follow changed contacts, enroll by entry triggers, advance and
deliver in turn.

`drip run` is one call of `tick`. In Dagster the minute job and the entry trigger job do the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from drip_pipeline.channels.protocol import Channel
from drip_pipeline.db.connection import Database
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.engine.deadline import NO_DEADLINE, Deadline
from drip_pipeline.engine.delivery.deliver import DeliveryLimits, deliver_due
from drip_pipeline.engine.delivery.recover import Recovered, recover
from drip_pipeline.engine.delivery.render import MessageSettings
from drip_pipeline.engine.delivery.results import DeliveryCounts
from drip_pipeline.engine.enrollment.entry_triggers import NewEnrollments, run_entry_triggers
from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.engine.execution.batch_log import NO_RUN, RunContext
from drip_pipeline.engine.execution.followed_waits import (
    NOTHING_FOLLOWED,
    FollowReport,
    follow_contacts,
)
from drip_pipeline.engine.operations.pause_guard import pause_by_guard
from drip_pipeline.engine.privacy.erase import ErasureScope, erase_at_tick
from drip_pipeline.engine.progress import Progress

DELIVERY_SHARE: Final = 0.4
"""The fraction of a tick's time that is kept for delivering; enrolling and advancing take the rest.
"""


@dataclass(frozen=True, slots=True)
class Engine:
    """The database, channels and settings of a tick.

    `channels` by name; deliveries of a missing channel stay due. `shard` of `shards` selects the
    states that are advanced. `erasure`: where copies of personal data are; without it, deleted
    contacts are not erased.
    """

    database: Database
    channels: Mapping[str, Channel]
    messages: MessageSettings
    batch_size: int = 10_000
    shard: int = 0
    shards: int = 1
    erasure: ErasureScope | None = None


@dataclass
class TickReport:
    """Result of a tick.

    `new_enrollments`: one entry per round and campaign. `batches`: committed batches. `advanced`:
    their states, and `moved`: the same by new status. `is_idle`: nothing was due at the end.
    `followed`: waits that changes of contacts moved or ended. `paused_by_guard`: campaigns that
    their guard has paused. `erased`: persons whose erasure is complete.
    """

    recovered: Recovered = field(default_factory=Recovered)
    new_enrollments: list[NewEnrollments] = field(default_factory=list)
    batches: int = 0
    advanced: int = 0
    moved: dict[str, int] = field(default_factory=dict)
    delivered: dict[str, DeliveryCounts] = field(default_factory=dict)
    is_idle: bool = False
    paused_by_guard: list[str] = field(default_factory=list)
    erased: int = 0
    followed: FollowReport = NOTHING_FOLLOWED


def tick(
    engine: Engine,
    *,
    now: datetime,
    until_idle: bool = False,
    max_seconds: float | None = None,
    context: RunContext = NO_RUN,
    progress: Progress | None = None,
    report: TickReport | None = None,
) -> TickReport:
    """Enroll by entry triggers, advance all due states and deliver all due messages, once.

    With `until_idle` this is repeated until nothing is due at `now`. After `max_seconds` of real
    time it stops between two batches, with a part of the time kept for delivering; the rest stays
    due. `report` continues an earlier tick that an error ended: its counts are added up.
    """
    deadline = Deadline.after(max_seconds)
    report = report if report is not None else TickReport()
    report.recovered += recover(engine.database, now=now)
    report.erased += erase_at_tick(engine.database, engine.erasure, now=now)
    report.paused_by_guard += pause_by_guard(engine.database, now=now)
    while True:
        followed = follow_contacts(
            engine.database, now=now, deadline=deadline.part(1 - DELIVERY_SHARE), progress=progress
        )
        report.followed += followed
        # First, so that a tag set by an application or by the round before takes effect at once.
        enrolled = run_entry_triggers(
            engine.database, now=now, deadline=deadline.part(1 - DELIVERY_SHARE), progress=progress
        )
        report.new_enrollments += enrolled
        advanced = _advance_all(
            engine, now, report, deadline.part(1 - DELIVERY_SHARE), context, progress
        )
        delivered = _deliver_all(engine, now, report, deadline, context, progress)
        is_quiet = not (advanced or delivered or enrolled or followed.ended)
        report.is_idle = is_quiet and not deadline.is_over()
        if report.is_idle or not until_idle or deadline.is_over():
            return report


def _advance_all(
    engine: Engine,
    now: datetime,
    report: TickReport,
    deadline: Deadline,
    context: RunContext,
    progress: Progress | None,
) -> int:
    total = 0
    while not deadline.is_over():
        batch = advance_batch(
            engine.database,
            now=now,
            batch_size=engine.batch_size,
            shard=engine.shard,
            shards=engine.shards,
            context=context,
        )
        if not batch.claimed:
            break
        total += batch.claimed
        report.batches += 1
        report.advanced += batch.claimed
        for status, count in batch.sizes.items():
            report.moved[status] = report.moved.get(status, 0) + count
        if progress:
            progress(f"advanced {report.advanced:,} enrollments")
    return total


def _deliver_all(
    engine: Engine,
    now: datetime,
    report: TickReport,
    deadline: Deadline,
    context: RunContext,
    progress: Progress | None,
) -> int:
    with engine.database.transaction() as connection:
        due = deliveries_db.due_channels(connection, now)
    total = 0
    names = [name for name in due if name in engine.channels]
    for number, name in enumerate(names):
        until = deadline.part(1 / (len(names) - number))
        done = deliver_channel(
            engine, engine.channels[name], now=now, deadline=until, context=context
        )
        report.delivered[name] = report.delivered.get(name, DeliveryCounts()) + done
        total += done.total()
        if progress:
            progress(f"{name}: {report.delivered[name].sent:,} sent")
    return total


def deliver_channel(
    engine: Engine,
    channel: Channel,
    *,
    now: datetime,
    deadline: Deadline = NO_DEADLINE,
    context: RunContext = NO_RUN,
) -> DeliveryCounts:
    """Deliver everything of one channel that is due at `now`, until the deadline."""
    return deliver_due(
        engine.database,
        channel,
        settings=engine.messages,
        now=now,
        limits=DeliveryLimits(engine.batch_size, deadline),
        run=context,
    )
