"""Render leased deliveries into outgoing messages: a node's templates are parsed once and rendered
for each contact."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from drip_pipeline.channels.protocol import OutgoingMessage
from drip_pipeline.db.delivery.deliveries import CONTACT_COLUMNS, LeasedDelivery
from drip_pipeline.domain.contact_fields import (
    CONFIRM,
    CUSTOM_FIELDS,
    contact_columns_for,
    contact_context,
    reader_of,
)
from drip_pipeline.domain.events.soft_bounces import DEFAULT_SOFT_BOUNCES, SoftBounceLimit
from drip_pipeline.domain.graph.emails import LANGUAGE, best_language
from drip_pipeline.domain.graph.graph import GraphNode
from drip_pipeline.domain.graph.nodes import (
    EmailConfig,
    NodeConfig,
    SmsAction,
    SocialAction,
    WebhookAction,
)
from drip_pipeline.domain.graph.template_texts import variables_read
from drip_pipeline.domain.run_variables import RUN_VARIABLES, columns_of, stored_variables
from drip_pipeline.domain.templates.liquid_environments import MAX_OUTPUT_BYTES
from drip_pipeline.domain.templates.parameters_of_links import (
    html_with_parameters,
    text_with_parameters,
)
from drip_pipeline.domain.templates.render_budget import RenderBudget
from drip_pipeline.domain.templates.signed_tokens import Purpose, signer
from drip_pipeline.domain.templates.templates import CompiledTemplate, parse
from drip_pipeline.domain.templates.tracked_links import with_tracked_links, with_tracking_pixel
from drip_pipeline.domain.templates.value_templates import render_leaves, render_values
from drip_pipeline.engine.campaigns.version_cache import PublishedVersion
from drip_pipeline.engine.delivery.message_parts import attachments_of, headers_of
from drip_pipeline.engine.delivery.settle import RENDER_FAILED, TEMPLATE_BUDGET
from drip_pipeline.errors import EmptyMessage, TemplateBudgetExceeded, TemplateError
from drip_pipeline.settings import Secret

log = logging.getLogger(__name__)

Context = dict[str, Any]
"""Template variables by name."""
_LONGEST_UNMEASURED: Final = MAX_OUTPUT_BYTES // 4
"""Characters that fit into the limit in any encoding."""
_ADDRESS_COLUMNS: Final = frozenset({"name", "email", "phone"})


@dataclass(frozen=True, slots=True)
class MessageSettings:
    """Settings of all messages: the sender, the base URL of links, the key that signs them, former
    values of the key, whether opens and clicks in HTML are tracked, and after how many soft bounces
    an address is suppressed."""

    mail_from: str
    public_url: str
    secret_key: Secret
    tracks_opens: bool = False
    tracks_clicks: bool = False
    former_keys: tuple[Secret, ...] = ()
    soft_bounces: SoftBounceLimit = DEFAULT_SOFT_BOUNCES


def columns_read(version: PublishedVersion, node_id: str) -> frozenset[str]:
    """Return the contact columns that messages of a node read, and the columns of the variables of
    the run that they read. Raises TemplateError."""
    config = _node(version, node_id).config
    columns, variables = _read(_parts(_Texts.of(config)))
    for tag in _languages(config):
        of_translation = _read(_parts(_Texts.of(in_language(config, tag))))
        columns |= of_translation[0] | {CUSTOM_FIELDS}  # `language` is one of them
        variables |= of_translation[1]
    if not variables:
        return columns
    by_event = version.graph.is_entered_by_event
    return columns | columns_of(variables, is_entered_by_event=by_event)


def _read(parts: _Parts) -> tuple[frozenset[str], frozenset[str]]:
    return parts.columns, parts.run_variables


def _languages(config: NodeConfig) -> Collection[str]:
    """Return the languages that a message is translated into."""
    return getattr(config, "translations", None) or ()


def in_language(config: NodeConfig, tag: str) -> NodeConfig:
    """Return a message with the texts of one of its translations."""
    assert isinstance(config, (EmailConfig, SmsAction))
    return config.in_language(tag)


def _node(version: PublishedVersion, node_id: str) -> GraphNode:
    node = version.graph.nodes.get(node_id)
    if node is None:
        raise TemplateError(f"version {version.version} has no node {node_id!r}")
    return node


class MessageLinks:
    """Builds the signed links of one sender's messages."""

    def __init__(self, settings: MessageSettings) -> None:
        """Raises SettingsError without a key."""
        key = settings.secret_key.reveal()
        self._public_url = settings.public_url
        self._unsubscribe = signer(key, Purpose.UNSUBSCRIBE)
        self._click = signer(key, Purpose.CLICK)
        self._open = signer(key, Purpose.OPEN)
        self._confirm = signer(key, Purpose.CONFIRM)

    def unsubscribe(self, delivery_id: UUID) -> str:
        """Return the URL that unsubscribes the recipient."""
        return f"{self._public_url}/u/{self._unsubscribe(delivery_id, None)}"

    def click(self, delivery_id: UUID, url: str) -> str:
        """Return the URL that counts a click and redirects to `url`."""
        return f"{self._public_url}/c/{self._click(delivery_id, url)}"

    def confirm(self, delivery_id: UUID) -> str:
        """Return the URL that confirms the topic that the message asks about."""
        return f"{self._public_url}/t/{self._confirm(delivery_id, None)}"

    def opened(self, delivery_id: UUID) -> str:
        """Return the URL of the tracking pixel that counts an open."""
        return f"{self._public_url}/o/{self._open(delivery_id, None)}"


