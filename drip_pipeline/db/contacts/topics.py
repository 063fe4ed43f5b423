"""Queries of topics: those of a workspace, and what people have decided about them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.binary_arrays import uuids
from drip_pipeline.db.connection import Connection

ConsentStatus = Literal["subscribed", "pending", "unsubscribed"]


class TopicName(NamedTuple):
    """A topic of a workspace, as campaign files name it."""

    name: str
    is_archived: bool


class TopicRow(NamedTuple):
    """A topic with the numbers of its published campaigns, and of addresses by their decision."""

    name: str
    title: str
    description: str | None
    double_opt_in: bool
    archived_at: datetime | None
    campaigns: int
    subscribed: int
    pending: int
    unsubscribed: int


class MessageOfTopic(NamedTuple):
    """A leased message and the topic that it belongs to."""

    id: UUID
    contact_id: UUID
    workspace_id: UUID
    topic: str


class TopicRefusal(NamedTuple):
    """A message whose contact left the topic or, without `has_left`, has not confirmed it."""

    id: UUID
    has_left: bool


class MessageConsent(NamedTuple):
    """What the address of a message has decided about the message's topic, and when."""

    id: UUID
    status: ConsentStatus
    changed_at: datetime


class RecipientTopic(NamedTuple):
    """A topic that the recipient of a message can leave and join, unless an operator's no locks
    it. `is_of_message`: the message belongs to it.
    """

    topic: str
    title: str
    description: str | None
    is_of_message: bool
    status: ConsentStatus
    is_locked: bool


class TopicChange(NamedTuple):
    """A topic and the status that it changed to."""

    topic: str
    status: ConsentStatus


class Confirmation(NamedTuple):
    """The topic that a message asks to confirm, and what its address has decided."""

    topic: str
    title: str
    status: ConsentStatus


def names(connection: Connection, workspace_id: UUID) -> list[TopicName]:
    """Return the names of a workspace's topics."""
    return queries.records(connection, "topic_names", TopicName, workspace_id=workspace_id)


def listed(connection: Connection, workspace_id: UUID) -> list[TopicRow]:
    """Return the topics of a workspace with their numbers, archived ones last."""
    return queries.records(connection, "topics_of_workspace", TopicRow, workspace_id=workspace_id)


def store(
    connection: Connection,
    workspace_id: UUID,
    name: str,
    *,
    title: str | None,
    description: str | None,
    double_opt_in: bool | None,
    now: datetime,
) -> bool:
    """Add or change a topic; None leaves what is stored. Return whether anything changed."""
    return bool(
        queries.run(
            connection,
            "store_topic",
            workspace_id=workspace_id,
            name=name,
            title=title,
            description=description,
            double_opt_in=double_opt_in,
            now=now,
        )
    )


def archive(connection: Connection, workspace_id: UUID, name: str, now: datetime) -> bool:
    """Archive a topic. Return whether it was in use."""
    return bool(
        queries.run(connection, "archive_topic", workspace_id=workspace_id, name=name, now=now)
    )


def refusals(connection: Connection, messages: Sequence[MessageOfTopic]) -> list[TopicRefusal]:
    """Return the messages that must not be sent because of their topic."""
    columns = queries.columns(MessageOfTopic, messages)
    return queries.records(
        connection,
        "topic_refusals",
        TopicRefusal,
        ids=columns["id"],
        contact_ids=columns["contact_id"],
        workspace_ids=columns["workspace_id"],
        topics=columns["topic"],
    )


def left_by(
    connection: Connection, workspace_id: UUID, topic: str, contact_ids: Sequence[UUID]
) -> frozenset[UUID]:
    """Return those of these contacts that left the topic."""
    return frozenset(
        queries.column(
            connection,
            "contacts_outside_topic",
            workspace_id=workspace_id,
            topic=topic,
            contact_ids=uuids(contact_ids),
        )
    )


def request_confirmations(
    connection: Connection, messages: Sequence[MessageOfTopic], now: datetime
) -> int:
    """Ask the contacts of messages to confirm the topic, once for each address. Return how many
    are asked now."""
    return queries.run(
        connection,
        "request_topic_confirmations",
        contact_ids=[message.contact_id for message in messages],
        workspace_ids=[message.workspace_id for message in messages],
        topics=[message.topic for message in messages],
        now=now,
    )


def consents(connection: Connection, messages: Sequence[MessageOfTopic]) -> list[MessageConsent]:
    """Lock and return the consents of the messages' addresses, where there are any."""
    return queries.records(
        connection,
        "unconfirmed_messages",
        MessageConsent,
        ids=[message.id for message in messages],
        contact_ids=[message.contact_id for message in messages],
        workspace_ids=[message.workspace_id for message in messages],
        topics=[message.topic for message in messages],
    )


def apply_events(connection: Connection) -> int:
    """Set the consents of this transaction's events. Return how many changed."""
    return int(queries.scalar(connection, "apply_topic_events") or 0)


def set_by_operator(
    connection: Connection,
    workspace_id: UUID,
    topic: str,
    addresses: Sequence[tuple[UUID | None, str]],
    status: ConsentStatus,
    now: datetime,
) -> int:
    """Set an operator's decision about addresses, each with its contact, if there is one. Return
    how many changed."""
    return int(
        queries.scalar(
            connection,
            "set_topic_consents",
            workspace_id=workspace_id,
            topic=topic,
            contact_ids=[contact_id for contact_id, _ in addresses],
            addresses=[address for _, address in addresses],
            status=status,
            now=now,
        )
    )


def log_change(
    connection: Connection,
    workspace_id: UUID,
    topic: str,
    contact_ids: Sequence[UUID],
    event_type: str,
    *,
    reason: str,
    now: datetime,
) -> None:
    """Log an operator's decision about a topic as an event of each contact."""
    queries.run(
        connection,
        "log_topic_change",
        workspace_id=workspace_id,
        topic=topic,
        contact_ids=list(contact_ids),
        event_type=event_type,
        reason=reason,
        now=now,
    )


def of_recipient(connection: Connection, delivery_id: UUID) -> list[RecipientTopic]:
    """Return the topics that the recipient of a message can leave and join."""
    return queries.records(connection, "recipient_topics", RecipientTopic, id=delivery_id)


def set_of_recipient(
    connection: Connection,
    delivery_id: UUID,
    choices: Sequence[TopicChange],
    *,
    number: str | None,
    now: datetime,
) -> list[TopicChange]:
    """Store what the recipient of a message decides; return what changed."""
    return queries.records(
        connection,
        "set_recipient_topics",
        TopicChange,
        id=delivery_id,
        number=number,
        topics=[choice.topic for choice in choices],
        statuses=[choice.status for choice in choices],
        now=now,
    )


def resubscribe_recipient(
    connection: Connection, delivery_id: UUID, *, number: str | None, now: datetime
) -> int:
    """Take back that a message's recipient unsubscribed. Return the number of lifted entries."""
    return int(
        queries.scalar(connection, "resubscribe_recipient", id=delivery_id, number=number, now=now)
    )


def confirmation(connection: Connection, delivery_id: UUID) -> Confirmation | None:
    """Return the topic that a message asks to confirm, None if the message asks for none."""
    return queries.record(connection, "confirmation_of_delivery", Confirmation, id=delivery_id)


def confirm(connection: Connection, delivery_id: UUID, now: datetime) -> str | None:
    """Confirm the topic that a message asks about; return its name if it was pending."""
    topic: str | None = queries.scalar(connection, "confirm_topic", id=delivery_id, now=now)
    return topic
