"""What a preview shows: a published version, the present steps of a campaign, or a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.domain.compiler.api import CampaignDefinition, compile_graph, validate
from drip_pipeline.domain.definition.problems import errors_in
from drip_pipeline.domain.graph.graph import CampaignGraph, GraphNode
from drip_pipeline.domain.graph.nodes import channel_of
from drip_pipeline.domain.graph.template_texts import template_texts
from drip_pipeline.domain.templates.traced_templates import traced_or_none
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.campaigns.campaign import find_campaign
from drip_pipeline.engine.campaigns.version_cache import PublishedVersion
from drip_pipeline.engine.preview.choose import TracedText
from drip_pipeline.engine.publishing.channel_validation import prepared_graph, unprepared_emails
from drip_pipeline.engine.publishing.history import definition_of_version
from drip_pipeline.engine.publishing.publish_options import ALL_CHANNELS
from drip_pipeline.engine.publishing.stored_definition import definition_in_tables
from drip_pipeline.errors import DefinitionInvalid, NotAllowed

NO_ID: Final = UUID(int=0)
UNKNOWN_VARIABLE: Final = "variable_unknown"


@dataclass(frozen=True, slots=True)
class PreviewSource:
    """A compiled campaign. `written` has its texts as they were written, `version` as they are
    sent. `campaign_id` and `workspace_id` are None for a file without a database.
    `notes`: problems that publishing would refuse, and a preview can do with."""

    label: str
    version: PublishedVersion
    written: CampaignGraph
    campaign_id: UUID | None = None
    workspace_id: UUID | None = None
    notes: tuple[str, ...] = ()

    def message_nodes(self, node_id: str | None = None) -> list[GraphNode]:
        """Return the nodes that send messages, in the order in which contacts reach them, or the
        one named. Raises NotAllowed if there is none."""
        nodes = [
            node
            for node in map(self.version.graph.nodes.__getitem__, self._order())
            if channel_of(node.config) is not None
        ]
        if node_id is not None:
            named = [node for node in nodes if node.node_id == node_id]
            if not named:
                names = ", ".join(node.node_id for node in nodes) or "none"
                raise NotAllowed(
                    f"{node_id!r} is no node that sends a message",
                    hint=f"Nodes that send messages: {names}.",
                )
            return named
        if not nodes:
            raise NotAllowed(
                f"{self.label} sends no message", hint="Add an email, an SMS or a webhook to it."
            )
        return nodes

    def texts(self, nodes: list[GraphNode]) -> list[TracedText]:
        """Return the texts of these nodes as they were written."""
        return [
            TracedText(node.node_id, text.where, template, _language_of(text.where))
            for node in nodes
            for text in template_texts(self.written.nodes[node.node_id].config)
            if (template := traced_or_none(text.text, html=text.html)) is not None
        ]

    def _order(self) -> list[str]:
        graph = self.version.graph
        order = [graph.entry_node_id]
        for node_id in order:  # grows while it is read
            order += [
                edge.target
                for edge in graph.nodes[node_id].ports.values()
                if edge.target not in order
            ]
        return list(dict.fromkeys([*order, *graph.nodes]))


def campaign_source(connection: Connection, name_or_id: str) -> PreviewSource:
    """Return the published version of a campaign, or its present steps if it has none.

    Raises CampaignNotFound, CampaignAmbiguous, DefinitionInvalid.
    """
    campaign = find_campaign(connection, name_or_id)
    if campaign.published_version is None:
        definition = definition_in_tables(connection, campaign.campaign_id)
        assert definition is not None
        return definition_source(
            definition,
            known_custom_fields=publish_db.custom_field_names(connection, campaign.workspace_id),
            campaign_id=campaign.campaign_id,
            workspace_id=campaign.workspace_id,
        )
    number = campaign.published_version
    version = version_cache.version(connection, campaign.campaign_id, number)
    definition = definition_of_version(connection, campaign, number)
    return PreviewSource(
        f"{campaign.name!r} (version {number})",
        version,
        compile_graph(definition, {}),
        campaign.campaign_id,
        campaign.workspace_id,
    )


def definition_source(
    definition: CampaignDefinition,
    *,
    known_custom_fields: frozenset[str] = frozenset(),
    campaign_id: UUID | None = None,
    workspace_id: UUID | None = None,
) -> PreviewSource:
    """Return a definition as publishing would compile it.

    Variables that no contact has become notes, because the values can be made up. Raises
    DefinitionInvalid for other errors.
    """
    problems = validate(
        definition, known_custom_fields=known_custom_fields, available_channels=ALL_CHANNELS
    )
    errors = errors_in(problems)
    unknown = [problem for problem in errors if problem.code == UNKNOWN_VARIABLE]
    if len(unknown) < len(errors):
        raise DefinitionInvalid(errors, name=definition.name)
    written = compile_graph(definition, _NO_STEPS)
    unprepared = unprepared_emails(written)
    if unprepared:
        raise DefinitionInvalid(unprepared, name=definition.name)
    version = PublishedVersion(
        campaign_id or NO_ID,
        0,
        definition.name,
        workspace_id or NO_ID,
        prepared_graph(written),
        definition.attachment_contents,
    )
    return PreviewSource(
        f"{definition.name!r}",
        version,
        written,
        campaign_id,
        workspace_id,
        tuple(f"{problem.node_id}: {problem.message}" for problem in unknown),
    )


def _language_of(where: str) -> str | None:
    """Return the language of a text's key: `de` of `translations.de.subject`."""
    return where.split(".")[1] if where.startswith("translations.") else None


_NO_STEPS: Final[Mapping[str, str]] = {}
