"""What became of deliveries: outcome, event and suppression written down in one transaction with
the next steps of the people who waited for them (settled_people.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from drip_pipeline.channels.protocol import DeliveryResult, Outcome
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.delivery.deliveries import InDoubt, Later, NotSent
from drip_pipeline.domain.retry import retry_delay_seconds
from drip_pipeline.engine.delivery.results import DeliveryCounts
from drip_pipeline.engine.delivery.resume_states import (
    DELIVERY_ID,
    Row,
    carry_parked_on,
    carry_people_on,
    end_people,
    fail_people,
)
from drip_pipeline.engine.execution.conversion_attribution import TOUCHING_CHANNELS, attribute_late
from drip_pipeline.engine.execution.transitions import SentMessage
from drip_pipeline.engine.transports.settle_policy import SettlePolicy

__all__ = [
    "GRACE_SECONDS",
    "DeliveryCounts",
    "SettlePolicy",
    "fail_deliveries",
    "settle_accepted",
    "settle_results",
    "settle_skipped",
]

GRACE_SECONDS: Final = 15 * 60.0
_THROTTLED_ATTEMPTS: Final = 5
"""How many times more often a message may be asked to wait than it may fail."""

SENT_EVENT: Final[Mapping[str, str]] = {
    "email": "email_sent",
    "sms": "sms_sent",
    "social": "social_posted",
    "webhook": "webhook_succeeded",
}
FAILED_EVENT: Final[Mapping[str, str]] = {
    "email": "email_failed",
    "sms": "sms_failed",
    "social": "social_failed",
    "webhook": "webhook_failed",
}
# Skip reason → exit (reason, enrollment status). Reasons not listed only skip the message, and the
# state continues.
_ENDS: Final[Mapping[str, tuple[str, str]]] = {
    "unsubscribed": ("unsubscribed", "unsubscribed"),
    "bounced": ("suppressed", "bounced"),
    "complained": ("suppressed", "unsubscribed"),
    "manual": ("suppressed", "completed"),
    "removed": ("removed", "completed"),
}


_DEFAULT_POLICY: Final = SettlePolicy()


def settle_results(
    connection: Connection,
    rows: Sequence[Row],
    results: Sequence[DeliveryResult],
    *,
    channel: str,
    batch_id: UUID,
    now: datetime,
    moment: datetime | None = None,
    policy: SettlePolicy = _DEFAULT_POLICY,
) -> DeliveryCounts:
    """Write down what the channel said of these leased deliveries and carry their people on.

    `moment` is the real time of the answer, from which retries and the grace time count; by default
    `now`.
    """
    moment = moment or now
    row_of = {row["id"]: row for row in rows}
    accepted: list[DeliveryResult] = []
    accepted_rows: list[Row] = []
    rejected: list[DeliveryResult] = []
    again: list[DeliveryResult] = []
    in_doubt: list[DeliveryResult] = []
    for result in results:
        row = row_of[result.delivery_id]
        if result.outcome is Outcome.ACCEPTED:
            accepted.append(result)
            accepted_rows.append(row)
            continue
        tries = row["attempts"] + 1
        match result.outcome:
            case Outcome.REJECTED:
                rejected.append(result)
            case Outcome.THROTTLED:
                is_last = tries >= policy.max_attempts * _THROTTLED_ATTEMPTS
                (rejected if is_last else again).append(result)
            case Outcome.NOT_SENT:
                (rejected if tries >= policy.max_attempts else again).append(result)
            case Outcome.UNKNOWN:
                is_tried_again = policy.on_unknown == "retry" and tries < policy.max_attempts
                (again if is_tried_again else in_doubt).append(result)
    if accepted:
        settle_accepted(
            connection,
            accepted_rows,
            [r.provider_message_id for r in accepted],
            channel=channel,
            batch_id=batch_id,
            now=now,
            details=[r.details for r in accepted],
        )
    if in_doubt:
        is_held = policy.on_unknown == "hold"
        deliveries_db.mark_unknown(
            connection,
            [
                InDoubt(r.delivery_id, r.error_code, r.error, row_of[r.delivery_id]["attempts"] + 1)
                for r in in_doubt
            ],
            None if is_held else moment + timedelta(seconds=GRACE_SECONDS),
        )
    if again:
        _reschedule(connection, row_of, again, now, moment)
    if rejected:
        _settle_failed(connection, row_of, rejected, channel, batch_id, now)
    return DeliveryCounts(
        sent=len(accepted), failed=len(rejected), retried=len(again), unknown=len(in_doubt)
    )


def settle_accepted(
    connection: Connection,
    rows: Sequence[Row],
    provider_ids: Sequence[str | None],
    *,
    channel: str,
    batch_id: UUID,
    now: datetime,
    certainty: str = "known",
    details: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Settle as sent and carry the people on; `certainty` is "unknown" where the grace time ran
    out. `details` are facts for the events, one mapping a row."""
    settled = deliveries_db.settle_sent(
        connection,
        [row["id"] for row in rows],
        list(provider_ids),
        details=details or [{}] * len(rows),
        event_type=SENT_EVENT[channel],
        certainty=certainty,
        batch_id=batch_id,
        now=now,
    )
    if channel in TOUCHING_CHANNELS:
        attribute_late(connection, [row["enrollment_id"] for row in rows], now)
    message = SentMessage(now, is_email=channel == "email")
    parked = [row for row in settled if row[0] is not None]
    carry_parked_on(connection, parked, batch_id, now, message=message)
    if message.is_email and len(parked) < len(settled):
        # The message went out to people whose run ended or was halted meanwhile, too.
        enrollment_of = {row["id"]: row["enrollment_id"] for row in rows}
        others = [enrollment_of[row[DELIVERY_ID]] for row in settled if row[0] is None]
        deliveries_db.show_emailed(connection, others, now)


