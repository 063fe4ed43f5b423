"""Faulty mails, each with its warning, and a good mail without any."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drip_pipeline.engine.preview.preview import PreviewRequest, preview
from drip_pipeline.settings import Secret
from tests.engine.factories import MESSAGES, NOW
from tests.engine.preview.files import GOOD_MAIL, campaign

HTML = GOOD_MAIL["body_html"]
FAULTY: list[tuple[str, dict[str, Any]]] = [
    ("subject_long", {"subject": "A subject " + "that is longer than a phone shows " * 2}),
    ("subject_capitals", {"subject": "LAST CHANCE FOR TEA TODAY"}),
    ("preheader_missing", {"preheader": None}),
    ("variable_empty", {"subject": "Hello {{ company }} and more"}),
    ("unsubscribe_added", {"body_html": HTML.replace("{{ unsubscribe_url }}", "https://acme.io")}),
    (
        "unsubscribe_missing",
        {
            "body_html": HTML.replace(
                '<a href="{{ unsubscribe_url }}">Leave</a>',
                '{% if company %}<a href="{{ unsubscribe_url }}">Leave</a>{% endif %}',
            )
        },
    ),
    ("image_without_alt", {"body_html": HTML.replace(' alt="A cup"', "")}),
    ("image_without_size", {"body_html": HTML.replace(' width="300"', "")}),
    ("image_http", {"body_html": HTML.replace("https://cdn", "http://cdn")}),
    ("image_unreachable", {"body_html": HTML.replace("https://cdn.acme.io/", "images/")}),
    ("link_placeholder", {"body_html": HTML.replace("https://acme.io/tea", "#")}),
    ("link_placeholder", {"body_html": HTML.replace("https://acme.io/tea", "https://TODO")}),
    ("link_placeholder", {"body_html": HTML.replace("acme.io/tea", "www.example.com/tea")}),
    ("link_relative", {"body_html": HTML.replace("https://acme.io/tea", "acme.io/tea")}),
    ("link_http", {"body_html": HTML.replace("https://acme.io/tea", "http://acme.io/tea")}),
    ("link_without_text", {"body_html": HTML.replace(">Tea<", "> <")}),
    ("size_clipped", {"body_html": f"{HTML}<p>{'tea ' * 27_000}</p>"}),
    ("element_unsupported", {"body_html": HTML + "<form><input></form>"}),
    ("marks_left", {"body_html": HTML + "<p>Dear *|FNAME|*</p>"}),
    (
        "text_missing",
        {
            "body_html": '<a href="https://acme.io"><img src="https://cdn.acme.io/a.png"'
            ' alt="Tea" width="600"></a><a href="{{ unsubscribe_url }}">Leave</a>'
        },
    ),
]


def codes(mail: dict[str, Any], **changes: Any) -> list[str]:
    """The warnings of the mail for a person without values."""
    file = json.dumps(campaign({**mail, **changes}))
    shown = preview(None, PreviewRequest(file=file), settings=MESSAGES, channels={}, now=NOW)
    nobody = next(person for person in shown.recipients if "no values" in person.why)
    return [warning.code for warning in nobody.messages[0].warnings]


def test_a_good_mail_has_no_warning():
    assert codes(GOOD_MAIL) == []


@pytest.mark.parametrize(
    ("code", "changes"), FAULTY, ids=[f"{n}-{code}" for n, (code, _) in enumerate(FAULTY)]
)
def test_each_faulty_mail_has_its_warning_and_no_other(code: str, changes: dict[str, Any]):
    assert codes(GOOD_MAIL, **changes) == [code]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("Hello, come tomorrow at 7", []),
        ("Hello – " + "come tomorrow " * 5, ["sms_unicode"]),
        ("word " * 70, ["sms_segments"]),
        ("word " * 400, ["sms_too_long"]),
        ("Hello {{ first_name }}!", ["variable_empty"]),
    ],
)
def test_an_sms_is_warned_of_its_segments_and_characters(body: str, expected: list[str]):
    file = json.dumps(campaign(sms=body))
    if expected == ["sms_too_long"]:
        # Publishing refuses it; the variable makes it that long.
        file = json.dumps(campaign(sms="{{ first_name | default: 'word ' }}" * 350))
    shown = preview(None, PreviewRequest(file=file), settings=MESSAGES, channels={}, now=NOW)
    # Without variables all people see the same, and one of them is enough.
    nobody = next((p for p in shown.recipients if "no values" in p.why), shown.recipients[0])
    message = nobody.messages[0]
    assert [warning.code for warning in message.warnings] == expected
    assert message.segments is not None


def test_links_of_the_engine_itself_are_no_placeholders():
    """The unsubscribe link of a machine without a public URL starts with http://localhost."""
    settings = MESSAGES.__class__("a@acme.io", "http://localhost:8022", Secret("key"))
    file = json.dumps(campaign(GOOD_MAIL))
    shown = preview(None, PreviewRequest(file=file), settings=settings, channels={}, now=NOW)
    assert all(not message.warnings for p in shown.recipients for message in p.messages)
