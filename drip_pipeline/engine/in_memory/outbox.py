"""The eligibility check of messages in memory: why one must not be sent, or is held.

The same rules as in the lease and in delivery/, which read the database: the end of the run,
suppressions, addresses, consent, the topic, the holdout, exit rules, rules of time, and caps.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from drip_pipeline.domain.conditions.time_zones import zone_name
from drip_pipeline.domain.graph.exits import ExitRule
from drip_pipeline.domain.graph.graph import GraphNode
from drip_pipeline.domain.graph.holdout import HOLDOUT
from drip_pipeline.domain.graph.nodes import sends_to_person
from drip_pipeline.domain.graph.windows import Hold, SendRules, Zones
from drip_pipeline.engine.in_memory.cap_count import CapHold, hold_by_caps
from drip_pipeline.engine.in_memory.store import MemoryContact, MemoryMessage, MemoryStore

_REFUSALS: Final = frozenset({"false", "no", "0"})
_ADDRESS: Final = {"email": "email", "sms": "phone"}
_BY_STATUS: Final = {
    "unsubscribed": "unsubscribed",
    "bounced": "bounced",
}
# Suppressions of another channel than email only skip its messages.
_OTHER_CHANNEL: Final = {
    "bounced": "unreachable",
    "soft_bounced": "unreachable",
    "manual": "suppressed",
}
_OPTED_OUT: Final = "opted_out"


class SendDecision(NamedTuple):
    """What happens to a message: it is skipped for a reason, held by a rule until a time, or sent.
    With `exit_rule`, its run ends."""

    skipped_because: str | None = None
    held: tuple[str, datetime] | None = None
    exit_rule: ExitRule | None = None


_SEND: Final = SendDecision()


class EligibilityCheck:
    """Checks messages of one store at one time; openings are computed once per node and zone."""

    def __init__(self, store: MemoryStore, now: datetime) -> None:
        self._store = store
        self._now = now
        self._rules: dict[str, SendRules] = {}
        self._holds: dict[tuple[str, Zones], Hold | None] = {}

    def blocked_reason(self, message: MemoryMessage) -> str | None:
        """Return why the message must not be sent, None if it may, as far as rules of time are not
        concerned."""
        run, channel = message.run, message.note.channel
        if run.enrollment_status != "active":
            return _BY_STATUS.get(run.enrollment_status, run.exit_reason or "removed")
        contact = run.contact
        if contact.suppressions and (reason := _suppression(contact, channel)) is not None:
            return reason
        column = _ADDRESS.get(channel)
        if column is not None and not contact.row[column]:
            return "no_address"
        consent = contact.custom_fields.get(f"consent_{channel}")
        if consent is not None and str(consent).lower() in _REFUSALS:
            return "no_consent"
        return self._blocked_by_workspace(message, contact)

    def _blocked_by_workspace(self, message: MemoryMessage, contact: MemoryContact) -> str | None:
        topic = self._store.graph.topic
        if topic is not None and topic in contact.left_topics:
            return "unsubscribed"
        holdout = self._store.rules.holdout
        if holdout is not None and holdout.has(contact.id):
            node = self._node(message)
            if node.kind == "marketing" and sends_to_person(node.config):
                return HOLDOUT
        return None

    def hold(self, message: MemoryMessage) -> Hold | None:
        """Return the rule of time that holds the message, None if none does."""
        node_id = message.note.node_id
        rules = self._rules.get(node_id)
        if rules is None:
            rules = self._rules[node_id] = self._node(message).rules(self._store.rules.quiet_hours)
        if not rules.has_any():
            return None
        contact_zone = message.run.contact.custom_fields.get("timezone")
        workspace = self._store.time_zone
        zones = Zones(zone_name(contact_zone, workspace), workspace)
        key = (node_id, zones)
        if key not in self._holds:
            self._holds[key] = rules.hold(self._now, zones)
        return self._holds[key]

    def decide(self, message: MemoryMessage, exits: Mapping[UUID, ExitRule]) -> SendDecision:
        """Return whether the message is sent, skipped or held. `exits`: the exit rules that end
        runs now, by run."""
        reason = self.blocked_reason(message)
        if reason is not None:
            return SendDecision(reason)
        if (rule := exits.get(message.run.id)) is not None:
            return SendDecision(rule.why, exit_rule=rule)
        if (hold := self.hold(message)) is not None:
            skipping = hold.skips(message.queued_at)
            return SendDecision(skipping, None if skipping else (hold.rule, hold.until))
        if (cap := self.cap(message)) is not None:
            held = None if cap.until is None else (cap.rule, cap.until)
            return SendDecision(cap.rule if held is None else None, held)
        return _SEND

    def cap(self, message: MemoryMessage) -> CapHold | None:
        """Return the cap that holds or skips the message, None if it may be sent."""
        caps, note = self._store.rules.caps, message.note
        if not caps or self._store.graph.cap_priority(note.node_id) is None:
            return None
        contact = message.run.contact
        zone = zone_name(contact.custom_fields.get("timezone"), self._store.time_zone)
        return hold_by_caps(
            caps,
            note.channel,
            contact.sends,
            zone=zone,
            queued_at=message.queued_at,
            now=self._now,
        )

    def counts_in_caps(self, message: MemoryMessage) -> bool:
        """Return whether caps count the message once it is sent."""
        has_caps = bool(self._store.rules.caps)
        return has_caps and self._store.graph.cap_priority(message.note.node_id) is not None

    def _node(self, message: MemoryMessage) -> GraphNode:
        return self._store.graph.nodes[message.note.node_id]


def _suppression(contact: MemoryContact, channel: str) -> str | None:
    reason = contact.suppressions.get(channel)
    if reason is None or channel == "email":
        return reason
    return _OTHER_CHANNEL.get(reason, _OPTED_OUT)
