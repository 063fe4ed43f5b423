"""Test sends: hand the messages of a campaign to its channel for some addresses.

The messages are those of delivery, but for the mark in the subject. No state, outbox row, event,
metric, permit or breaker is read or written; the audit trail gets one row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal
from uuid import UUID, uuid4

from drip_pipeline.channels.protocol import Channel, DeliveryResult, Outcome, OutgoingMessage
from drip_pipeline.db.campaigns import workspaces as workspaces_db
from drip_pipeline.db.connection import Database
from drip_pipeline.db.contacts import preview as contacts_db
from drip_pipeline.domain.graph.graph import GraphNode
from drip_pipeline.domain.graph.nodes import channel_of
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.campaigns.seeds import checked_addresses, seed_list
from drip_pipeline.engine.delivery.render import MessageSettings
from drip_pipeline.engine.isolation import describe, is_of_the_data
from drip_pipeline.engine.preview.preview import LoadedPreview, PreviewRequest, load
from drip_pipeline.engine.preview.recipients import Person
from drip_pipeline.errors import NotAllowed

MARK: Final = "[Test]"
SentTestStatus = Literal["sent", "recorded", "skipped", "failed"]


@dataclass(frozen=True, slots=True)
class SentTest:
    """One test message. `reason` says why it was not sent, `to` is its address."""

    node_id: str
    channel: str
    to: str
    status: SentTestStatus
    subject: str = ""
    message_id: UUID | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SendTestReport:
    """The result of a test send. `seen_by` is the person whose values the messages have, `notes`
    name messages that no address could get."""

    campaign: str
    seen_by: str
    messages: Sequence[SentTest]
    notes: Sequence[str] = ()

    def count(self, status: SentTestStatus) -> int:
        """Return the number of messages with this status."""
        return sum(message.status == status for message in self.messages)


def send_test(
    database: Database,
    request: PreviewRequest,
    addresses: Sequence[str],
    seeds: str | None = None,
    *,
    settings: MessageSettings,
    channels: Mapping[str, Channel],
    is_recorded: bool,
    now: datetime,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> SendTestReport:
    """Send every message of the request once to each address that its channel reaches.

    Without a person in the request, the values are made up. With `is_recorded` (DRIP_DELIVERY is
    `record`) the messages are rendered and nothing is sent. `seeds` names a seed list of the
    workspace. Raises as `preview` does, NotFound for an unknown seed list, and NotAllowed for
    addresses that cannot be used or that no message of the campaign can reach.
    """
    loaded = load(database, request, settings=settings, channels=channels, now=now)
    workspace_id = loaded.source.workspace_id
    recipients, refused = _recipients(database, workspace_id, addresses, seeds)
    person = loaded.recipients[0] if request.person else _made_up(loaded.recipients)
    planned, notes = _planned(loaded, recipients)
    if not planned:
        raise NotAllowed(
            "no message of the campaign can be sent to these addresses",
            hint="Emails go to addresses, SMS to phone numbers. Webhooks and posts are not sent as"
            " tests; `drip campaign preview` shows them.",
        )
    action_id = uuid4()
    subject = audit.Subject(
        "campaign",
        workspace_id,
        loaded.source.campaign_id,
        loaded.source.version.campaign_name,
    )
    counts: dict[str, object] = {"messages": len(planned), "addresses": len(recipients)}

    def record(details: Mapping[str, object]) -> None:
        with database.transaction() as connection:
            audit.record(
                connection,
                actor,
                "test_send",
                subject,
                now=now,
                reason=reason,
                details=details,
                action_id=action_id,
            )

    record(counts)  # before anything leaves, also if the process is killed meanwhile
    sent = _send(loaded, person, planned, refused, is_recorded=is_recorded)
    record({**counts, **Counter(message.status for message in sent)})
    return SendTestReport(loaded.source.version.campaign_name, person.label, sent, notes)


def _recipients(
    database: Database, workspace_id: UUID | None, texts: Sequence[str], seeds: str | None
) -> tuple[list[str], dict[str, str]]:
    """Return the addresses, and the reasons of those that the workspace must not send to."""
    with database.transaction(is_read_only=True) as connection:
        listed: tuple[str, ...] = ()
        region = None
        if seeds is not None and workspace_id is None:
            raise NotAllowed(
                "a seed list belongs to a workspace, and the file names none",
                hint="Name one with --workspace.",
            )
        if workspace_id is not None:
            region = workspaces_db.regions(connection, [workspace_id])[workspace_id]
            if seeds is not None:
                listed = seed_list(connection, workspace_id, seeds).addresses
        recipients = checked_addresses([*texts, *listed], region)
        if not recipients:
            raise NotAllowed("there is no address", hint="Name addresses with --to, or --seeds.")
        refused: dict[str, str] = {}
        if workspace_id is not None:
            rows = contacts_db.refused_addresses(connection, workspace_id, recipients)
            refused = {row.address: row.reason for row in rows}
    return recipients, refused


def _made_up(candidates: Sequence[Person]) -> Person:
    """Return the made-up person with the usual values: no contact's data goes to testers."""
    return next(person for person in candidates if person.is_made_up)


