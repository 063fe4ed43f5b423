"""Frequency caps at the eligibility check: reserve a place under every cap for the messages that
may be sent, and hold or skip the others.

The contacts are locked for counting, so that nobody gets one message more than the cap, however
many engines run. Of several messages that are due for a contact, those with the highest priority
get the places, in whatever order the outbox is read: one that others go before waits for the next
tick, without an event, because those may still be suppressed. A workspace without caps costs
nothing: the lease says that there are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.delivery import frequency_caps as caps_db
from drip_pipeline.db.delivery import held_messages as held_db
from drip_pipeline.db.delivery.deliveries import LeasedDelivery, Quota
from drip_pipeline.db.delivery.frequency_caps import CappedMessage, PeriodOfZone, Refusal
from drip_pipeline.db.delivery.held_messages import HeldMessage
from drip_pipeline.domain.conditions.time_zones import zone_name, zone_of
from drip_pipeline.domain.graph.frequency_caps import CAP_CHANNELS, FrequencyCap
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.campaigns.workspace_rules import forget, rules_of
from drip_pipeline.engine.delivery.send_rules import HELD
from drip_pipeline.errors import VersionNotFound

OUTRANKED: Final = "outranked"
"""The reason of a message that waits for the next tick: messages of a higher priority go first, or
another engine is counting the contact's messages."""
_NEXT_TICK: Final = timedelta(seconds=1)
_SOON: Final = timedelta(minutes=1)
"""Messages due within this time go first too, by priority: those that wait for the next tick."""


class CappedDeliveries(NamedTuple):
    """Leased messages after the check of the caps: all of them, those to skip by reason, and the
    numbers of those held, by rule."""

    deliveries: list[LeasedDelivery]
    skipped: Mapping[str, list[LeasedDelivery]]
    held: Mapping[str, int]


def apply_caps(
    connection: Connection,
    quotas: Sequence[Quota],
    leased: list[LeasedDelivery],
    *,
    channel: str,
    now: datetime,
) -> CappedDeliveries:
    """Reserve the messages that the caps of their workspaces allow, and hold the others.

    The caller's transaction holds the messages locked, and has settled those that are blocked.
    """
    if not leased or leased[0].caps is None or channel not in CAP_CHANNELS:
        return CappedDeliveries(leased, {}, {})
    check = _Check(connection, channel, now)
    for workspace_id, caps in _caps(connection, quotas, leased[0].caps, now).items():
        applying = [cap for cap in caps if channel in cap.channels]
        messages = _capped(connection, leased, workspace_id)
        if applying and messages:
            check.workspace(workspace_id, messages, applying)
    return check.result(leased)


