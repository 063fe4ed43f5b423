"""Emails prepared at publish: inlined styles, derived text, unsubscribe links."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.channels.email.prepare import prepare_email
from drip_pipeline.domain.graph.nodes import EmailConfig
from drip_pipeline.domain.templates.templates import parse
from drip_pipeline.errors import TemplateError

LINK = "https://mail.example.com/u/token"
CONTEXT = {"first_name": "Zoë", "unsubscribe_url": LINK}


def mail(**fields: Any) -> EmailConfig:
    return EmailConfig(**({"subject": "Hi", "body": "Hello {{ first_name }}"} | fields))


def rendered(config: EmailConfig) -> dict[str, str]:
    assert config.personalization_enabled
    texts = {"subject": config.subject, "body": config.body, "html": config.body_html or ""}
    return {name: parse(text, html=name == "html").render(CONTEXT) for name, text in texts.items()}


def test_both_bodies_get_a_visible_unsubscribe_link():
    html = "<html><body><p>Hello {{ first_name }}</p></body></html>"
    ready = rendered(prepare_email(mail(body_html=html)))
    assert f'href="{LINK}"' in ready["html"]
    assert ready["html"].index("Unsubscribe") < ready["html"].index("</body>")
    assert f"Unsubscribe: {LINK}" in ready["body"]


def test_an_authors_own_link_is_sufficient():
    own = mail(
        body="Bye: {{ unsubscribe_url }}", body_html="<a href='{{ unsubscribe_url }}'>Bye</a>"
    )
    assert prepare_email(own) == own


def test_styles_are_inlined_and_liquid_is_kept():
    html = (
        "<style>p {color: red}</style><p>{% if first_name %}{{ first_name }}{% endif %}</p>"
        "{{ unsubscribe_url }}"
    )
    ready = prepare_email(mail(body_html=html)).body_html or ""
    assert 'style="color: red' in ready
    assert "Zoë" in parse(ready, html=True).render(CONTEXT)


def test_a_text_is_derived_if_there_is_only_html():
    ready = rendered(prepare_email(mail(body="", body_html="<p>Hello {{ first_name }}</p>")))
    assert ready["body"].startswith("Hello Zoë")
    assert LINK in ready["body"]


def test_an_email_without_html_gets_none():
    assert prepare_email(mail()).body_html is None
    assert prepare_email(mail(body_html="  ")).body_html is None


def test_without_personalization_texts_are_literal_and_the_link_is_per_recipient():
    config = mail(
        subject="Use {{ braces }} {% freely %}",
        body="{{ first_name }} stays",
        body_html="<p>{% raw %} {{ first_name }}</p>",
        personalization_enabled=False,
    )
    ready = rendered(prepare_email(config))
    assert ready["subject"] == "Use {{ braces }} {% freely %}"
    assert ready["body"].startswith("{{ first_name }} stays")
    assert "{% raw %} {{ first_name }}" in ready["html"]
    assert LINK in ready["body"]
    assert LINK in ready["html"]


@given(st.text(alphabet=st.sampled_from("{}%'\" ax-\n"), max_size=40))
def test_a_literal_text_renders_to_itself(text: str):
    config = mail(subject="Hi", body=f"x{text}", personalization_enabled=False)
    body = rendered(prepare_email(config))["body"]
    assert body.startswith(f"x{text}".rstrip())


@given(st.booleans(), st.booleans())
def test_preparing_twice_changes_nothing(has_html: bool, is_personal: bool):
    html = "<style>p {color: red}</style><body><p>Hello</p></body>" if has_html else None
    once = prepare_email(mail(body_html=html, personalization_enabled=is_personal))
    assert prepare_email(once) == once


def test_html_that_cannot_be_prepared_is_an_error():
    with pytest.raises(TemplateError, match="text"):
        prepare_email(mail(body="", body_html="<p>{% if a %}<a {% endif %}>"))
