"""Settle deliveries: outcome, event and suppression are stored in one transaction with the next
step of the workflow states that waited for them (resume_states.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from drip_pipeline.channels.protocol import DeliveryResult, Outcome
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.contacts import suppressions as suppressions_db
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.delivery import frequency_caps as caps_db
from drip_pipeline.db.delivery import unknown_outcomes as unknown_db
from drip_pipeline.db.delivery.deliveries import (
    LeasedDelivery,
    NotSent,
    Retry,
    SentEvent,
)
from drip_pipeline.db.delivery.unknown_outcomes import UnknownDelivery, UnknownOutcome
from drip_pipeline.domain.events.soft_bounces import DEFAULT_SOFT_BOUNCES, SoftBounceLimit
from drip_pipeline.domain.graph.exits import ExitRule
from drip_pipeline.domain.retry import retry_delay_seconds
from drip_pipeline.engine.contacts.suppress_contacts import suppress_contacts
from drip_pipeline.engine.delivery.results import DeliveryCounts, SettleContext
from drip_pipeline.engine.delivery.resume_states import (
    OpenDelivery,
    continue_parked,
    continue_states,
    exit_states,
    fail_states,
)
from drip_pipeline.engine.execution.conversion_attribution import TOUCHING_CHANNELS, attribute_late
from drip_pipeline.engine.execution.transitions import SentMessage
from drip_pipeline.engine.transports.settle_policy import SettlePolicy

RENDER_FAILED: Final = "render_failed"
TEMPLATE_BUDGET: Final = "template_budget"
UNREADABLE_CONTACT: Final = "contact_unreadable"
NOT_RECORDED: Final = "not_recorded"
NOT_SETTLED: Final = "not_settled"
DATA_FAULTS: Final = frozenset(
    {RENDER_FAILED, UNREADABLE_CONTACT, NOT_RECORDED, NOT_SETTLED, TEMPLATE_BUDGET}
)
"""Error codes of messages that fail because of the contact's own data or the template."""
GRACE_SECONDS: Final = 15 * 60.0
_THROTTLED_ATTEMPTS: Final = 5
"""How many times more often a message may be throttled than it may fail."""

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
EXIT_OF_SKIPPED: Final[Mapping[str, tuple[str, str]]] = {
    "unsubscribed": ("unsubscribed", "unsubscribed"),
    "bounced": ("suppressed", "bounced"),
    "soft_bounced": ("suppressed", "bounced"),
    "complained": ("suppressed", "unsubscribed"),
    "manual": ("suppressed", "completed"),
    "removed": ("removed", "completed"),
    "goal": ("goal", "completed"),
}
_DEFAULT_POLICY: Final = SettlePolicy()
NO_EXITS: Final[Mapping[UUID, ExitRule]] = {}


def settle_results(
    connection: Connection,
    deliveries: Sequence[LeasedDelivery],
    results: Sequence[DeliveryResult],
    context: SettleContext,
    *,
    answered_at: datetime,
    policy: SettlePolicy = _DEFAULT_POLICY,
    soft_bounces: SoftBounceLimit = DEFAULT_SOFT_BOUNCES,
) -> DeliveryCounts:
    """Store the channel's results for these leased deliveries and move their states.

    `answered_at` is the real time of the results; retries and the grace time count from it.
    `soft_bounces`: after how many refusals by its mailbox an address is suppressed.
    """
    delivery_of = {delivery.id: delivery for delivery in deliveries}
    accepted: list[DeliveryResult] = []
    rejected: list[DeliveryResult] = []
    retried: list[DeliveryResult] = []
    unknown: list[DeliveryResult] = []
    for result in results:
        if result.outcome is Outcome.ACCEPTED:
            accepted.append(result)
            continue
        attempts = delivery_of[result.delivery_id].attempts + 1
        match result.outcome:
            case Outcome.REJECTED:
                rejected.append(result)
            case Outcome.THROTTLED:
                is_last = attempts >= policy.max_attempts * _THROTTLED_ATTEMPTS
                (rejected if is_last else retried).append(result)
            case Outcome.NOT_SENT:
                (rejected if attempts >= policy.max_attempts else retried).append(result)
            case Outcome.UNKNOWN:
                may_retry = policy.on_unknown == "retry" and attempts < policy.max_attempts
                (retried if may_retry else unknown).append(result)
    if accepted:
        settle_accepted(
            connection,
            [delivery_of[result.delivery_id] for result in accepted],
            context,
            provider_ids=[result.provider_message_id for result in accepted],
            details=[result.details for result in accepted],
        )
    if unknown:
        is_held = policy.on_unknown == "hold"
        unknown_db.mark_unknown(
            connection,
            [
                UnknownOutcome(
                    r.delivery_id, r.error_code, r.error, delivery_of[r.delivery_id].attempts + 1
                )
                for r in unknown
            ],
            None if is_held else answered_at + timedelta(seconds=GRACE_SECONDS),
        )
    if retried:
        retries = [_retry(delivery_of[r.delivery_id], r, answered_at) for r in retried]
        deliveries_db.reschedule(connection, retries, context.now)
    if rejected:
        _settle_failed(connection, delivery_of, rejected, context, soft_bounces)
    return DeliveryCounts(
        sent=len(accepted), failed=len(rejected), retried=len(retried), unknown=len(unknown)
    )