class PreparedNode:
    """A message node, prepared to render many messages."""

    def __init__(
        self,
        version: PublishedVersion,
        node_id: str,
        settings: MessageSettings,
        language: str | None = None,
    ) -> None:
        """`language`: with the texts of this translation, for all contacts. Raises TemplateError if
        the node's texts cannot be parsed, or the version has no such node."""
        config = _node(version, node_id).config
        self._translations = {
            tag: PreparedNode(version, node_id, settings, tag)
            for tag in (_languages(config) if language is None else ())
        }
        self._config = config if language is None else in_language(config, language)
        self._language = language
        self._parts = _parts(_Texts.of(self._config))
        utm = version.graph.utm
        self._utm = () if utm is None else utm.of_node(version.campaign_name, node_id)
        self._campaign = _campaign_context(version)
        self._is_entered_by_event = version.graph.is_entered_by_event
        self._settings = settings
        self._links = MessageLinks(settings)
        self._node_id = node_id
        self._has_warned = False
        self._headers = headers_of(self._config, language)
        self._attachments = attachments_of(self._config, version)

    def message(self, delivery: LeasedDelivery, now: datetime) -> OutgoingMessage:
        """Render the message of a leased delivery; `now` is its date.

        Raises TemplateError, TemplateBudgetExceeded if it takes too much time or memory, and
        EmptyMessage if there is nothing to send.
        """
        if self._translations and (translated := self._translated(delivery)) is not None:
            return translated.message(delivery, now)
        if self._parts.is_plain:
            return self._message(delivery, now, None)
        budget = RenderBudget()
        message = self._message(delivery, now, budget)
        if budget.has_unreadable_dates and not self._has_warned:
            self._has_warned = True
            log.warning(
                "node %s of campaign %s: the filter date was given a value that is no ISO date;"
                " it is printed as it is",
                self._node_id,
                self._campaign["campaign_id"],
            )
        return message

    def context(self, delivery: LeasedDelivery, now: datetime) -> Context:
        """Return the variables of a delivery's texts, as `message` uses them."""
        if self._translations and (translated := self._translated(delivery)) is not None:
            return translated.context(delivery, now)
        return self._context(delivery, self._links.unsubscribe(delivery.id), now)

    def language(self, delivery: LeasedDelivery) -> str | None:
        """Return the translation that a delivery gets; None for the message's own texts."""
        custom = delivery.custom_fields
        if not self._translations or not isinstance(custom, Mapping):
            return None
        return best_language(custom.get(LANGUAGE), self._translations)

    def _translated(self, delivery: LeasedDelivery) -> PreparedNode | None:
        tag = self.language(delivery)
        return None if tag is None else self._translations[tag]

    def _message(
        self, delivery: LeasedDelivery, now: datetime, budget: RenderBudget | None
    ) -> OutgoingMessage:
        delivery_id = delivery.id
        link = self._links.unsubscribe(delivery_id)
        context = self._context(delivery, link, now)
        parts = self._parts.templates
        config = self._config
        if isinstance(config, EmailConfig):
            subject = " ".join(parts["subject"].render(context, budget).split())
            if not subject:
                raise EmptyMessage("empty_subject")
            preheader, html = parts.get("preheader"), parts.get("body_html")
            html_text = None if html is None else html.render(context, budget)
            text = parts["body"].render(context, budget)
            if len(text) + len(html_text or "") > _LONGEST_UNMEASURED:
                _check_size(text, html_text or "")
            if self._utm:
                excluded = self._own_links(delivery_id, link)
                text = text_with_parameters(text, self._utm, excluded)
                html_text = html_text and html_with_parameters(html_text, self._utm, excluded)
            return OutgoingMessage(
                delivery_id=delivery_id,
                channel="email",
                recipient=delivery.email or "",
                recipient_name=delivery.name,
                created_at=now,
                sender=config.sender or self._settings.mail_from,
                subject=subject,
                preheader=None if preheader is None else preheader.render(context, budget),
                text=text,
                html=html_text and self._tracked(html_text, delivery_id, link),
                unsubscribe_url=link,
                headers=self._headers,
                attachments=self._attachments,
            )
        body = parts.get("body")
        text = "" if body is None else body.render(context, budget)
        if body is not None and not text.strip():
            raise EmptyMessage("empty_text")
        return OutgoingMessage(
            delivery_id=delivery_id,
            channel=config.type,
            recipient=_recipient(config, delivery),
            created_at=now,
            text=text,
            payload=_payload(config, context, budget),
        )

    def _context(self, delivery: LeasedDelivery, unsubscribe_url: str, now: datetime) -> Context:
        if not self._parts.has_variables:
            return {}
        context = self._parts.read(delivery.contact())
        if self._parts.run_variables:
            variables = stored_variables(
                delivery.personalization_data,
                delivery.workflow_variables,
                is_entered_by_event=self._is_entered_by_event,
            )
            context.update(variables.by_name())
        context.update(self._campaign)
        context["unsubscribe_url"] = unsubscribe_url
        context["now"] = now
        if self._parts.has_confirmation:
            context[CONFIRM] = self._links.confirm(delivery.id)
        return context

    def _tracked(self, html: str, delivery_id: UUID, unsubscribe_url: str) -> str:
        if self._settings.tracks_clicks:
            html = with_tracked_links(
                html,
                lambda url: self._links.click(delivery_id, url),
                excluded=self._own_links(delivery_id, unsubscribe_url),
            )
        if self._settings.tracks_opens:
            html = with_tracking_pixel(html, self._links.opened(delivery_id))
        return html

    def _own_links(self, delivery_id: UUID, unsubscribe_url: str) -> list[str]:
        """Return the links that unsubscribe and confirm: they are not tracked and stay as they
        are."""
        if not self._parts.has_confirmation:
            return [unsubscribe_url]
        return [unsubscribe_url, self._links.confirm(delivery_id)]


