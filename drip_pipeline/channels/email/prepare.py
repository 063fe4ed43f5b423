"""Prepare an email for publishing: inline styles, derive a missing text, add unsubscribe links.

Done once per published version, so that sending only renders.
"""

from __future__ import annotations

import re
from typing import Final

from drip_pipeline.channels.email.html import (
    html_to_text,
    inline_css,
    with_html_footer,
    with_text_footer,
)
from drip_pipeline.domain.graph.emails import EmailConfig, EmailTranslation

_LIQUID_OPENERS: Final = re.compile(r"\{\{|\{%")


def prepare_email(config: EmailConfig) -> EmailConfig:
    """Return the email as it is sent; preparing it again changes nothing.

    With `personalization_enabled` off, the texts are literal: they become templates that render to
    themselves, so that the footer can have each recipient's own link. Raises TemplateError if the
    HTML cannot be prepared, with the reason.
    """
    if config.translations:
        translations = {
            tag: _texts_of(prepare_email(config.in_language(tag))) for tag in config.translations
        }
        own = prepare_email(config.model_copy(update={"translations": None}))
        return own.model_copy(update={"translations": translations})
    if not config.personalization_enabled:
        config = _literal(config)
    html = config.body_html if config.body_html and config.body_html.strip() else None
    text = config.body
    if html is not None:
        html = with_html_footer(inline_css(html))
    if text.strip():
        text = with_text_footer(text)
    elif html is not None:
        text = html_to_text(html)
    return config.model_copy(update={"body": text, "body_html": html})


def _texts_of(config: EmailConfig) -> EmailTranslation:
    return EmailTranslation(
        subject=config.subject,
        preheader=config.preheader,
        body=config.body,
        body_html=config.body_html,
    )


def _literal(config: EmailConfig) -> EmailConfig:
    texts = {
        name: None if value is None else _LIQUID_OPENERS.sub(_quoted, value)
        for name in ("subject", "preheader", "body", "body_html")
        for value in (getattr(config, name),)
    }
    return config.model_copy(update={**texts, "personalization_enabled": True})


def _quoted(opener: re.Match[str]) -> str:
    return "{{ '" + opener.group() + "' }}"
