"""From a leased delivery to the message that goes out: templates of the node, parsed once, rendered
for each person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from drip_pipeline.channels.protocol import OutgoingMessage
from drip_pipeline.db.facts import FACT_COLUMNS
from drip_pipeline.domain.contact_fields import contact_context, reader_of
from drip_pipeline.domain.graph import GraphNode
from drip_pipeline.domain.nodes import EmailConfig, SmsAction, SocialAction, WebhookAction
from drip_pipeline.domain.templates import CompiledTemplate, parse
from drip_pipeline.domain.tokens import Purpose, SignedLink, sign
from drip_pipeline.domain.tracked_links import with_clicks, with_picture
from drip_pipeline.engine.graphs import PublishedVersion
from drip_pipeline.errors import TemplateError
from drip_pipeline.settings import Secret


@dataclass(frozen=True, slots=True)
class MessageSettings:
    """What every message needs besides its texts: the sender, where links point to, the key that
    signs them, and what HTML is watched for."""

    mail_from: str
    public_url: str
    secret_key: Secret
    tracks_opens: bool = False
    tracks_clicks: bool = False


def prepare(version: PublishedVersion, node_id: str) -> PreparedNode:
    """What all messages of a node have in common. Raises TemplateError."""
    node = version.graph.nodes.get(node_id)
    if node is None:
        raise TemplateError(f"version {version.version} has no node {node_id!r}")
    return PreparedNode(node.config, _parts(_Texts.of(node)), _campaign_context(version))


@dataclass(frozen=True, slots=True)
class PreparedNode:
    """A node that makes messages, for many of them."""

    config: Any
    parts: _Parts
    campaign: Mapping[str, Any]
    """What templates can name of the campaign."""

    def message(
        self, delivery: Mapping[str, Any], settings: MessageSettings, now: datetime
    ) -> OutgoingMessage:
        """The message of a leased delivery, whose row carries the contact's columns. Raises
        TemplateError."""
        link = _unsubscribe_url(settings, delivery["id"])
        context = _context(delivery, self, link, now)
        rendered = {n: template.render(context) for n, template in self.parts.templates.items()}
        return _message(self.config, delivery, rendered, context, settings, link, now)


def _message(
    config: Any,
    delivery: Mapping[str, Any],
    rendered: Mapping[str, str],
    context: Mapping[str, Any],
    settings: MessageSettings,
    link: str,
    now: datetime,
) -> OutgoingMessage:
    delivery_id: UUID = delivery["id"]
    if isinstance(config, EmailConfig):
        return OutgoingMessage(
            delivery_id=delivery_id,
            channel="email",
            recipient=delivery["email"],
            recipient_name=delivery["name"],
            created_at=now,
            sender=settings.mail_from,
            subject=" ".join(rendered["subject"].split()),
            preheader=rendered.get("preheader"),
            text=rendered["body"],
            html=_tracked(rendered.get("body_html"), settings, delivery_id, link),
            unsubscribe_url=link,
        )
    return OutgoingMessage(
        delivery_id=delivery_id,
        channel=config.type,
        recipient=_recipient(config, delivery),
        created_at=now,
        text=rendered.get("body", ""),
        payload=_payload(config, context),
    )


def render_post(
    config: SocialAction, version: PublishedVersion, post_id: UUID, now: datetime
) -> OutgoingMessage:
    """The post that a social step is, for everybody: it knows its campaign and no contact. Raises
    TemplateError."""
    context = {**_campaign_context(version), "now": now}
    return OutgoingMessage(
        delivery_id=post_id,
        channel="social",
        recipient=config.platform,
        created_at=now,
        text=_parsed(config.content).render(context),
        payload={
            "post_type": config.post_type,
            "hashtags": render_leaves(config.hashtags, context),
            "media_urls": render_leaves(config.media_urls, context),
            "schedule_time": config.schedule_time,
        },
    )


def _recipient(config: Any, delivery: Mapping[str, Any]) -> str:
    if isinstance(config, SmsAction):
        return delivery["phone"] or ""
    return config.url if isinstance(config, WebhookAction) else ""


def _payload(config: Any, context: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(config, WebhookAction):
        return {
            "method": config.method,
            "headers": render_leaves(config.headers, context),
            "payload": render_leaves(config.payload, context),
        }
    return {}


def render_leaves(value: Any, context: Mapping[str, Any]) -> Any:
    """A JSON value with its text leaves rendered; the JSON text itself is never a template, so no
    value of a person can change its structure."""
    if isinstance(value, str):
        return _parsed(value).render(context)
    if isinstance(value, Mapping):
        return {key: render_leaves(item, context) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [render_leaves(item, context) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class _Texts:
    """The texts of a node: (name, template, is HTML); `is_personal` off means they are taken as
    they are."""

    texts: tuple[tuple[str, str, bool], ...]
    is_personal: bool = True
    reads_payload: bool = False

    @classmethod
    def of(cls, node: GraphNode) -> _Texts:
        config = node.config
        if isinstance(config, EmailConfig):
            texts = [("subject", config.subject, False), ("body", config.body, False)]
            if config.preheader:
                texts.append(("preheader", config.preheader, False))
            if config.body_html:
                texts.append(("body_html", config.body_html, True))
            return cls(tuple(texts), config.personalization_enabled)
        if isinstance(config, SmsAction):
            return cls((("body", config.body, False),))
        return cls((), reads_payload=isinstance(config, WebhookAction))


@dataclass(frozen=True, slots=True)
class _Parts:
    """Parsed texts, and how to read what they name of a person; None = everything."""

    templates: dict[str, CompiledTemplate | _Verbatim]
    has_variables: bool
    read: Callable[[Mapping[str, Any]], dict[str, Any]] | None


@dataclass(frozen=True, slots=True)
class _Verbatim:
    text: str
    variables: frozenset[str] = frozenset()

    def render(self, _context: Mapping[str, Any]) -> str:
        return self.text


@lru_cache(maxsize=4096)
def _parts(texts: _Texts) -> _Parts:
    templates: dict[str, CompiledTemplate | _Verbatim] = {
        name: parse(text, html=html) if texts.is_personal else _Verbatim(text)
        for name, text, html in texts.texts
    }
    variables = frozenset().union(*(template.variables for template in templates.values()))
    # A row's own `id` is the delivery's, and the leaves of a payload are parsed one by one.
    reads_all = texts.reads_payload or "id" in variables
    return _Parts(
        templates, bool(variables) or reads_all, None if reads_all else reader_of(variables)
    )


@lru_cache(maxsize=4096)
def _parsed(text: str) -> CompiledTemplate:
    return parse(text, html=False)


def _context(
    delivery: Mapping[str, Any], node: PreparedNode, unsubscribe_url: str, now: datetime
) -> dict[str, Any]:
    if not node.parts.has_variables:
        return {}
    if node.parts.read is not None:
        context = node.parts.read(delivery)
    else:
        context = contact_context(
            {
                "id": delivery["contact_id"],
                "workspace_id": delivery["workspace_id"],
                **{name: delivery[name] for name in FACT_COLUMNS},
            }
        )
    context.update(node.campaign)
    context["unsubscribe_url"] = unsubscribe_url
    context["now"] = now
    return context


def _campaign_context(version: PublishedVersion) -> dict[str, Any]:
    return {"campaign_id": str(version.campaign_id), "campaign_name": version.campaign_name}


def _tracked(
    html: str | None, settings: MessageSettings, delivery_id: UUID, unsubscribe_url: str
) -> str | None:
    if not html:
        return html
    if settings.tracks_clicks:
        # Who wants no more is not led by way of a count.
        html = with_clicks(
            html,
            lambda url: _signed_url(settings, "c", Purpose.CLICK, SignedLink(delivery_id, url)),
            keep=(unsubscribe_url,),
        )
    if settings.tracks_opens:
        picture = _signed_url(settings, "o", Purpose.OPEN, SignedLink(delivery_id))
        html = with_picture(html, picture)
    return html


def _unsubscribe_url(settings: MessageSettings, delivery_id: UUID) -> str:
    return _signed_url(settings, "u", Purpose.UNSUBSCRIBE, SignedLink(delivery_id))


def _signed_url(settings: MessageSettings, path: str, purpose: Purpose, link: SignedLink) -> str:
    return f"{settings.public_url}/{path}/{sign(settings.secret_key.reveal(), purpose, link)}"
