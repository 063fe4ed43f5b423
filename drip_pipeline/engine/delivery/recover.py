"""Recover before a tick: release expired leases, assume deliveries past the grace time to be sent,
resume states of enrollments that are active again, and create partitions of the event log."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import uuid4

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.delivery import broadcasts as broadcasts_db
from drip_pipeline.db.delivery import unknown_outcomes as unknown_db
from drip_pipeline.db.delivery.unknown_outcomes import UnknownDelivery, UnknownOutcome
from drip_pipeline.db.execution import batch_log as batch_log_db
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.engine.delivery.results import SettleContext
from drip_pipeline.engine.delivery.settle import (
    GRACE_SECONDS,
    NOT_SETTLED,
    by_channel,
    settle_accepted_late,
)
from drip_pipeline.engine.isolation import apply_isolating, describe

log = logging.getLogger(__name__)

_BATCH_SIZE: Final = 5_000


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was recovered.

    `unknown`, `retried`: deliveries with an expired lease, now of unknown outcome or (where the
    provider recognizes repeats) due again. `assumed_sent`: deliveries past the grace time.
    `resumed`: workflow states. `posts`: shared posts, recovered or assumed sent.
    """

    unknown: int = 0
    assumed_sent: int = 0
    resumed: int = 0
    retried: int = 0
    posts: int = 0

    def __add__(self, other: Recovered) -> Recovered:
        return Recovered(
            self.unknown + other.unknown,
            self.assumed_sent + other.assumed_sent,
            self.resumed + other.resumed,
            self.retried + other.retried,
            self.posts + other.posts,
        )


def recover(
    database: Database, *, now: datetime, grace_seconds: float = GRACE_SECONDS
) -> Recovered:
    """Recover what is due to be recovered at `now`; repeating it changes nothing more."""
    with database.transaction() as connection:
        # In a transaction of its own: while it waits for a row, no writer may wait for the log.
        batch_log_db.ensure_partitions(connection, now)
    with database.transaction() as connection:
        expired = unknown_db.recover_expired(connection, grace_seconds=grace_seconds, now=now)
        # Twice: a post that becomes unknown may already be past its grace time.
        posts = sum(
            broadcasts_db.recover(connection, grace_seconds=grace_seconds, now=now)
            for _ in range(2)
        )
        resumed = states_db.resume_unpaused(connection, now)
    return Recovered(expired.unknown, _assume_sent(database, now), resumed, expired.retried, posts)


def _assume_sent(database: Database, now: datetime) -> int:
    """Settle deliveries past the grace time as sent with certainty `unknown`, so that no state
    waits forever. One that cannot be settled stays unknown until an operator decides."""
    total = 0
    while True:
        with database.transaction() as connection:
            expired = unknown_db.past_grace(connection, batch_size=_BATCH_SIZE, now=now)
            settled = sum(
                _settle_as_sent(connection, channel, group, now)
                for channel, group in by_channel(expired).items()
            )
        total += settled
        if len(expired) < _BATCH_SIZE or not settled:
            return total


def _settle_as_sent(
    connection: Connection, channel: str, deliveries: Sequence[UnknownDelivery], now: datetime
) -> int:
    """Settle deliveries of a channel, and return how many could be settled."""
    context = SettleContext(channel, uuid4(), now)

    def settle(part: Sequence[UnknownDelivery]) -> int:
        settle_accepted_late(connection, part, context, certainty="unknown")
        return len(part)

    def hold(delivery: UnknownDelivery, error: Exception) -> None:
        held = UnknownOutcome(delivery.id, NOT_SETTLED, describe(error))
        apply_isolating(connection, [held], mark, leave)

    def mark(rows: Sequence[UnknownOutcome]) -> None:
        unknown_db.mark_unknown(connection, rows, None)

    def leave(_row: UnknownOutcome, error: Exception) -> None:
        # Refused, too: the next tick tries again.
        log.error("a delivery of unknown outcome could not be settled: %s", describe(error))

    return sum(apply_isolating(connection, deliveries, settle, hold))
