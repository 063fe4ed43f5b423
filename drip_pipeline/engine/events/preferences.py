"""What the recipient of a message decides through its links: leave and join topics, leave
everything, come back, confirm a topic.

Decisions take effect immediately; their events, which end runs and are the history, pass the inbox
like all other events.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import orjson

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.contacts import topics as topics_db
from drip_pipeline.db.contacts.topics import Confirmation, RecipientTopic, TopicChange
from drip_pipeline.db.events import inbox as inbox_db
from drip_pipeline.db.events.inbox import Arrival
from drip_pipeline.engine.events.payload_readers import LINKS
from drip_pipeline.engine.events.unsubscribe import number_of, unsubscribe

_RESUBSCRIBED: Final = {"email": "email_resubscribed", "sms": "sms_opted_in"}
By = Literal["one_click", "page", "confirmation"]


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the recipient of a message gets: nothing of the message's channel if `is_unsubscribed`,
    otherwise the topics that are not left."""

    is_unsubscribed: bool
    topics: Sequence[RecipientTopic]

    @property
    def of_message(self) -> RecipientTopic | None:
        """The topic that the message belongs to."""
        return next((topic for topic in self.topics if topic.is_of_message), None)


def preferences(database: Database, delivery_id: UUID) -> Preferences | None:
    """Return what the recipient of a message gets, None if there is no such message."""
    with database.transaction(is_read_only=True) as connection:
        recipient = inbox_db.recipient_of(connection, delivery_id)
        if recipient is None:
            return None
        topics = topics_db.of_recipient(connection, delivery_id)
    return Preferences(recipient.is_unsubscribed, topics)


def leave(database: Database, delivery_id: UUID, *, now: datetime) -> bool:
    """Leave the topic of a message, or everything if it has none (RFC 8058). Idempotent.

    Return False if there is no such message.
    """
    current = preferences(database, delivery_id)
    if current is None:
        return False
    topic = current.of_message
    if topic is None:
        return unsubscribe(database, delivery_id, now=now)
    choice = TopicChange(topic.topic, "unsubscribed")
    return _choose(database, delivery_id, [choice], "one_click", now)


def choose_topics(
    database: Database, delivery_id: UUID, chosen: Collection[str], *, now: datetime
) -> bool:
    """Join the chosen topics and leave the others, as the recipient of a message. Idempotent.

    The link in the message proves whose address it is, so that a topic that asks for a confirmation
    has it. Return False if there is no such message.
    """
    current = preferences(database, delivery_id)
    if current is None:
        return False
    choices = [
        TopicChange(each.topic, "subscribed" if each.topic in chosen else "unsubscribed")
        for each in current.topics
        # Who is asked to confirm a topic and does not choose it has decided nothing.
        if each.topic in chosen or each.status == "subscribed"
    ]
    return _choose(database, delivery_id, choices, "page", now)


def subscribe_again(database: Database, delivery_id: UUID, *, now: datetime) -> bool:
    """Take back that the recipient of a message unsubscribed from everything. Idempotent.

    Topics that they left stay left, and so do bounces, complaints and entries of an operator.
    Return False if there is no such message.
    """
    with database.transaction() as connection:
        recipient = inbox_db.recipient_of(connection, delivery_id)
        if recipient is None:
            return False
        number = number_of(recipient)
        if topics_db.resubscribe_recipient(connection, delivery_id, number=number, now=now):
            event_id = f"resubscribe:{delivery_id}:{now.isoformat()}"
            event_type = _RESUBSCRIBED[recipient.channel]
            _append(connection, delivery_id, event_id, event_type, {"by": "page"}, now)
    return True


def confirmation(database: Database, delivery_id: UUID) -> Confirmation | None:
    """Return the topic that a message asks to confirm, None if it asks for none."""
    with database.transaction(is_read_only=True) as connection:
        return topics_db.confirmation(connection, delivery_id)


def confirm(database: Database, delivery_id: UUID, *, now: datetime) -> Confirmation | None:
    """Confirm the topic that a message asks about, if it is pending, and return it. Idempotent."""
    with database.transaction() as connection:
        topic = topics_db.confirm(connection, delivery_id, now)
        if topic is not None:
            change = TopicChange(topic, "subscribed")
            _append_changes(connection, delivery_id, [change], "confirmation", now)
        return topics_db.confirmation(connection, delivery_id)


def _choose(
    database: Database, delivery_id: UUID, choices: Sequence[TopicChange], by: By, now: datetime
) -> bool:
    with database.transaction() as connection:
        recipient = inbox_db.recipient_of(connection, delivery_id)
        if recipient is None:
            return False
        changed = topics_db.set_of_recipient(
            connection, delivery_id, choices, number=number_of(recipient), now=now
        )
        _append_changes(connection, delivery_id, changed, by, now)
    return True


def _append_changes(
    connection: Connection,
    delivery_id: UUID,
    changes: Sequence[TopicChange],
    by: By,
    now: datetime,
) -> None:
    for change in changes:
        event_id = f"topic:{delivery_id}:{change.topic}:{change.status}:{now.isoformat()}"
        data = {"topic": change.topic, "by": by}
        _append(connection, delivery_id, event_id, f"topic_{change.status}", data, now)


def _append(
    connection: Connection,
    delivery_id: UUID,
    event_id: str,
    event_type: str,
    data: dict[str, str],
    now: datetime,
) -> None:
    event = {
        "event_id": event_id,
        "event_type": event_type,
        "occurred_at": now.isoformat(),
        "message_id": str(delivery_id),
        "data": data,
    }
    inbox_db.append(connection, [Arrival(LINKS, orjson.dumps(event), now)])
