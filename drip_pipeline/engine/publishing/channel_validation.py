"""Check at publication that each step fits the channel that will send its messages.

An unsupported combination must fail then, and not when the first message is due.
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
from drip_pipeline.channels.email.headers import split_mailbox
from drip_pipeline.channels.email.prepare import prepare_email
from drip_pipeline.channels.sms.segments import MAX_SEGMENTS, count_segments
from drip_pipeline.channels.social.platforms import IMPLEMENTED, why_unsupported
from drip_pipeline.channels.social.post_text import mastodon_characters, with_hashtags
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.delivery import channel_accounts as channels_db
from drip_pipeline.db.delivery.channel_accounts import ChannelRow
from drip_pipeline.domain.addresses import wire_email
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
"""From this number of segments on, publishing warns that each segment is charged."""


def channel_problems(
    connection: Connection, graph: CampaignGraph, *, settings: Settings, workspace_id: UUID
) -> list[Problem]:
    """Return the problems of all steps with their channels.

    With DRIP_DELIVERY=record no message is sent, so that a channel that is not configured is a
    warning there; a step that can never work is an error everywhere.
    """
    rows: dict[str, list[ChannelRow]] = {}
    problems = unprepared_emails(graph)
    all_rows: list[ChannelRow] = []
    if any(node.channel_id is not None for node in graph.nodes.values()):
        all_rows = channels_db.rows(connection)
    for node in graph.nodes.values():
        category = channel_of(node.config)
        if category is None:
            continue
        if category not in rows:
            rows[category] = load_rows(connection, category, [workspace_id]).get(workspace_id, [])
        check = _StepCheck(node, category, rows[category], settings)
        problems += check.problems(_misnamed(node, category, all_rows, workspace_id))
    return problems


def unprepared_emails(graph: CampaignGraph) -> list[Problem]:
    """Return a problem for every email that `prepared_graph` cannot prepare."""
    problems: list[Problem] = []
    for node in graph.nodes.values():
        if isinstance(node.config, EmailConfig):
            try:
                prepare_email(node.config)
            except TemplateError as error:
                message = f"the email cannot be prepared: {error}. {error.hint}".strip()
                problems.append(Problem(node.node_id, "email_unprepared", message))
    return problems


def _misnamed(
    node: GraphNode, category: str, rows: Sequence[ChannelRow], workspace_id: UUID
) -> str | None:
    """Return why `channel_id` names no channel for the step, with the channel's name; else None."""
    if node.channel_id is None:
        return None
    channel_id = str(node.channel_id)
    own = [row for row in rows if row.workspace_id == workspace_id]
    named = next((row for row in rows if str(row.channel_id) == channel_id.lower()), None)
    if named is not None and named.workspace_id != workspace_id:
        return (
            f"channel_id {channel_id}: channel {named.channel_name!r} belongs to another workspace"
        )
    if named is not None and named.category != category:
        return (
            f"channel_id {channel_id}: channel {named.channel_name!r} sends {named.category}, and"
            f" the step needs {category}"
        )
    if named is not None:
        return None
    by_slug = next((row for row in own if channel_id in (row.slug, row.channel_name)), None)
    if by_slug is not None:
        return (
            f"channel_id {channel_id!r} is the name of a channel, not its id; write"
            f" {by_slug.channel_id} ({by_slug.channel_name!r})"
        )
    names = ", ".join(f"{row.channel_name!r} ({row.channel_id})" for row in own[:5]) or "none"
    return f"channel_id {channel_id!r} is no channel of this workspace; its channels: {names}"


