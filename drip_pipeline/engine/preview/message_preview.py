"""Render the messages of a preview with delivery's own renderer, and describe each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from typing import Any, Final, Literal
from uuid import UUID

from drip_pipeline.channels.email.mail_parts import MailParts, mail_parts, text_links
from drip_pipeline.channels.email.message import EmailWriter, WrittenEmail, with_preheader
from drip_pipeline.channels.email.smtp_channel import SmtpChannel
from drip_pipeline.channels.protocol import OutgoingMessage
from drip_pipeline.channels.sms.segments import Segments, count_segments
from drip_pipeline.domain.graph.graph import GraphNode
from drip_pipeline.domain.graph.nodes import EmailConfig, SmsAction, SocialAction, channel_of
from drip_pipeline.domain.templates.signed_tokens import Purpose, verify
from drip_pipeline.engine.campaigns.version_cache import PublishedVersion
from drip_pipeline.engine.delivery.render import MessageSettings, PreparedNode, render_post
from drip_pipeline.engine.isolation import describe, is_of_the_data
from drip_pipeline.engine.preview.choose import Contexts, SeenTexts, TracedText
from drip_pipeline.engine.preview.recipients import Person
from drip_pipeline.engine.preview.warn import (
    CheckedMail,
    MessageWarning,
    mail_warnings,
    sms_warnings,
    text_warnings,
)
from drip_pipeline.engine.transports.transport import Transport
from drip_pipeline.errors import DeliveryError, EmptyMessage

PreviewStatus = Literal["sent", "skipped", "failed"]
_UNSUBSCRIBE: Final = "unsubscribe_url"


@dataclass(frozen=True, slots=True)
class PreviewLink:
    """A link: its text, where it leads, its tracked form (None if it is not tracked), and whether
    it is in the HTML or in the text."""

    text: str
    target: str
    tracked: str | None
    part: Literal["html", "text"]


@dataclass(frozen=True, slots=True)
class PreviewAttachment:
    """A file attached to an email; `size` in bytes."""

    name: str
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class MessagePreview:
    """One message as one person would get it.

    `status`: `skipped` messages have no content, `failed` ones cannot be rendered; `reason` says
    why. `size_bytes` is the complete mail, `html_bytes` the HTML part with its preheader, which
    Gmail clips at 102 kB. `differences`: what the message has for this person and not for all.
    """

    node_id: str
    step_name: str
    channel: str
    status: PreviewStatus
    reason: str | None = None
    language: str | None = None
    sender: str = ""
    recipient: str = ""
    subject: str = ""
    preheader: str | None = None
    text: str = ""
    html: str | None = None
    headers: Sequence[tuple[str, str]] = field(default_factory=tuple)
    links: Sequence[PreviewLink] = field(default_factory=tuple)
    segments: Segments | None = None
    attachments: Sequence[PreviewAttachment] = field(default_factory=tuple)
    size_bytes: int = 0
    html_bytes: int = 0
    payload: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[MessageWarning] = field(default_factory=tuple)
    branches: Sequence[str] = field(default_factory=tuple)
    empty_variables: Sequence[str] = field(default_factory=tuple)
    differences: Sequence[str] = field(default_factory=tuple)


class MessagePreviewer:
    """Renders the messages of one campaign version for many people."""

    def __init__(
        self,
        version: PublishedVersion,
        nodes: Sequence[GraphNode],
        texts: Sequence[TracedText],
        written: Mapping[str, GraphNode],
        settings: MessageSettings,
        transports: Mapping[str, Transport],
        now: datetime,
    ) -> None:
        """`transports` by node, `written` the nodes with their texts as they were written."""
        self._version = version
        self._nodes = nodes
        self._texts = texts
        self._written = written
        self._settings = settings
        self._transports = transports
        self._now = now
        self._prepared = {
            node.node_id: PreparedNode(version, node.node_id, self._settings_of(node))
            for node in nodes
            if not isinstance(node.config, SocialAction)
        }

    def contexts(self, person: Person) -> Contexts:
        """Return the variables of a person's texts by node, as delivery would build them."""
        seen = {}
        for node_id, node in self._prepared.items():
            delivery = person.delivery(self._version, node_id, self._now)
            seen[node_id] = SeenTexts(node.language(delivery), node.context(delivery, self._now))
        return seen

    def message(
        self, node: GraphNode, person: Person, message_id: UUID | None = None
    ) -> OutgoingMessage:
        """Return the message of a node to a person, as delivery would hand it to the channel.

        Its id and its links are those of a test message. Raises TemplateError, EmptyMessage.
        """
        if isinstance(node.config, SocialAction):
            delivery = person.delivery(self._version, node.node_id, self._now, message_id)
            return render_post(node.config, self._version, delivery.id, self._now)
        delivery = person.delivery(self._version, node.node_id, self._now, message_id)
        message = self._prepared[node.node_id].message(delivery, self._now)
        return with_transport_headers(message, self._transports.get(node.node_id))

    def preview(self, node: GraphNode, person: Person) -> MessagePreview:
        """Return the preview of a node's message to a person; a failure is part of it."""
        channel = channel_of(node.config) or node.config.type
        base = MessagePreview(
            node.node_id,
            node.step_name,
            channel,
            "sent",
            recipient=person.label if person.is_made_up else "",
        )
        try:
            message = self.message(node, person)
        except EmptyMessage as error:
            return replace(base, status="skipped", reason=error.reason)
        except Exception as error:
            if not is_of_the_data(error):
                raise
            return replace(base, status="failed", reason=describe(error))
        branches, empty, language = self._traces(node, person)
        base = replace(
            base,
            language=language,
            sender=message.sender,
            recipient=message.recipient,
            subject=message.subject,
            preheader=message.preheader,
            text=message.text,
            html=message.html,
            payload=dict(message.payload),
            attachments=[
                PreviewAttachment(each.name, each.media_type, len(each.content))
                for each in message.attachments
            ],
            branches=branches,
            empty_variables=empty,
        )
        if isinstance(node.config, EmailConfig):
            return self._mail(base, node, message, empty)
        if isinstance(node.config, SmsAction):
            segments = count_segments(message.text)
            warnings = sms_warnings(message.text, segments, empty)
            links = [PreviewLink("", url, None, "text") for url in text_links(message.text)]
            return replace(base, segments=segments, links=links, warnings=warnings)
        return replace(base, warnings=text_warnings(empty))

    def _mail(
        self,
        base: MessagePreview,
        node: GraphNode,
        message: OutgoingMessage,
        empty: Sequence[str],
    ) -> MessagePreview:
        html = message.html
        if html and message.preheader:
            html = with_preheader(html, message.preheader)
        parts = mail_parts(html or "")
        links = self._links(parts, message.text)
        html_bytes = len((html or "").encode())
        try:
            written = self._written_mail(node, message)
        except DeliveryError as error:
            return replace(base, status="failed", reason=str(error), html_bytes=html_bytes)
        for link, shown in zip(parts.links, links, strict=False):
            link.target = shown.target
        texts = self._written[node.node_id].config
        assert isinstance(texts, EmailConfig)
        if base.language is not None:
            texts = texts.in_language(base.language)
        own = {message.unsubscribe_url or ""}
        own |= {link.target for link in links if self._is_own(link.target)}
        warnings = mail_warnings(
            CheckedMail(
                message.subject,
                message.preheader,
                message.text,
                message.html,
                html_bytes,
                parts,
                text_links(message.text),
                message.unsubscribe_url or "",
                frozenset(own),
                _UNSUBSCRIBE not in f"{texts.body}{texts.body_html or ''}",
                node.kind == "transactional",
                empty,
            )
        )
        return replace(
            base,
            headers=_headers(written),
            links=links,
            size_bytes=len(written.content),
            html_bytes=html_bytes,
            warnings=warnings,
        )

    def _links(self, parts: MailParts, text: str) -> list[PreviewLink]:
        links = []
        for link in parts.links:
            tracked = self._target_of(link.target)
            links.append(
                PreviewLink(link.text, link.target, None, "html")
                if tracked is None
                else PreviewLink(link.text, tracked, link.target, "html")
            )
        return links + [PreviewLink("", url, None, "text") for url in text_links(text)]

    def _target_of(self, url: str) -> str | None:
        """Return the target of a tracked link, None for another link."""
        prefix = f"{self._settings.public_url}/c/"
        if not url.startswith(prefix):
            return None
        key = self._settings.secret_key.reveal()
        link = verify(key, Purpose.CLICK, url.removeprefix(prefix))
        return None if link is None else link.url

    def _is_own(self, url: str) -> bool:
        base = self._settings.public_url
        return url.startswith((f"{base}/u/", f"{base}/t/"))

    def _written_mail(self, node: GraphNode, message: OutgoingMessage) -> WrittenEmail:
        transport = self._transports.get(node.node_id)
        channel = None if transport is None else transport.channel
        if isinstance(channel, SmtpChannel):
            return channel.written(message)
        return EmailWriter(message.sender).write(message)

    def _settings_of(self, node: GraphNode) -> MessageSettings:
        transport = self._transports.get(node.node_id)
        if transport is None or not transport.sender:
            return self._settings
        return replace(self._settings, mail_from=transport.sender)

    def _traces(
        self, node: GraphNode, person: Person
    ) -> tuple[tuple[str, ...], tuple[str, ...], str | None]:
        """Return the branches of a node's texts that a person sees, the empty variables, and the
        translation."""
        prepared = self._prepared.get(node.node_id)
        if prepared is None:
            return (), (), None
        delivery = person.delivery(self._version, node.node_id, self._now)
        context = prepared.context(delivery, self._now)
        language = prepared.language(delivery)
        branches: list[str] = []
        empty: list[str] = []
        for text in self._texts:
            if text.node_id != node.node_id or text.language != language:
                continue
            trace = text.template.trace(context)
            branches += [
                f"{text.where}, line {branch.line}: {branch.label}"
                for branch in text.template.branches
                if branch.id in trace.branches
            ]
            empty += trace.empty
        return tuple(branches), tuple(dict.fromkeys(empty)), language


def with_transport_headers(
    message: OutgoingMessage, transport: Transport | None
) -> OutgoingMessage:
    """Return a message with the headers of its transport, as delivery adds them."""
    if transport is None or not transport.headers:
        return message
    return message._replace(headers={**transport.headers, **message.headers})


def _headers(written: WrittenEmail) -> list[tuple[str, str]]:
    """Return the headers of a mail, decoded, with the envelope sender in front."""
    parsed = message_from_bytes(written.content)
    headers = [
        (name, str(make_header(decode_header(str(value))))) for name, value in parsed.items()
    ]
    return [("Return-Path", f"<{written.envelope_sender}>"), *headers]