def settle_accepted(
    connection: Connection,
    deliveries: Sequence[OpenDelivery],
    context: SettleContext,
    *,
    provider_ids: Sequence[str | None] | None = None,
    certainty: str = "known",
    details: Sequence[Mapping[str, object]] | None = None,
) -> None:
    """Settle deliveries as sent and continue their states.

    `provider_ids` and `details` (stored in the events) have one entry per delivery. `certainty` is
    "unknown" for deliveries that are assumed sent after the grace time.
    """
    enrollment_ids = [delivery.enrollment_id for delivery in deliveries]
    settled = deliveries_db.settle_sent(
        connection,
        [delivery.id for delivery in deliveries],
        provider_ids or [None] * len(deliveries),
        details=details or [{}] * len(deliveries),
        event=SentEvent(SENT_EVENT[context.channel], certainty, context.batch_id),
        now=context.now,
    )
    if context.channel in TOUCHING_CHANNELS:
        attribute_late(connection, enrollment_ids, context.now)
    message = SentMessage(context.now, is_email=context.channel == "email")
    continue_parked(connection, settled.parked, context, message)
    if message.is_email and settled.without_state:
        # The email was sent to contacts whose run ended or was halted meanwhile, too.
        enrollment_of = {delivery.id: delivery.enrollment_id for delivery in deliveries}
        others = [enrollment_of[delivery_id] for delivery_id in settled.without_state]
        deliveries_db.record_last_email(connection, others, context.now)


def settle_accepted_late(
    connection: Connection,
    deliveries: Sequence[OpenDelivery],
    context: SettleContext,
    *,
    certainty: str = "known",
    details: Sequence[Mapping[str, object]] | None = None,
) -> None:
    """Settle deliveries of unknown outcome as sent, as `settle_accepted` does. Frequency caps count
    them from now on, which is the time that is stored as that of sending."""
    settle_accepted(connection, deliveries, context, certainty=certainty, details=details)
    caps_db.count_as_sent(connection, [each.id for each in deliveries], context.now)


def settle_skipped(
    connection: Connection,
    by_reason: Mapping[str, Sequence[OpenDelivery]],
    context: SettleContext,
    exits: Mapping[UUID, ExitRule] = NO_EXITS,
) -> None:
    """Settle deliveries as skipped, by skip reason; their states continue or exit.

    `exits`: by delivery, the exit rules that end the runs of some of them.
    """
    deliveries_db.settle_not_sent(
        connection,
        [
            NotSent(
                delivery.id,
                "skipped",
                reason,
                None,
                "message_skipped",
                details={"exit": exits[delivery.id].id} if delivery.id in exits else None,
            )
            for reason, group in by_reason.items()
            for delivery in group
        ],
        channel=context.channel,
        batch_id=context.batch_id,
        now=context.now,
    )
    if exits:
        _exit_by_rules(connection, by_reason, exits, context)
    for reason, deliveries in by_reason.items():
        group = [each for each in deliveries if each.id not in exits] if exits else deliveries
        if reason in EXIT_OF_SKIPPED:
            exit_reason, status = EXIT_OF_SKIPPED[reason]
            exit_states(connection, group, exit_reason, status, context)
        else:
            continue_states(connection, group, context)


