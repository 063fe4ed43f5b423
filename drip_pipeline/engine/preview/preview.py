"""Preview a campaign: every message as a person would get it, for one person or for ten chosen
ones. Reads only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from drip_pipeline.channels.protocol import Channel
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.contacts import preview as contacts_db
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.db.publishing import versions as versions_db
from drip_pipeline.domain.graph.graph import GraphNode
from drip_pipeline.domain.graph.nodes import channel_of
from drip_pipeline.engine.delivery.render import MessageSettings
from drip_pipeline.engine.preview.choose import BranchNote, TracedText, choose
from drip_pipeline.engine.preview.message_preview import MessagePreview, MessagePreviewer
from drip_pipeline.engine.preview.recipients import Person, made_up, person_of, with_data
from drip_pipeline.engine.preview.source import (
    PreviewSource,
    campaign_source,
    definition_source,
)
from drip_pipeline.engine.publishing.template_folder import STANDARD_INPUT, definition_of_file
from drip_pipeline.engine.transports.transport import Transport, load_rows, source_of
from drip_pipeline.errors import NotFound
from drip_pipeline.redaction import redact
from drip_pipeline.settings import Settings

_URL: Final = re.compile(r"https?://\S+")
MOST_CONTACTS: Final = 400
"""Contacts of the workspace among which the people of a preview are chosen."""


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """What to preview: a campaign by name or id, or the text of a campaign file.

    `path` is that of the file, beside which its templates are; with `settings`, its attachments are
    read. `person` is an address or an id;
    without one, people are chosen. `node_id` selects one message. `data` is the entry data of all
    people. `workspace` is that of a file that names none.
    """

    campaign: str | None = None
    file: str | None = None
    path: Path | None = None
    settings: Settings | None = None
    person: str | None = None
    node_id: str | None = None
    data: Mapping[str, Any] | None = None
    workspace: str | None = None


@dataclass(frozen=True, slots=True)
class PersonPreview:
    """The messages of one person; `why` says what the person shows."""

    person: str
    is_made_up: bool
    why: Sequence[str]
    messages: Sequence[MessagePreview]


@dataclass(frozen=True, slots=True)
class CampaignPreview:
    """A preview. `branches`: all branches of the texts, and whether one of the people sees them.
    `versions`: the number of different messages by node. `notes`: what publishing would refuse."""

    campaign: str
    source: str
    recipients: Sequence[PersonPreview]
    branches: Sequence[BranchNote]
    versions: Mapping[str, int]
    notes: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the preview as JSON."""
        return asdict(self)

    @property
    def unseen(self) -> list[BranchNote]:
        """The branches that none of the people sees."""
        return [branch for branch in self.branches if not branch.is_seen]

    @property
    def failures(self) -> int:
        """The messages that cannot be rendered."""
        return sum(m.status == "failed" for person in self.recipients for m in person.messages)


@dataclass(frozen=True, slots=True)
class LoadedPreview:
    """What a preview or a test send works with: the campaign, its messages, and the people."""

    source: PreviewSource
    nodes: list[GraphNode]
    texts: list[TracedText]
    previewer: MessagePreviewer
    recipients: list[Person]
    transports: Mapping[str, Transport]


def preview(
    database: Database | None,
    request: PreviewRequest,
    *,
    settings: MessageSettings,
    channels: Mapping[str, Channel],
    now: datetime,
) -> CampaignPreview:
    """Render every message for the people of the request. Without a database (only for a file) the
    people are made up.

    Raises CampaignNotFound, DefinitionInvalid with all problems of a file, NotFound for an unknown
    contact, NotAllowed for an unknown node.
    """
    loaded = load(database, request, settings=settings, channels=channels, now=now)
    choice = choose(loaded.recipients, loaded.texts, loaded.previewer.contexts)
    recipients = [
        PersonPreview(
            person.label,
            person.is_made_up,
            () if request.person else person.why,
            [loaded.previewer.preview(node, person) for node in loaded.nodes],
        )
        for person in choice.recipients
    ]
    return CampaignPreview(
        loaded.source.version.campaign_name,
        loaded.source.label,
        _with_differences(recipients),
        choice.branches,
        {
            node.node_id: len({_content(person.messages[n]) for person in recipients})
            for n, node in enumerate(loaded.nodes)
        },
        loaded.source.notes,
    )


def load(
    database: Database | None,
    request: PreviewRequest,
    *,
    settings: MessageSettings,
    channels: Mapping[str, Channel],
    now: datetime,
) -> LoadedPreview:
    """Load the campaign and the candidates of a preview in one read-only transaction."""
    if database is None:
        source = _file_source(None, request)
        return _loaded(None, source, request, settings, channels, now)
    with database.transaction(is_read_only=True) as connection:
        source = (
            _file_source(connection, request)
            if request.campaign is None
            else campaign_source(connection, request.campaign)
        )
        return _loaded(connection, source, request, settings, channels, now)