def render_post(
    config: SocialAction, version: PublishedVersion, post_id: UUID, now: datetime
) -> OutgoingMessage:
    """Render the post of a social step; only campaign variables are available. Raises
    TemplateError."""
    context = {**_campaign_context(version), "now": now}
    budget = RenderBudget()
    return OutgoingMessage(
        delivery_id=post_id,
        channel="social",
        recipient=config.platform,
        created_at=now,
        text=str(render_leaves(config.content, context, budget)),
        payload={
            "post_type": config.post_type,
            "hashtags": render_leaves(config.hashtags, context, budget),
            "media_urls": render_leaves(config.media_urls, context, budget),
            "schedule_time": config.schedule_time,
        },
    )


def _check_size(*texts: str) -> None:
    if sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) > MAX_OUTPUT_BYTES:
        raise TemplateBudgetExceeded(f"the message exceeds {MAX_OUTPUT_BYTES:,} bytes")


def _recipient(config: object, delivery: LeasedDelivery) -> str:
    if isinstance(config, SmsAction):
        return delivery.phone or ""
    return config.url if isinstance(config, WebhookAction) else ""


def _payload(config: object, context: Context, budget: RenderBudget | None) -> dict[str, object]:
    if isinstance(config, WebhookAction):
        return {
            "method": config.method,
            "headers": render_leaves(config.headers, context, budget),
            "payload": render_values(config.payload, context, budget),
        }
    return {}