def _exit_by_rules(
    connection: Connection,
    by_reason: Mapping[str, Sequence[OpenDelivery]],
    exits: Mapping[UUID, ExitRule],
    context: SettleContext,
) -> None:
    by_rule: dict[tuple[str, str], list[OpenDelivery]] = {}
    for deliveries in by_reason.values():
        for delivery in deliveries:
            if (rule := exits.get(delivery.id)) is not None:
                by_rule.setdefault((rule.id, rule.why), []).append(delivery)
    for (rule_id, reason), group in by_rule.items():
        exit_states(connection, group, reason, "completed", context, {"exit": rule_id})


def fail_deliveries(
    connection: Connection,
    deliveries: Sequence[LeasedDelivery],
    error_code: str | None,
    error: str,
    context: SettleContext,
) -> None:
    """Settle deliveries as failed for the same reason, and fail their states."""
    results = [
        DeliveryResult(each.id, Outcome.REJECTED, error_code=error_code, error=error)
        for each in deliveries
    ]
    _settle_failed(connection, {each.id: each for each in deliveries}, results, context)


def by_channel(deliveries: Iterable[UnknownDelivery]) -> dict[str, list[UnknownDelivery]]:
    """Group deliveries by channel."""
    groups: dict[str, list[UnknownDelivery]] = {}
    for delivery in deliveries:
        groups.setdefault(delivery.channel, []).append(delivery)
    return groups


def _retry(delivery: LeasedDelivery, result: DeliveryResult, answered_at: datetime) -> Retry:
    attempt = delivery.attempts + 1
    seconds = retry_delay_seconds(attempt, delivery.id, result.retry_after_seconds)
    return Retry(
        delivery.id,
        answered_at + timedelta(seconds=seconds),
        result.error_code,
        result.error,
        attempt,
        result.details,
    )


def _settle_failed(
    connection: Connection,
    delivery_of: Mapping[UUID, LeasedDelivery],
    results: Sequence[DeliveryResult],
    context: SettleContext,
    soft_bounces: SoftBounceLimit = DEFAULT_SOFT_BOUNCES,
) -> None:
    channel = context.channel
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
                delivery_of[r.delivery_id].attempts + 1,
                {**r.details, "bounce_type": "soft"} if r.mailbox_unavailable else r.details,
            )
            for r in results
        ],
        channel=channel,
        batch_id=context.batch_id,
        now=context.now,
    )
    not_settled_before = set(settled)
    results = [r for r in results if r.delivery_id in not_settled_before]
    suppressed = [
        (
            delivery_of[r.delivery_id].contact_id,
            "unsubscribed" if r.recipient_opted_out else "bounced",
        )
        for r in results
        if r.recipient_opted_out or r.recipient_invalid
    ]
    refused = [delivery_of[r.delivery_id].contact_id for r in results if r.mailbox_unavailable]
    unreachable: set[UUID] = set()
    if refused and soft_bounces.bounces:
        unreachable.update(
            suppressions_db.unreachable(
                connection,
                refused,
                threshold=soft_bounces.bounces,
                time_span=timedelta(days=soft_bounces.days),
                now=context.now,
            )
        )
        suppressed += [(contact_id, "soft_bounced") for contact_id in sorted(unreachable)]
    if suppressed:
        suppress_contacts(
            connection, suppressed, channel=channel, source="provider", now=context.now
        )
    exiting: list[LeasedDelivery] = []
    continuing: list[LeasedDelivery] = []
    by_error: dict[tuple[str, bool], list[LeasedDelivery]] = {}
    for result in results:
        delivery = delivery_of[result.delivery_id]
        if (result.recipient_invalid and channel == "email") or delivery.contact_id in unreachable:
            exiting.append(delivery)
        elif (
            result.recipient_invalid
            or result.recipient_opted_out
            or result.is_gone
            or result.continues
        ):
            # Only this channel cannot reach the contact, or its endpoint or policy says so.
            continuing.append(delivery)
        else:
            error = result.error or result.error_code or "refused"
            by_error.setdefault((error, result.error_code in DATA_FAULTS), []).append(delivery)
    if exiting:
        exit_states(connection, exiting, "suppressed", "bounced", context)
    if continuing:
        continue_states(connection, continuing, context)
    for (error, is_data_fault), group in by_error.items():
        fail_states(connection, group, error, context, is_data_fault=is_data_fault)
