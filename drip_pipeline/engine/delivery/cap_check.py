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
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.delivery import frequency_caps as caps_db
from drip_pipeline.db.delivery import held_messages as held_db
from drip_pipeline.db.delivery.deliveries import LeasedDelivery, Quota
from drip_pipeline.db.delivery.held_messages import HeldMessage
from drip_pipeline.domain.conditions.time_zones import zone_name, zone_of
from drip_pipeline.domain.graph.cap_places import (
    CapOfContact,
    CountedMessage,
    DueMessage,
    PlaceRefusal,
    Places,
    places,
)
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
        contacts = _capped(connection, leased, workspace_id, channel)
        if contacts and any(channel in cap.channels for cap in caps):
            check.workspace(workspace_id, contacts, caps)
    return check.result(leased)


class _Contact:
    """A contact with messages of the batch, what counts for it, and what else is due."""

    __slots__ = ("asking", "counted", "id", "limits", "others")

    def __init__(self, contact_id: UUID) -> None:
        self.id = contact_id
        self.asking: list[DueMessage] = []
        self.counted: list[CountedMessage] = []
        self.others: list[DueMessage] = []
        self.limits: Sequence[CapOfContact] = ()

    def places(self, now: datetime) -> Places:
        """Decide which messages of the batch get a place."""
        return places(self.asking, self.limits, self.counted, self.others, now)


_Contacts = dict[int, _Contact]
"""By the integers of their ids: a UUID computes its hash in Python."""


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
        self, workspace_id: UUID, contacts: _Contacts, caps: Sequence[FrequencyCap]
    ) -> None:
        """Check the messages of a workspace."""
        locked = caps_db.lock_contacts(self._connection, [each.id for each in contacts.values()])
        if len(locked) < len(contacts):
            mine = {contact_id.int for contact_id in locked}
            for number in contacts.keys() - mine:
                self._postpone(message.id for message in contacts.pop(number).asking)
        if not contacts:
            return
        self._set_limits(contacts, caps)
        self._read(contacts)
        decisions = {number: each.places(self._now) for number, each in contacts.items()}
        refused = {number for number, decision in decisions.items() if decision.refused}
        if refused:
            self._forget_not_sent([contacts[number] for number in refused])
            for number in refused:
                decisions[number] = contacts[number].places(self._now)
            self._refuse([each for number in refused for each in decisions[number].refused])
        granted = [
            (message.id, contacts[number].id)
            for number, decision in decisions.items()
            for message in decision.granted
        ]
        if granted:
            caps_db.reserve(
                self._connection,
                [message_id for message_id, _ in granted],
                [contact_id for _, contact_id in granted],
                workspace_id=workspace_id,
                channel=self._channel,
                now=self._now,
            )

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

    def _set_limits(self, contacts: _Contacts, caps: Sequence[FrequencyCap]) -> None:
        """Set the periods of the caps that the contacts are in."""
        if not any(cap.reads_zone for cap in caps):
            limits = [CapOfContact(cap, cap.period(self._now)) for cap in caps]
            for contact in contacts.values():
                contact.limits = limits
            return
        rows = held_db.queued(self._connection, [each.asking[0].id for each in contacts.values()])
        by_zone: dict[str | None, list[CapOfContact]] = {}
        for contact in contacts.values():
            row = rows[contact.asking[0].id]
            zone = zone_name(row.of_contact, row.of_workspace)
            if zone not in by_zone:
                clock = zone_of(zone)
                by_zone[zone] = [CapOfContact(cap, cap.period(self._now, clock)) for cap in caps]
            contact.limits = by_zone[zone]

    def _read(self, contacts: _Contacts) -> None:
        """Read what counts and what else is due, and store priorities that are not stored yet."""
        priorities = {
            message.id.int: message for each in contacts.values() for message in each.asking
        }
        rows = caps_db.messages_of(
            self._connection, [each.id for each in contacts.values()], self._now + _SOON
        )
        reserved: set[int] = set()
        for row in rows:
            contact = contacts[row.contact_id.int]
            if row.priority is None:
                contact.counted.append(CountedMessage(row.id, row.channel, row.counted_at))
                reserved.add(row.id.int)
            elif (own := priorities.get(row.id.int)) is None:
                contact.others.append(DueMessage(row.id, row.channel, row.priority))
            elif own.priority == row.priority:
                del priorities[row.id.int]
        if priorities:
            caps_db.store_priorities(
                self._connection, {each.id: each.priority for each in priorities.values()}
            )
        if reserved:
            # What waits for a retry has its place already.
            for contact in contacts.values():
                if contact.others and contact.counted:
                    contact.others = [o for o in contact.others if o.id.int not in reserved]

    def _forget_not_sent(self, contacts: Sequence[_Contact]) -> None:
        """Leave out what was reserved, and was skipped or failed after that."""
        ids = [message.id for contact in contacts for message in contact.counted]
        if not ids:
            return
        not_sent = {each.int for each in caps_db.not_sent(self._connection, ids)}
        if not_sent:
            for contact in contacts:
                contact.counted = [c for c in contact.counted if c.id.int not in not_sent]

    def _refuse(self, refusals: Sequence[PlaceRefusal]) -> None:
        full = {each.id: each.full for each in refusals if each.full}
        self._postpone(each.id for each in refusals if not each.full)
        if not full:
            return
        queued = held_db.queued(self._connection, list(full))
        for message_id, caps in full.items():
            latest = max(caps, key=lambda each: each.until)
            queued_at = queued[message_id].queued_at
            skipping = next((c.cap for c in caps if c.cap.skips(latest.until, queued_at)), None)
            if skipping is not None:
                self._reasons[message_id] = skipping.reason
                continue
            self._reasons[message_id] = HELD
            self._held.append(HeldMessage(message_id, latest.cap.reason, latest.until))

    def _postpone(self, ids: Iterable[UUID]) -> None:
        for message_id in ids:
            self._reasons[message_id] = HELD
            self._later.append(message_id)


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
    connection: Connection, leased: Sequence[LeasedDelivery], workspace_id: UUID, channel: str
) -> _Contacts:
    """Return the contacts of a workspace with messages that may be sent and that caps may hold."""
    priorities: dict[tuple[int, int, str], int | None] = {}
    contacts: _Contacts = {}
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
        if priority is None:
            continue
        contact = contacts.get(each.contact_id.int)
        if contact is None:
            contact = contacts[each.contact_id.int] = _Contact(each.contact_id)
        contact.asking.append(DueMessage(each.id, channel, priority))
    return contacts
