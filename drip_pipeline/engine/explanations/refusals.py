"""What keeps messages from a contact now: suppressions, topics, the holdout, missing addresses.

The eligibility check at the lease decides (sql/queries/deliveries.sql); this predicts its decision
for the next message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from drip_pipeline.db.explanations.one_person import PersonRow, SuppressionRow, TopicState
from drip_pipeline.domain.graph.graph import CampaignGraph, GraphNode
from drip_pipeline.domain.graph.nodes import channel_of, sends_to_person
from drip_pipeline.engine.explanations.wording import reason

_LISTED: Final = ("unsubscribed", "complained", "bounced", "soft_bounced", "manual")
_OF_SMS: Final = {"bounced": "unreachable", "soft_bounced": "unreachable", "manual": "suppressed"}


class ContactRefusal(NamedTuple):
    """Why a message would not be sent. `ends_run`: the run ends with it; `since`: when it was
    decided."""

    text: str
    ends_run: bool
    since: datetime | None


@dataclass(frozen=True, slots=True)
class ContactRefusals:
    """What keeps messages from one contact."""

    person: PersonRow
    suppressions: Sequence[SuppressionRow]
    topics: Sequence[TopicState]
    is_in_holdout: bool

    def of_everything(self) -> ContactRefusal | None:
        """Return why the contact gets no messages by email, whatever the campaign is."""
        return self._suppression("email", None)

    def of_campaign(self, campaign_id: UUID) -> ContactRefusal | None:
        """Return why the contact cannot enter a campaign because of its suppressions."""
        return self._suppression("email", campaign_id) or self._suppression("sms", campaign_id)

    def of_node(
        self, graph: CampaignGraph, node: GraphNode, campaign_id: UUID
    ) -> ContactRefusal | None:
        """Return why a message of this node would not be sent; None if it would, or if the node
        sends the contact no message."""
        channel = channel_of(node.config)
        if channel is None or not sends_to_person(node.config):
            return None
        by_list = self._suppression(channel, campaign_id)
        if by_list is not None:
            return by_list
        if not (self.person.email if channel == "email" else self.person.phone):
            return ContactRefusal(reason("no_address"), False, None)
        custom = self.person.custom_fields
        consent = custom.get(f"consent_{channel}") if isinstance(custom, dict) else None
        if consent is not None and str(consent).lower() in ("false", "no", "0"):
            return ContactRefusal(reason("no_consent"), False, None)
        topic = next((each for each in self.topics if each.name == graph.topic), None)
        if topic is not None and topic.status == "unsubscribed":
            return ContactRefusal(
                f"the contact has left the topic {topic.name!r}", True, topic.changed_at
            )
        if self.is_in_holdout and node.kind == "marketing":
            return ContactRefusal(reason("holdout"), False, None)
        return None

    def _suppression(self, channel: str, campaign_id: UUID | None) -> ContactRefusal | None:
        applying = [
            row
            for row in self.suppressions
            if row.applies
            and row.channel in (None, channel)
            and row.campaign_id in (None, campaign_id)
        ]
        # An unsubscription takes precedence, as in the eligibility check.
        applying.sort(key=lambda row: row.reason != "unsubscribed")
        for row in applying:
            if row.channel in (None, "email") and row.reason in _LISTED:
                return ContactRefusal(reason(row.reason), True, row.created_at)
        for row in applying:
            return ContactRefusal(
                reason(_OF_SMS.get(row.reason, "opted_out")), False, row.created_at
            )
        return None