@dataclass(frozen=True, slots=True)
class _Texts:
    """The texts of a node: (name, template, is HTML). With `is_personal` off they are not
    rendered."""

    texts: tuple[tuple[str, str, bool], ...]
    is_personal: bool = True
    reads_payload: bool = False
    payload_variables: frozenset[str] = frozenset()

    @classmethod
    def of(cls, config: object) -> _Texts:
        if isinstance(config, EmailConfig):
            texts = [("subject", config.subject, False), ("body", config.body, False)]
            if config.preheader:
                texts.append(("preheader", config.preheader, False))
            if config.body_html:
                texts.append(("body_html", config.body_html, True))
            return cls(tuple(texts), config.personalization_enabled)
        if isinstance(config, SmsAction):
            return cls((("body", config.body, False),))
        if isinstance(config, WebhookAction):
            return cls((), reads_payload=True, payload_variables=variables_read(config))
        return cls(())


@dataclass(frozen=True, slots=True)
class _Parts:
    """Parsed texts, the function that reads their variables from a contact, and the columns that
    they and the address need. `is_plain`: no text needs the Liquid interpreter. `run_variables`:
    those of entry, event and vars that the texts read. `has_confirmation`: they have the link that
    confirms a topic."""

    templates: dict[str, CompiledTemplate | _Verbatim]
    has_variables: bool
    is_plain: bool
    read: Callable[[Mapping[str, object]], Context]
    columns: frozenset[str]
    run_variables: frozenset[str]
    has_confirmation: bool = False


@dataclass(frozen=True, slots=True)
class _Verbatim:
    text: str
    variables: frozenset[str] = frozenset()
    is_plain: bool = True

    def render(self, _context: Context, _budget: RenderBudget | None = None) -> str:
        return self.text


@lru_cache(maxsize=4096)
def _parts(texts: _Texts) -> _Parts:
    templates: dict[str, CompiledTemplate | _Verbatim] = {
        name: parse(text, html=html) if texts.is_personal else _Verbatim(text)
        for name, text, html in texts.texts
    }
    variables = frozenset().union(*(template.variables for template in templates.values()))
    if texts.reads_payload:  # its strings are parsed one by one
        every_column = frozenset(CONTACT_COLUMNS)
        read_by_payload = texts.payload_variables
        return _Parts(templates, True, False, contact_context, every_column, read_by_payload)
    columns, reads_custom_fields = contact_columns_for(variables)
    if reads_custom_fields:
        columns |= {CUSTOM_FIELDS}
    is_plain = all(template.is_plain for template in templates.values())
    read = reader_of(variables)
    return _Parts(
        templates,
        bool(variables),
        is_plain,
        read,
        columns | _ADDRESS_COLUMNS,
        variables & RUN_VARIABLES,
        CONFIRM in variables,
    )


def _campaign_context(version: PublishedVersion) -> Context:
    return {"campaign_id": str(version.campaign_id), "campaign_name": version.campaign_name}


def error_code(error: Exception) -> str:
    """Return the error code of a message that could not be rendered."""
    is_budget = isinstance(error, TemplateBudgetExceeded)
    return TEMPLATE_BUDGET if is_budget else RENDER_FAILED
