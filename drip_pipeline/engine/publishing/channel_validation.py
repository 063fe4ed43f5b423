"""Whether each step of a campaign fits the channel that would carry it: asked at publish, so that
an unsupported pair fails then and not at night.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from drip_pipeline.channels.config import (
    ChannelConfig,
    MastodonChannelConfig,
    PublishWebhookConfig,
    read_config,
)
from drip_pipeline.channels.email.prepare import prepare_email
from drip_pipeline.channels.sms.segments import MAX_SEGMENTS, count_segments
from drip_pipeline.channels.social.platforms import IMPLEMENTED, why_unsupported
from drip_pipeline.channels.social.post_text import mastodon_characters, with_hashtags
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.delivery.channel_accounts import ChannelRow
from drip_pipeline.domain.definition.problems import Problem, Severity
from drip_pipeline.domain.graph.graph import CampaignGraph, GraphNode
from drip_pipeline.domain.graph.nodes import (
    EmailConfig,
    SmsAction,
    SocialAction,
    WebhookAction,
    channel_of,
)
from drip_pipeline.domain.templates.templates import parse
from drip_pipeline.engine.transports.factory import guard_of
from drip_pipeline.engine.transports.transport import chosen_row, load_rows
from drip_pipeline.errors import AddressForbidden, ChannelUnavailable, TemplateError
from drip_pipeline.settings import Settings

MANY_SEGMENTS: Final = 3
"""From so many on, publishing says what a text costs."""


def channel_problems(
    connection: Connection, graph: CampaignGraph, *, settings: Settings, workspace_id: UUID
) -> list[Problem]:
    """Every step that its channel cannot carry, and what to do.

    With DRIP_DELIVERY=record nothing leaves, so what is only not set up yet is a warning there;
    what can never work is an error everywhere.
    """
    rows: dict[str, list[ChannelRow]] = {}
    problems = unprepared_mails(graph)
    for node in graph.nodes.values():
        category = channel_of(node.config)
        if category is None:
            continue
        if category not in rows:
            found = load_rows(connection, category, [workspace_id])
            rows[category] = found.get(workspace_id, [])
        problems += _StepCheck(node, category, rows[category], settings).problems()
    return problems


def unprepared_mails(graph: CampaignGraph) -> list[Problem]:
    """Every mail that `prepared_graph` could not make ready."""
    problems: list[Problem] = []
    for node in graph.nodes.values():
        if isinstance(node.config, EmailConfig):
            try:
                prepare_email(node.config)
            except TemplateError as error:
                told = f"the mail cannot be prepared: {error}. {error.hint}".strip()
                problems.append(Problem(node.node_id, "email_unprepared", told))
    return problems


class _StepCheck:
    """One step against the channel that would carry it."""

    def __init__(
        self, node: GraphNode, category: str, rows: Sequence[ChannelRow], settings: Settings
    ) -> None:
        self._node = node
        self._category = category
        self._rows = rows
        self._settings = settings
        self._not_set_up: Severity = "warning" if settings.delivery == "record" else "error"

    def problems(self) -> Iterator[Problem]:
        """All that is wrong with the step's channel."""
        row = chosen_row(self._rows, self._category, self._node)
        config: ChannelConfig | None = None
        if isinstance(row, str):
            yield self._problem("channel_unclear", row, self._not_set_up)
        elif row is not None:
            try:
                config = read_config(row.category, row.platform, row.specs, slug=row.slug)
            except ChannelUnavailable as error:
                yield self._problem("channel_misconfigured", str(error), self._not_set_up)
        step = self._node.config
        if isinstance(step, EmailConfig):
            yield from self._email(row)
        elif isinstance(step, SmsAction):
            yield from self._sms(step, row)
        elif isinstance(step, WebhookAction):
            yield from self._webhook(step)
        elif isinstance(step, SocialAction):
            yield from self._social(step, row, config)

    def _email(self, row: object) -> Iterator[Problem]:
        if row is None and self._settings.smtp_url is None:
            told = "no way out for email: DRIP_SMTP_URL is not set"
            if self._settings.delivery == "record":
                told += "; messages are recorded, not sent (DRIP_DELIVERY is `record`)"
            yield self._problem("channel_missing", told, self._not_set_up)

    def _sms(self, step: SmsAction, row: object) -> Iterator[Problem]:
        if row is None:
            told = "the workspace has no SMS channel; `drip channels set` makes one"
            yield self._problem("channel_missing", told, self._not_set_up)
        try:
            parsed = parse(step.body, html=False)
        except TemplateError:
            return  # the texts are judged elsewhere
        literal = parsed.render({}) if parsed.is_plain else step.body
        found = count_segments(literal)
        size = f"{found.segments} segments even without its variables ({found.encoding}"
        if found.culprits:
            size += f" because of {' '.join(found.culprits[:5])}"
        if found.segments > MAX_SEGMENTS:
            yield self._problem("sms_too_long", f"the text takes {size}); {MAX_SEGMENTS} fit")
        elif found.segments >= MANY_SEGMENTS:
            told = f"the text takes {size}), and each is charged"
            yield self._problem("sms_segments", told, "warning")

    def _webhook(self, step: WebhookAction) -> Iterator[Problem]:
        try:
            guard_of(self._settings).check_url(step.url)
        except AddressForbidden as error:
            told = f"the URL is not called: {error}. {error.hint}".strip()
            yield self._problem("webhook_forbidden", told, self._not_set_up)

    def _social(
        self, step: SocialAction, row: object, config: ChannelConfig | None
    ) -> Iterator[Problem]:
        if row is None:
            if step.platform in IMPLEMENTED:
                told = f"the workspace has no social channel of platform {step.platform}"
            else:
                told = f"{step.platform} is not supported: {why_unsupported(step.platform)}"
            yield self._problem("platform_unsupported", told, self._not_set_up)
        if isinstance(config, MastodonChannelConfig) and step.media_urls:
            told = (
                "posts to Mastodon carry no media here; use a social channel of platform `webhook`"
            )
            yield self._problem("post_media", told, self._not_set_up)
        text = with_hashtags(step.content, step.hashtags)
        most, length = None, len(text)
        if isinstance(config, MastodonChannelConfig):
            most, length = config.max_characters, mastodon_characters(text)
        elif isinstance(config, PublishWebhookConfig):
            most = config.max_characters
        if most is not None and length > most:
            told = f"the post has {length:,} characters; {most:,} fit"
            yield self._problem("post_too_long", told, self._not_set_up)

    def _problem(self, code: str, message: str, severity: Severity = "error") -> Problem:
        return Problem(self._node.node_id, code, message, severity)


def prepared_graph(graph: CampaignGraph) -> CampaignGraph:
    """The graph with its mails made ready to be sent; for one that `channel_problems` found nothing
    wrong with. Raises TemplateError."""
    nodes = {
        node_id: replace(node, config=prepare_email(node.config))
        if isinstance(node.config, EmailConfig)
        else node
        for node_id, node in graph.nodes.items()
    }
    return replace(graph, nodes=nodes)