class _Check:
    """The check of one batch, workspace by workspace."""

    def __init__(self, connection: Connection, channel: str, now: datetime) -> None:
        self._connection = connection
        self._channel = channel
        self._now = now
        self._reasons: dict[UUID, str] = {}
        self._held: list[HeldMessage] = []
        self._later: list[UUID] = []

    def workspace(
        self, workspace_id: UUID, messages: list[CappedMessage], caps: Sequence[FrequencyCap]
    ) -> None:
        """Check the messages of a workspace."""
        zones: list[str | None] = [None]
        if any(cap.reads_zone for cap in caps):
            messages, zones = self._with_zones(messages)
        periods = {
            (rule_no, zone_no): cap.period(self._now, UTC if zone is None else zone_of(zone))
            for rule_no, cap in enumerate(caps)
            for zone_no, zone in enumerate(zones)
        }
        locked = caps_db.lock_contacts(self._connection, messages)
        if len(locked) < len(messages):  # otherwise each has its own contact, which is locked
            self._postpone(each.id for each in messages if each.contact_id not in locked)
            messages = [each for each in messages if each.contact_id in locked]
        if not messages:
            return
        refusals = caps_db.reserve(
            self._connection,
            messages,
            [
                PeriodOfZone(
                    rule_no,
                    zone_no,
                    caps[rule_no].max,
                    period.after,
                    "email" in caps[rule_no].channels,
                    "sms" in caps[rule_no].channels,
                )
                for (rule_no, zone_no), period in periods.items()
            ],
            workspace_id=workspace_id,
            channel=self._channel,
            due_by=self._now + _SOON,
            now=self._now,
        )
        zone_no_of = {each.id: each.zone_no for each in messages} if refusals else {}
        by_message: dict[UUID, list[tuple[FrequencyCap, datetime, datetime]]] = {}
        for refusal in refusals:
            full = by_message.setdefault(refusal.id, [])
            if refusal.is_full:
                period = periods[refusal.rule_no, zone_no_of[refusal.id]]
                until = period.ends_at or _end(refusal, period.length)
                full.append((caps[refusal.rule_no], until, refusal.queued_at))
        for delivery_id, full in by_message.items():
            self._refuse(delivery_id, full)

    def result(self, leased: list[LeasedDelivery]) -> CappedDeliveries:
        """Hold what waits, and return the messages as they are now."""
        if not self._reasons:
            return CappedDeliveries(leased, {}, {})
        numbers: dict[str, int] = {}
        if self._held:
            held_db.hold(self._connection, self._held, self._now)
            for message in self._held:
                numbers[message.rule] = numbers.get(message.rule, 0) + 1
        if self._later:
            deliveries_db.postpone(self._connection, self._later, self._now + _NEXT_TICK)
            numbers[OUTRANKED] = len(self._later)
        checked: list[LeasedDelivery] = []
        skipped: dict[str, list[LeasedDelivery]] = {}
        for delivery in leased:
            reason = self._reasons.get(delivery.id)
            if reason is None:
                checked.append(delivery)
                continue
            blocked = delivery._replace(blocked_reason=reason)
            checked.append(blocked)
            if reason != HELD:
                skipped.setdefault(reason, []).append(blocked)
        return CappedDeliveries(checked, skipped, numbers)

    def _refuse(
        self, delivery_id: UUID, full: Sequence[tuple[FrequencyCap, datetime, datetime]]
    ) -> None:
        if not full:
            self._postpone([delivery_id])
            return
        latest, until, _ = max(full, key=lambda each: each[1])
        for cap, _, queued_at in full:
            if cap.skips(until, queued_at):
                self._reasons[delivery_id] = cap.reason
                return
        self._reasons[delivery_id] = HELD
        self._held.append(HeldMessage(delivery_id, latest.reason, until))

    def _postpone(self, ids: Iterable[UUID]) -> None:
        for delivery_id in ids:
            self._reasons[delivery_id] = HELD
            self._later.append(delivery_id)

    def _with_zones(
        self, messages: list[CappedMessage]
    ) -> tuple[list[CappedMessage], list[str | None]]:
        """Return the messages with the numbers of their contacts' time zones, and these zones."""
        queued = held_db.queued(self._connection, [each.id for each in messages])
        numbers: dict[str | None, int] = {}
        numbered = []
        for each in messages:
            row = queued[each.id]
            zone = zone_name(row.of_contact, row.of_workspace)
            numbered.append(each._replace(zone_no=numbers.setdefault(zone, len(numbers))))
        return numbered, list(numbers)


def _end(refusal: Refusal, length: timedelta) -> datetime:
    assert refusal.oldest is not None
    return refusal.oldest + length


def _caps(
    connection: Connection, quotas: Sequence[Quota], fingerprint: int, now: datetime
) -> dict[UUID, tuple[FrequencyCap, ...]]:
    """Return the caps of the workspaces that have any, as they are in this transaction."""
    workspaces = {quota.group.workspace_id for quota in quotas}
    rules = rules_of(connection, workspaces, now)
    if sum(each.fingerprint for each in rules.values()) != fingerprint:
        # This process read them before they changed.
        for workspace_id in workspaces:
            forget(workspace_id)
        rules = rules_of(connection, workspaces, now)
    return {workspace_id: each.caps for workspace_id, each in rules.items() if each.caps}


def _capped(
    connection: Connection, leased: Sequence[LeasedDelivery], workspace_id: UUID
) -> list[CappedMessage]:
    """Return the messages of a workspace that may be sent and that caps may hold."""
    # By integers: a UUID computes its hash in Python.
    priorities: dict[tuple[int, int, str], int | None] = {}
    messages = []
    for each in leased:
        if each.blocked_reason is not None or each.workspace_id != workspace_id:
            continue
        key = (each.campaign_id.int, each.campaign_version, each.node_id)
        if key not in priorities:
            try:
                version = version_cache.version(connection, each.campaign_id, key[1])
                priorities[key] = version.graph.cap_priority(each.node_id)
            except VersionNotFound:  # rendering reports it
                priorities[key] = None
        priority = priorities[key]
        if priority is not None:
            messages.append(CappedMessage(each.id, each.contact_id, priority))
    return messages