def _planned(
    loaded: LoadedPreview, recipients: Sequence[str]
) -> tuple[list[tuple[GraphNode, str]], list[str]]:
    planned: list[tuple[GraphNode, str]] = []
    notes: list[str] = []
    for node in loaded.nodes:
        category = channel_of(node.config)
        matching = [
            address for address in recipients if category == ("email" if "@" in address else "sms")
        ]
        planned += [(node, address) for address in matching]
        if category not in ("email", "sms"):
            notes.append(f"{node.node_id} ({category}) is not sent as a test")
        elif not matching:
            what = "email address" if category == "email" else "phone number"
            notes.append(f"{node.node_id} ({category}) is not sent: there is no {what}")
    return planned, notes


def _send(
    loaded: LoadedPreview,
    person: Person,
    planned: Sequence[tuple[GraphNode, str]],
    refused: Mapping[str, str],
    *,
    is_recorded: bool,
) -> list[SentTest]:
    results: list[SentTest] = []
    for node, address in planned:
        base = SentTest(node.node_id, channel_of(node.config) or "", address, "skipped")
        if address in refused:
            why = f"the address is suppressed: {refused[address]}"
            results.append(replace(base, reason=why))
            continue
        try:
            message = _addressed(loaded.previewer.message(node, person, uuid4()), address)
        except Exception as error:
            if not is_of_the_data(error):
                raise
            results.append(replace(base, status="failed", reason=describe(error)))
            continue
        base = replace(base, subject=message.subject, message_id=message.delivery_id)
        results.append(
            replace(base, status="recorded") if is_recorded else _sent(loaded, node, message, base)
        )
    return results


def _addressed(message: OutgoingMessage, address: str) -> OutgoingMessage:
    """Return the message to the tester's address, its subject marked. An SMS has no subject, and a
    mark in its text would change its segments."""
    subject = f"{MARK} {message.subject}" if message.channel == "email" else message.subject
    return message._replace(recipient=address, subject=subject)


def _sent(
    loaded: LoadedPreview, node: GraphNode, message: OutgoingMessage, base: SentTest
) -> SentTest:
    transport = loaded.transports.get(node.node_id)
    if transport is None or transport.channel is None:
        problem = "no channel" if transport is None else transport.problem
        return replace(base, status="failed", reason=problem)
    (result,) = transport.channel.send([message])
    if result.outcome is Outcome.ACCEPTED:
        return replace(base, status="sent")
    return replace(base, status="failed", reason=_reason(result))


def _reason(result: DeliveryResult) -> str:
    what = "it may have been sent: " if result.outcome is Outcome.UNKNOWN else ""
    why = ": ".join(text for text in (result.error_code, result.error) if text)
    return f"{what}{why or result.outcome.value}"
