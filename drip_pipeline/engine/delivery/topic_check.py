"""Topics at the eligibility check: a message whose contact left its topic is not sent, and one
whose contact has not confirmed it waits, after the contact was asked once.

Messages of versions that name no topic cost nothing: no statement is run for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.contacts import topics as topics_db
from drip_pipeline.db.contacts.topics import MessageOfTopic
from drip_pipeline.db.delivery import held_messages as held_db
from drip_pipeline.db.delivery.deliveries import LeasedDelivery, Quota
from drip_pipeline.db.delivery.held_messages import HeldMessage
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.delivery.send_rules import HELD
from drip_pipeline.errors import VersionNotFound

CONFIRMATION: Final = "topic_confirmation"
"""The rule that holds messages until their contact confirms the topic."""
NOT_CONFIRMED: Final = "not_confirmed"
LONGEST_WAIT: Final = timedelta(days=30)
"""After which messages to a contact that has not confirmed the topic are skipped."""
_LEFT: Final = "unsubscribed"


def apply_topics(
    connection: Connection,
    quotas: Sequence[Quota],
    leased: list[LeasedDelivery],
    *,
    now: datetime,
) -> tuple[list[LeasedDelivery], Mapping[str, int]]:
    """Mark as blocked the messages whose contacts left or have not confirmed the topic.

    `quotas` say of which versions the messages are.

    Return the messages, and the numbers of those that are held, by rule. The caller's transaction
    holds the messages locked.
    """
    topics = _topics(connection, quotas)
    if not topics:
        return leased, {}
    messages = {
        each.id: MessageOfTopic(each.id, each.contact_id, each.workspace_id, topic)
        for each in leased
        if each.blocked_reason is None
        and (topic := topics.get((each.campaign_id.int, each.campaign_version))) is not None
    }
    if not messages:
        return leased, {}
    refusals = topics_db.refusals(connection, list(messages.values()))
    reasons = {refusal.id: _LEFT for refusal in refusals if refusal.has_left}
    held = _hold(
        connection, [messages[each.id] for each in refusals if not each.has_left], reasons, now
    )
    if not reasons:
        return leased, {}
    checked = [
        each._replace(blocked_reason=reasons[each.id]) if each.id in reasons else each
        for each in leased
    ]
    return checked, {CONFIRMATION: held} if held else {}


def _hold(
    connection: Connection,
    messages: list[MessageOfTopic],
    reasons: dict[UUID, str],
    now: datetime,
) -> int:
    """Ask for the confirmations of these messages, and hold them; add to `reasons`. Return the
    number of held messages."""
    if not messages:
        return 0
    topics_db.request_confirmations(connection, messages, now)
    consents = {consent.id: consent for consent in topics_db.consents(connection, messages)}
    held: list[HeldMessage] = []
    for message in messages:
        consent = consents.get(message.id)
        if consent is None:
            reasons[message.id] = NOT_CONFIRMED  # without an email address nobody can be asked
        elif consent.status == "unsubscribed":
            reasons[message.id] = _LEFT
        elif consent.status == "pending":
            until = consent.changed_at + LONGEST_WAIT
            reasons[message.id] = HELD if until > now else NOT_CONFIRMED
            if until > now:
                held.append(HeldMessage(message.id, CONFIRMATION, until))
    if held:
        held_db.hold(connection, held, now)
    return len(held)


def _topics(connection: Connection, quotas: Sequence[Quota]) -> dict[tuple[int, int], str]:
    """Return the topics of the versions that name one."""
    topics: dict[tuple[int, int], str] = {}
    for group in [quota.group for quota in quotas]:
        try:
            version = version_cache.version(connection, group.campaign_id, group.campaign_version)
        except VersionNotFound:
            continue  # rendering reports it
        if version.graph.topic is not None:
            # By the integer: a UUID computes its hash in Python.
            topics[group.campaign_id.int, group.campaign_version] = version.graph.topic
    return topics
