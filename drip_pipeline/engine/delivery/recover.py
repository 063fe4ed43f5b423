"""Recover before a tick: release expired leases, assume deliveries past the grace time to be sent,
resume states of enrollments that are active again, and create partitions of the event log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.delivery import broadcasts as broadcasts_db
from drip_pipeline.db.delivery import unknown_outcomes as unknown_db
from drip_pipeline.db.delivery.unknown_outcomes import (
    ExpiredLease,
    UnknownDelivery,
    UnknownOutcome,
)
from drip_pipeline.db.execution import batch_log as batch_log_db
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.db.execution.workflow_states import UnpausedState
from drip_pipeline.engine.delivery.results import SettleContext
from drip_pipeline.engine.delivery.settle import (
    GRACE_SECONDS,
    NOT_SETTLED,
    by_channel,
    settle_accepted_late,
)
from drip_pipeline.engine.isolation import (
    apply_isolating,
    describe,
    is_of_the_data,
    report_left_out,
)

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
    try:
        with database.transaction() as connection:
            recovered = _Recovery(connection, grace_seconds, now).together()
    except Exception as error:
        if not is_of_the_data(error):
            raise
        with database.transaction() as connection:
            recovered = _Recovery(connection, grace_seconds, now).isolating()
    return recovered + Recovered(assumed_sent=_assume_sent(database, now))


class _Recovery:
    """The recovery of leases, posts and states, in one transaction."""

    def __init__(self, connection: Connection, grace_seconds: float, now: datetime) -> None:
        self._connection = connection
        self._grace_seconds = grace_seconds
        self._now = now

    def together(self) -> Recovered:
        """Recover all with one statement each."""
        leases = self._leases(None)
        # Twice: a post that becomes unknown may already be past its grace time.
        posts = self._posts(None) + self._posts(None)
        return leases + posts + self._states(None)

    def isolating(self) -> Recovered:
        """Recover what the database does not refuse; what it refuses stays for the next tick, and
        is reported with its contact."""
        connection, now = self._connection, self._now

        def refuse(what: str) -> Callable[[ExpiredLease | UnpausedState, Exception], None]:
            return lambda row, error: report_left_out(
                connection, row.contact_id, f"{what} could not be recovered", error, now
            )

        def keep(post_id: UUID, error: Exception) -> None:
            log.error("the post %s could not be recovered: %s", post_id, describe(error))

        done = [Recovered()]
        leases = unknown_db.expired_leases(connection, now)
        if leases:
            apply_isolating(connection, leases, self._leases, refuse("a delivery"), done=done)
        for _ in range(2):
            posts = broadcasts_db.expired(connection, now)
            if posts:
                apply_isolating(connection, posts, self._posts, keep, done=done)
        states = states_db.unpaused(connection)
        if states:
            apply_isolating(connection, states, self._states, refuse("a step"), done=done)
        return sum(done, Recovered())

    def _leases(self, rows: Sequence[ExpiredLease] | None) -> Recovered:
        expired = unknown_db.recover_expired(
            self._connection,
            grace_seconds=self._grace_seconds,
            now=self._now,
            ids=_ids(rows),
        )
        return Recovered(unknown=expired.unknown, retried=expired.retried)

    def _posts(self, ids: Sequence[UUID] | None) -> Recovered:
        return Recovered(
            posts=broadcasts_db.recover(
                self._connection, grace_seconds=self._grace_seconds, now=self._now, ids=ids
            )
        )

    def _states(self, rows: Sequence[UnpausedState] | None) -> Recovered:
        return Recovered(resumed=states_db.resume_unpaused(self._connection, self._now, _ids(rows)))


def _ids(rows: Sequence[ExpiredLease | UnpausedState] | None) -> list[UUID] | None:
    return None if rows is None else [row.id for row in rows]


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
