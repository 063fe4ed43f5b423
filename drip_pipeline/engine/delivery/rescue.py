"""What a tick puts right before it begins: leases whose sender died, deliveries in doubt for too
long, people whose enrollment is active again, partitions of the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from drip_pipeline.db.connection import Database
from drip_pipeline.db.delivery import broadcasts as broadcasts_db
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.execution import batch_log as ledger_db
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.engine.delivery.settle import GRACE_SECONDS, settle_accepted

_SETTLED_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Rescued:
    """What was put right: deliveries whose sender died, now in doubt or (where the provider
    recognizes repeats) due again; deliveries in doubt for too long, settled as sent; states brought
    back; posts for everybody, either way."""

    in_doubt: int = 0
    assumed_sent: int = 0
    resumed: int = 0
    retried: int = 0
    posts: int = 0


def rescue(database: Database, *, now: datetime, grace_seconds: float = GRACE_SECONDS) -> Rescued:
    """Put right what needs it; repeating it changes nothing more."""
    with database.transaction() as connection:
        ledger_db.ensure_partitions(connection, now)
    with database.transaction() as connection:
        in_doubt, retried = deliveries_db.rescue_expired(
            connection, grace_seconds=grace_seconds, now=now
        )
        # Twice: what comes into doubt may have been in doubt for longer than the grace time.
        posts = sum(
            broadcasts_db.rescue(connection, grace_seconds=grace_seconds, now=now) for _ in range(2)
        )
        resumed = states_db.resume_unpaused(connection, now)
    return Rescued(in_doubt, _assume_sent(database, now), resumed, retried, posts)


def _assume_sent(database: Database, now: datetime) -> int:
    """Nobody hangs: after the grace time the person moves on as if the message was sent, counted
    apart."""
    total = 0
    while True:
        with database.transaction() as connection:
            rows = deliveries_db.past_grace(connection, batch_size=_SETTLED_AT_ONCE, now=now)
            by_channel: dict[str, list[dict[str, object]]] = {}
            for row in rows:
                by_channel.setdefault(row["channel"], []).append(row)
            for channel, group in by_channel.items():
                settle_accepted(
                    connection,
                    group,
                    [None] * len(group),
                    channel=channel,
                    batch_id=uuid4(),
                    now=now,
                    certainty="unknown",
                )
        total += len(rows)
        if len(rows) < _SETTLED_AT_ONCE:
            return total