def _file_source(connection: Connection | None, request: PreviewRequest) -> PreviewSource:
    definition = definition_of_file(
        request.path or STANDARD_INPUT, request.file or "", settings=request.settings
    )
    if connection is None:
        return definition_source(definition)
    rows = publish_db.workspaces(connection, request.workspace or definition.workspace)
    if len(rows) != 1:  # none, or no choice: the people are made up
        return definition_source(definition)
    workspace_id = rows[0].id
    campaigns = versions_db.campaigns_of_name(connection, workspace_id, definition.name)
    return definition_source(
        definition,
        known_custom_fields=publish_db.custom_field_names(connection, workspace_id),
        campaign_id=campaigns[0].id if len(campaigns) == 1 else None,
        workspace_id=workspace_id,
    )


def _loaded(
    connection: Connection | None,
    source: PreviewSource,
    request: PreviewRequest,
    settings: MessageSettings,
    channels: Mapping[str, Channel],
    now: datetime,
) -> LoadedPreview:
    nodes = source.message_nodes(request.node_id)
    texts = source.texts(nodes)
    transports = {
        node.node_id: transport
        for node in nodes
        if (transport := _transport(connection, source, node, channels)) is not None
    }
    previewer = MessagePreviewer(
        source.version, nodes, texts, source.written.nodes, settings, transports, now
    )
    recipients = _recipients(connection, source, texts, request, now)
    return LoadedPreview(source, nodes, texts, previewer, recipients, transports)


def _recipients(
    connection: Connection | None,
    source: PreviewSource,
    texts: Sequence[TracedText],
    request: PreviewRequest,
    now: datetime,
) -> list[Person]:
    templates = list(dict.fromkeys(text.template for text in texts))
    is_entered_by_event = source.version.graph.is_entered_by_event

    def with_entry(recipients: Sequence[Person]) -> list[Person]:
        return [
            with_data(person, templates, request.data, is_entered_by_event=is_entered_by_event)
            for person in recipients
        ]

    if request.person is not None:
        row = None
        if connection is not None and source.workspace_id is not None:
            row = contacts_db.contact(
                connection,
                source.workspace_id,
                source.campaign_id,
                request.person,
                _as_uuid(request.person),
            )
        if row is None:
            raise NotFound(
                "contact",
                redact(request.person),
                hint="Without --as, people are chosen or made up.",
            )
        return with_entry([person_of(row)])
    recipients: list[Person] = []
    if connection is not None and source.workspace_id is not None:
        rows = contacts_db.contacts(
            connection, source.workspace_id, source.campaign_id, most=MOST_CONTACTS
        )
        recipients = with_entry([person_of(row) for row in rows])
    languages = sorted({text.language for text in texts if text.language is not None})
    invented = made_up(templates, now, languages)
    if request.data is not None:
        invented = [replace(person, entry=request.data) for person in invented]
    return recipients + invented


def _transport(
    connection: Connection | None,
    source: PreviewSource,
    node: GraphNode,
    channels: Mapping[str, Channel],
) -> Transport | None:
    category = channel_of(node.config)
    channel = channels.get(category or "")
    if channel is None or category is None:
        return None
    workspace_id = source.workspace_id
    rows = []
    if connection is not None and workspace_id is not None:
        rows = load_rows(connection, category, [workspace_id]).get(workspace_id, [])
    return source_of(channel).transport_for(rows, node)


def _with_differences(recipients: Sequence[PersonPreview]) -> list[PersonPreview]:
    """Say of every message what it has that the same message of others has not."""
    described = list(recipients)
    for n in range(len(recipients[0].messages) if recipients else 0):
        messages = [person.messages[n] for person in recipients]
        facts = [_facts(message) for message in messages]
        counts = Counter(fact for own in facts for fact in set(own))
        for place, own in enumerate(facts):
            special = [fact for fact in own if counts[fact] < len(recipients)]
            changed = list(described[place].messages)
            changed[n] = replace(messages[place], differences=tuple(special))
            described[place] = replace(described[place], messages=changed)
    return described


def _facts(message: MessagePreview) -> list[str]:
    facts = [f"subject: {message.subject}"] if message.subject else []
    if message.status != "sent":
        facts.append(f"{message.status}: {message.reason}")
    if message.language:
        facts.append(f"language {message.language}")
    facts += list(message.branches)
    facts += [f"empty: {name}" for name in message.empty_variables]
    facts += [f"warning: {warning.message}" for warning in message.warnings]
    return facts


def _content(message: MessagePreview) -> tuple[object, ...]:
    """Return what differs between messages of different texts: not their links of this person."""
    return (message.status, message.reason, message.subject, message.preheader, message.branches,
            message.language, _URL.sub("", message.text))  # fmt: skip


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
