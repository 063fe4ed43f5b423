"""What an operator decides for a contact, with a reason: suppress it, or let it join a topic again.

An operator's no belongs to the addresses: an address that the contact gets later is free. Lifting
suppressions that are not of a topic belongs to resubscribe.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from drip_pipeline.db.campaigns import workspaces as workspaces_db
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.contacts import suppressions as suppressions_db
from drip_pipeline.db.contacts import topics as topics_db
from drip_pipeline.db.execution.topic_states import LeavingContact
from drip_pipeline.domain.addresses import Unusable, clean, parse_phone
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.campaigns.topics import existing_topic
from drip_pipeline.engine.campaigns.workspaces import existing_workspace
from drip_pipeline.engine.execution.topic_exits import end_runs_of_topics
from drip_pipeline.errors import NotAllowed

_TOPIC_OR_CHANNEL = "a topic is left and joined on all channels; name either --topic or --channel"


@dataclass(frozen=True, slots=True)
class Suppressed:
    """The numbers of contacts of the address, of addresses suppressed, and of runs ended."""

    contacts: int
    suppressed: int
    ended: int


@dataclass(frozen=True, slots=True)
class Rejoined:
    """The numbers of contacts of the address, and of addresses that join the topic again.
    `needs_confirmation`: they get messages of the topic once they have confirmed it."""

    contacts: int
    lifted: int
    needs_confirmation: bool


@dataclass(frozen=True, slots=True)
class _Person:
    """The contacts of an address or id, and their addresses with the contact, if there is one."""

    contact_ids: list[UUID]
    addresses: list[tuple[UUID | None, str]]


def suppress(
    database: Database,
    who: str,
    *,
    reason: str,
    now: datetime,
    channel: str | None = None,
    topic: str | None = None,
    workspace: str | None = None,
    actor: Actor = LIBRARY,
) -> Suppressed:
    """Suppress a contact, given by id or address, or an address: everywhere, on a channel, or for a
    topic. Ends its runs there, except for SMS. Idempotent.

    Raises NotAllowed for an unknown id, workspace or topic, and for a topic with a channel.
    """
    if channel and topic:
        raise NotAllowed(_TOPIC_OR_CHANNEL)
    with database.transaction() as connection:
        workspace_id = existing_workspace(connection, workspace)
        person = _person(connection, workspace_id, who)
        addresses = [
            pair
            for pair in person.addresses
            if channel is None or ("@" in pair[1]) == (channel == "email")
        ]
        if topic is None:
            suppressed = suppressions_db.suppress_addresses(
                connection, workspace_id, addresses, channel, note=reason, now=now
            )
        else:
            existing_topic(connection, workspace_id, topic, accepts_archived=True)
            suppressed = topics_db.set_by_operator(
                connection, workspace_id, topic, addresses, "unsubscribed", now
            )
        ended = 0
        if suppressed:
            ended = _end_runs(connection, person, channel, topic, now)
            if topic is not None:
                topics_db.log_change(
                    connection,
                    workspace_id,
                    topic,
                    person.contact_ids,
                    "topic_unsubscribed",
                    reason=reason,
                    now=now,
                )
            audit.record(
                connection,
                actor,
                "suppress",
                _subject(workspace_id, person),
                now=now,
                reason=reason,
                details={
                    "channel": channel,
                    "topic": topic,
                    "suppressed": suppressed,
                    "ended": ended,
                },
            )
    return Suppressed(len(person.contact_ids), suppressed, ended)


def rejoin(
    database: Database,
    who: str,
    topic: str,
    *,
    reason: str,
    now: datetime,
    channel: str | None = None,
    workspace: str | None = None,
    actor: Actor = LIBRARY,
) -> Rejoined:
    """Lift the no of a contact, given by id or address, to a topic, also an operator's.

    Idempotent. If the topic asks for a confirmation, the contact is asked once. Raises NotAllowed
    for an unknown contact, workspace or topic, and with a channel.
    """
    if channel:
        raise NotAllowed(_TOPIC_OR_CHANNEL)
    with database.transaction() as connection:
        workspace_id = existing_workspace(connection, workspace)
        existing_topic(connection, workspace_id, topic)
        person = _person(connection, workspace_id, who)
        rows = {row.name: row for row in topics_db.listed(connection, workspace_id)}
        needs_confirmation = rows[topic].double_opt_in
        if needs_confirmation and not person.contact_ids:
            raise NotAllowed(
                f"topic {topic!r} asks for a confirmation, and no contact has this address",
                hint="Import the contact first (`drip contacts import`).",
            )
        lifted = topics_db.set_by_operator(
            connection,
            workspace_id,
            topic,
            person.addresses,
            "pending" if needs_confirmation else "subscribed",
            now,
        )
        if lifted:
            topics_db.log_change(
                connection,
                workspace_id,
                topic,
                person.contact_ids,
                "topic_requested" if needs_confirmation else "topic_subscribed",
                reason=reason,
                now=now,
            )
            audit.record(
                connection,
                actor,
                "resubscribe",
                _subject(workspace_id, person),
                now=now,
                reason=reason,
                details={"topic": topic, "lifted": lifted, "pending": needs_confirmation},
            )
    return Rejoined(len(person.contact_ids), lifted, needs_confirmation)


def _end_runs(
    connection: Connection, person: _Person, channel: str | None, topic: str | None, now: datetime
) -> int:
    if channel == "sms":
        return 0
    left = [LeavingContact(contact_id, topic) for contact_id in person.contact_ids]
    if topic is not None:
        return end_runs_of_topics(connection, left, batch_id=uuid4(), now=now)
    return end_runs_of_topics(
        connection,
        left,
        batch_id=uuid4(),
        now=now,
        exit_reason="suppressed",
        enrollment_status="completed",
    )


def _person(connection: Connection, workspace_id: UUID, who: str) -> _Person:
    try:
        contact_id, address = UUID(who), None
    except ValueError:
        contact_id, address = None, clean(who)
    region = workspaces_db.regions(connection, [workspace_id])[workspace_id]
    contacts = suppressions_db.contacts_to_resubscribe(
        connection, workspace_id, contact_id, address
    )
    contact_of: dict[str, UUID | None] = {}
    for contact in contacts:
        for text in (contact.email, contact.phone):
            if text:
                contact_of.setdefault(_stored(text, region), contact.id)
    if address:
        contact_of.setdefault(_stored(address, region), None)
    if not contact_of:
        raise NotAllowed("no contact of this workspace has this id")
    return _Person(
        [contact.id for contact in contacts],
        [(each, text) for text, each in contact_of.items()],
    )


def _stored(text: str, region: str | None) -> str:
    """Return an address as it is stored: a phone number in E.164 form, if it can be read."""
    if "@" in text:
        return text.lower()
    number = parse_phone(text, region)
    return text if isinstance(number, Unusable) else number


def _subject(workspace_id: UUID, person: _Person) -> audit.Subject:
    first = person.contact_ids[0] if person.contact_ids else None
    return audit.Subject("contact", workspace_id, first)