def settle_skipped(
    connection: Connection, rows: Sequence[Row], *, channel: str, batch_id: UUID, now: datetime
) -> dict[str, int]:
    """Settle what the gate held back; each row's `gate` is the reason. Counts by reason."""
    deliveries_db.settle_not_sent(
        connection,
        [NotSent(row["id"], "skipped", row["gate"], None, "message_skipped") for row in rows],
        channel=channel,
        batch_id=batch_id,
        now=now,
    )
    by_reason: dict[str, list[Row]] = {}
    for row in rows:
        by_reason.setdefault(row["gate"], []).append(row)
    for reason, group in by_reason.items():
        if reason in _ENDS:
            exit_reason, status = _ENDS[reason]
            end_people(connection, group, exit_reason, status, batch_id, now)
        else:
            carry_people_on(connection, group, batch_id, now)
    return {reason: len(group) for reason, group in by_reason.items()}


def fail_deliveries(
    connection: Connection,
    rows: Sequence[Row],
    error_code: str | None,
    error: str,
    *,
    channel: str,
    batch_id: UUID,
    now: datetime,
) -> None:
    """Settle deliveries as failed for one and the same reason, and their people with them."""
    results = [
        DeliveryResult(
            delivery_id=row["id"], outcome=Outcome.REJECTED, error_code=error_code, error=error
        )
        for row in rows
    ]
    _settle_failed(connection, {r["id"]: r for r in rows}, results, channel, batch_id, now)


def _reschedule(
    connection: Connection,
    row_of: Mapping[UUID, Row],
    results: Sequence[DeliveryResult],
    now: datetime,
    moment: datetime,
) -> None:
    later = []
    for result in results:
        attempt = row_of[result.delivery_id]["attempts"] + 1
        seconds = retry_delay_seconds(attempt, result.delivery_id, result.retry_after_seconds)
        due_at = moment + timedelta(seconds=seconds)
        told = (result.error_code, result.error, attempt, result.details)
        later.append(Later(result.delivery_id, due_at, *told))
    deliveries_db.reschedule(connection, later, now)


def _settle_failed(
    connection: Connection,
    row_of: Mapping[UUID, Row],
    results: Sequence[DeliveryResult],
    channel: str,
    batch_id: UUID,
    now: datetime,
) -> None:
    bounced = "email_bounced" if channel == "email" else FAILED_EVENT[channel]
    settled = deliveries_db.settle_not_sent(
        connection,
        [
            NotSent(
                r.delivery_id,
                "failed",
                r.error_code,
                r.error,
                bounced if r.recipient_invalid else FAILED_EVENT[channel],
                row_of[r.delivery_id]["attempts"] + 1,
                r.details,
            )
            for r in results
        ],
        channel=channel,
        batch_id=batch_id,
        now=now,
    )
    open_until_now = set(settled)
    results = [r for r in results if r.delivery_id in open_until_now]
    _suppress(connection, row_of, results, channel, now)
    passing: list[Row] = []
    ending: list[Row] = []
    by_error: dict[str, list[Row]] = {}
    for result in results:
        row = row_of[result.delivery_id]
        if result.recipient_invalid and channel == "email":
            ending.append(row)
        elif result.recipient_invalid or result.recipient_opted_out or result.is_gone:
            # This channel cannot reach the person, or its endpoint wants no more; the way goes on.
            passing.append(row)
        else:
            by_error.setdefault(result.error or result.error_code or "refused", []).append(row)
    if ending:
        end_people(connection, ending, "suppressed", "bounced", batch_id, now)
    if passing:
        carry_people_on(connection, passing, batch_id, now)
    for error, rows in by_error.items():
        fail_people(connection, rows, error, batch_id, now)


def _suppress(
    connection: Connection,
    row_of: Mapping[UUID, Row],
    results: Sequence[DeliveryResult],
    channel: str,
    now: datetime,
) -> None:
    unwanted = [
        (
            row_of[r.delivery_id]["contact_id"],
            "unsubscribed" if r.recipient_opted_out else "bounced",
        )
        for r in results
        if r.recipient_opted_out or r.recipient_invalid
    ]
    if unwanted:
        deliveries_db.suppress(connection, unwanted, channel=channel, source="provider", now=now)
