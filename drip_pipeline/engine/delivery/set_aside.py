"""Deliveries that the database refuses to settle, for example by a trigger of an application: they
are due again later, their contacts are reported, and the others of their batch are settled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.delivery.deliveries import LeasedDelivery
from drip_pipeline.domain.graph.exits import ExitRule
from drip_pipeline.engine.delivery.results import SettleContext
from drip_pipeline.engine.delivery.settle import NO_EXITS, settle_skipped
from drip_pipeline.engine.isolation import apply_isolating, report_left_out

DUE_AGAIN: Final = timedelta(minutes=15)


def set_aside(
    connection: Connection, delivery: LeasedDelivery, error: Exception, now: datetime
) -> None:
    """Let a delivery be due again later, if it is not being sent, and report its contact."""
    what = "a message could not be settled"
    report_left_out(connection, delivery.contact_id, what, error, now)

    def postpone(ids: Sequence[UUID]) -> None:
        deliveries_db.postpone(connection, list(ids), now + DUE_AGAIN)

    def leave(_id: UUID, _error: Exception) -> None:
        """It stays as it is; it is reported already."""

    apply_isolating(connection, [delivery.id], postpone, leave)


def skip(
    connection: Connection,
    by_reason: Mapping[str, Sequence[LeasedDelivery]],
    context: SettleContext,
    exits: Mapping[UUID, ExitRule] = NO_EXITS,
) -> dict[str, int]:
    """Settle deliveries as skipped, and return their numbers by reason; those that the database
    refuses to settle are set aside. `exits` as in `settle_skipped`."""
    if not by_reason:
        return {}

    def settle(part: Sequence[tuple[str, LeasedDelivery]]) -> dict[str, int]:
        groups: dict[str, list[LeasedDelivery]] = {}
        for reason, delivery in part:
            groups.setdefault(reason, []).append(delivery)
        of_part = {each.id: exits[each.id] for _, each in part if each.id in exits} if exits else {}
        settle_skipped(connection, groups, context, of_part)
        return {reason: len(group) for reason, group in groups.items()}

    def refuse(row: tuple[str, LeasedDelivery], error: Exception) -> None:
        set_aside(connection, row[1], error, context.now)

    rows = [(reason, delivery) for reason, group in by_reason.items() for delivery in group]
    skipped: Counter[str] = Counter()
    for counts in apply_isolating(connection, rows, settle, refuse):
        skipped.update(counts)
    return dict(skipped)
