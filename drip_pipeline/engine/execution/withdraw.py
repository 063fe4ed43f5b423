"""Withdraw the unsent messages of runs that end, so that none lies in the outbox until its time."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.delivery import frequency_caps as caps_db
from drip_pipeline.db.delivery import handing_over as handing_over_db
from drip_pipeline.db.delivery.deliveries import NotSent


def withdraw_messages(
    connection: Connection,
    enrollment_ids: Collection[UUID],
    *,
    reason: str,
    batch_id: UUID,
    now: datetime,
) -> int:
    """Skip the messages that these runs wait for, with the reason; return their number.

    Call it before the runs end, in the transaction that holds their states locked. A message that
    another transaction has locked is not awaited, which could deadlock: its sender looks at the run
    again. One that is being handed over may still go out.
    """
    by_channel: dict[str, list[UUID]] = {}
    retried: list[UUID] = []
    for message in handing_over_db.lock_unsent(connection, list(enrollment_ids)):
        by_channel.setdefault(message.channel, []).append(message.id)
        if message.attempts:
            retried.append(message.id)
    if retried:
        # Between two attempts a message keeps its place under a cap.
        caps_db.release(connection, retried)
    for channel, ids in by_channel.items():
        deliveries_db.settle_not_sent(
            connection,
            [NotSent(each, "skipped", reason, None, "message_skipped") for each in ids],
            channel=channel,
            batch_id=batch_id,
            now=now,
        )
    return sum(map(len, by_channel.values()))