class _StepCheck:
    """The check of one step against its channel."""

    def __init__(
        self, node: GraphNode, category: str, rows: Sequence[ChannelRow], settings: Settings
    ) -> None:
        self._node = node
        self._category = category
        self._rows = rows
        self._settings = settings
        self._not_set_up: Severity = "warning" if settings.delivery == "record" else "error"

    def problems(self, misnamed: str | None) -> Iterator[Problem]:
        """Yield the problems of the step with its channel.

        `misnamed`: why the channel that the step names cannot be used.
        """
        row = chosen_row(self._rows, self._category, self._node)
        config: ChannelConfig | None = None
        if isinstance(row, str):
            yield self._problem("channel_unclear", misnamed or row, self._not_set_up)
        elif row is not None:
            try:
                config = read_config(row.category, row.platform, row.specs, slug=row.slug)
            except ChannelUnavailable as error:
                yield self._problem("channel_misconfigured", str(error), self._not_set_up)
        step = self._node.config
        if isinstance(step, EmailConfig):
            yield from self._email(row)
            yield from self._mailboxes(step)
        elif isinstance(step, SmsAction):
            if row is None:
                message = "the workspace has no SMS channel; `drip channels set` creates one"
                yield self._problem("channel_missing", message, self._not_set_up)
            yield from self._sms(step.body, "the text")
            for tag, text in (step.translations or {}).items():
                yield from self._sms(text.body, f"the text in {tag}")
        elif isinstance(step, WebhookAction):
            yield from self._webhook(step)
        elif isinstance(step, SocialAction):
            yield from self._social(step, row, config)

    def _email(self, row: object) -> Iterator[Problem]:
        if row is None and self._settings.smtp_url is None:
            message = "no email provider configured: DRIP_SMTP_URL is not set"
            if self._settings.delivery == "record":
                message += "; messages are recorded, not sent (DRIP_DELIVERY is `record`)"
            yield self._problem("channel_missing", message, self._not_set_up)

    def _mailboxes(self, step: EmailConfig) -> Iterator[Problem]:
        for key, mailbox in (("from", step.sender), ("reply_to", step.reply_to)):
            if mailbox is None:
                continue
            address = split_mailbox(mailbox)[1]
            if wire_email(address) is None:
                message = f"{key} is not `Name <address>` or an address that mail can be sent to"
                yield self._problem("mailbox_invalid", message)
                continue
            own = split_mailbox(self._settings.mail_from)[1].rpartition("@")[2].lower()
            if key == "from" and address.rpartition("@")[2].lower() != own:
                message = (
                    f"from is at another domain than {own}: the relay must be allowed to send for"
                    " it (SPF, DKIM), or mail programs treat it as forged"
                )
                yield self._problem("from_domain", message, "warning")

    def _sms(self, body: str, what: str) -> Iterator[Problem]:
        try:
            parsed = parse(body, html=False)
        except TemplateError:
            return  # reported by the check of the texts
        literal = parsed.render({}) if parsed.is_plain else body
        count = count_segments(literal)
        size = f"{count.segments} segments even without its variables ({count.encoding}"
        if count.non_gsm:
            size += f" because of {' '.join(count.non_gsm[:5])}"
        if count.segments > MAX_SEGMENTS:
            yield self._problem("sms_too_long", f"{what} takes {size}); {MAX_SEGMENTS} fit")
        elif count.segments >= MANY_SEGMENTS:
            message = f"{what} takes {size}), and each is charged"
            yield self._problem("sms_segments", message, "warning")

    def _webhook(self, step: WebhookAction) -> Iterator[Problem]:
        try:
            guard_of(self._settings).check_url(step.url)
        except AddressForbidden as error:
            message = f"the URL cannot be called: {error}. {error.hint}".strip()
            yield self._problem("webhook_forbidden", message, self._not_set_up)

    def _social(
        self, step: SocialAction, row: object, config: ChannelConfig | None
    ) -> Iterator[Problem]:
        if row is None:
            if step.platform in IMPLEMENTED:
                message = f"the workspace has no social channel of platform {step.platform}"
            else:
                message = f"{step.platform} is not supported: {why_unsupported(step.platform)}"
            yield self._problem("platform_unsupported", message, self._not_set_up)
        if isinstance(config, MastodonChannelConfig) and step.media_urls:
            message = (
                "posts to Mastodon have no media here; use a social channel of platform `webhook`"
            )
            yield self._problem("post_media", message, self._not_set_up)
        text = with_hashtags(step.content, step.hashtags)
        limit, length = None, len(text)
        if isinstance(config, MastodonChannelConfig):
            limit, length = config.max_characters, mastodon_characters(text)
        elif isinstance(config, PublishWebhookConfig):
            limit = config.max_characters
        if limit is not None and length > limit:
            message = f"the post has {length:,} characters; {limit:,} fit"
            yield self._problem("post_too_long", message, self._not_set_up)

    def _problem(self, code: str, message: str, severity: Severity = "error") -> Problem:
        return Problem(self._node.node_id, code, message, severity)


def prepared_graph(graph: CampaignGraph) -> CampaignGraph:
    """Return the graph with its emails prepared for sending.

    Raises TemplateError for an email that `channel_problems` reports.
    """
    nodes = {
        node_id: replace(node, config=prepare_email(node.config))
        if isinstance(node.config, EmailConfig)
        else node
        for node_id, node in graph.nodes.items()
    }
    return replace(graph, nodes=nodes)
