"""Templates: errors and variables of parsing, and results of rendering."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from drip_pipeline.domain.contact_fields import (
    KNOWN_VARIABLES,
    contact_columns_for,
    contact_context,
)
from drip_pipeline.domain.templates.templates import parse
from drip_pipeline.errors import TemplateBudgetExceeded, TemplateError


def rendered(text: str, *, html: bool = False, **context: Any) -> str:
    return parse(text, html=html).render(context)


def test_missing_variables_render_empty() -> None:
    text = "[{{ a }}{{ a.b.c }}{{ a | upcase }}{% for x in a %}!{% endfor %}]"
    assert rendered(text) == "[]"
    assert rendered("[{{ a }}]", a=None) == "[]"
    assert rendered("{% if a %}yes{% else %}no{% endif %}") == "no"
    assert rendered("Hi {{ a | default: 'you' }}") == "Hi you"


def test_html_is_escaped_and_text_is_not() -> None:
    value = """<b>"Tom" & 'Jerry'</b>"""
    assert rendered("{{ v }}", v=value) == value
    assert rendered("{{ v }}", html=True, v=value) == (
        "&lt;b&gt;&#34;Tom&#34; &amp; &#39;Jerry&#39;&lt;/b&gt;"
    )
    assert rendered("{% if v %}{{ v }}{% endif %}", html=True, v="a&b") == "a&amp;b"
    assert rendered("{{ v | escape }}", html=True, v="a&b") == "a&amp;b"
    assert rendered("{{ v | default: '<i>x</i>' }}", html=True) == "<i>x</i>"


def test_line_ends_are_kept() -> None:
    assert rendered("a\r\n{{ v }}", v="\r\n\r") == "a\r\n\r\n\r"
    assert rendered("a\r\n{% capture x %}{{ v }}\r{% endcapture %}{{ x }}", v="\r") == "a\r\n\r\r"


def test_tags_and_filters_of_liquid_work() -> None:
    text = "{% for t in tags %}{{ forloop.index }}:{{ t | upcase }} {% endfor %}"
    assert rendered(text, tags=["a", "b"]) == "1:A 2:B "
    assert rendered("{% assign n = name | split: ' ' | first %}{{ n }}", name="Ada L") == "Ada"


def test_plain_templates_are_recognized() -> None:
    assert parse("Hi {{ a }}, {{ b | default: 'x' }} {{- c | escape }}", html=True).is_plain
    assert not parse("{{ a | upcase }}", html=True).is_plain
    assert not parse("{{ a.b }}", html=True).is_plain
    assert not parse("{% if a %}{% endif %}", html=True).is_plain


@pytest.mark.parametrize(
    ("text", "line", "fault"),
    [
        ("a\nb {{ x", 2, "expected '}}'"),
        ("a\n\n{{ }}", 3, "expected a primitive expression"),
        ("{% if a %}", 1, "endif"),
        ("a\n{% nope %}", 2, "nope"),
        ("{% include 'x' %}", 1, "include"),
        ("{% render 'x' %}", 1, "render"),
        ("a\n{{ x | nope }}", 2, "unknown filter 'nope'"),
        ("{% for t in tags %}\n{{ t | nope }}{% endfor %}", 2, "nope"),
        ("{{ x | default: 1, 2 }}", 1, "too many"),
        ("{{ x | replace }}", 1, "missing"),
        ("{{ first name }}", 1, "expected end of expression"),
    ],
)
def test_errors_of_templates_have_their_line(text: str, line: int, fault: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parse(text, html=False)
    assert str(caught.value).startswith(f"line {line}: ")
    assert fault in str(caught.value)


def test_computed_names_and_too_long_texts_are_invalid() -> None:
    with pytest.raises(TemplateError, match="computed"):
        parse("{{ [x] }}", html=False)
    with pytest.raises(TemplateError, match="1,000,000"):
        parse("x" * 1_000_001, html=False)


def test_variables_are_the_root_names_read_from_the_context() -> None:
    loop = "{% for t in tags %}{{ t }}{{ forloop.index }}{% endfor %}"
    text = "{{ a.b }}{% assign q = c %}{{ q }}"
    assert parse(text + loop, html=False).variables == {"a", "c", "tags"}
    assert parse("{{ x }}{{ y | default: z }}", html=False).variables == {"x", "y", "z"}
    assert parse("no variables", html=False).variables == frozenset()


def test_now_comes_from_the_context_and_never_from_a_clock() -> None:
    text = "{{ 'now' | date: '%Y' }}{{ now }}{{ today }}"
    assert "now" in parse("{{ 'now' | date: '%Y' }}", html=False).variables
    assert rendered(text) == ""
    then = datetime(1999, 5, 6, tzinfo=UTC)
    assert rendered("{{ 'now' | date: '%Y' }} {{ now | date: '%d' }}", now=then) == "1999 06"


@pytest.mark.parametrize(
    "text",
    [
        "{% for i in (1..100000) %}x{% endfor %}",
        "{% for i in (1..100) %}{% for j in (1..1000) %}x{% endfor %}{% endfor %}",
        "{% assign a = b %}{% for i in (1..60) %}{% assign a = a | append: a %}{% endfor %}",
        "{% for i in (1..9000) %}{{ b }}{% endfor %}",
    ],
)
def test_templates_that_exceed_a_limit_are_stopped(text: str) -> None:
    template = parse(text, html=False)
    with pytest.raises(TemplateBudgetExceeded, match=r"Limit|numbers at most|characters"):
        template.render({"b": "x" * 1000})


def test_the_output_limit_also_applies_to_plain_templates() -> None:
    template = parse("{{ a }}{{ a }}", html=False)
    assert len(template.render({"a": "x" * 500_000})) == 1_000_000
    with pytest.raises(TemplateBudgetExceeded, match="1,000,000"):
        template.render({"a": "ä" * 300_000})


def test_rendering_errors_contain_the_line_but_no_value() -> None:
    template = parse("a\n{{ name | divided_by: 0 }}", html=False)
    with pytest.raises(TemplateError) as caught:
        template.render({"name": "ada@example.com"})
    assert "line 2" in str(caught.value)
    assert "ada@example.com" not in str(caught.value)


def test_the_context_has_columns_custom_fields_and_aliases() -> None:
    context = contact_context(
        {
            "name": "  Ada  King Lovelace ",
            "email": "ada@example.com",
            "company": "Acme",
            "ai_score": 7,
            "custom_fields": {"plan": "gold", "email": "other@example.com", "lead_score": 99},
        }
    )
    assert context["first_name"] == "Ada"
    assert context["last_name"] == "King Lovelace"
    assert context["email"] == "ada@example.com"
    assert context["company_name"] == "Acme"
    assert context["lead_score"] == 7
    assert context["plan"] == "gold"
    custom_fields = context["custom_fields"]
    assert isinstance(custom_fields, dict)
    assert custom_fields["plan"] == "gold"


def test_name_parts_in_custom_fields_take_precedence_over_the_split_name() -> None:
    contact = {"name": "Dr. Ada Lovelace", "custom_fields": {"first_name": "Ada", "last_name": ""}}
    context = contact_context(contact)
    assert (context["first_name"], context["last_name"]) == ("Ada", "Ada Lovelace")


@pytest.mark.parametrize("contact", [{}, {"name": None, "custom_fields": None}, {"name": " "}])
def test_a_contact_without_a_name_has_no_first_name(contact: dict[str, Any]) -> None:
    context = contact_context(contact)
    assert (context["first_name"], context["last_name"]) == (None, None)
    assert context["custom_fields"] == {}
    assert contact_context({"name": "Cher"})["last_name"] is None


@pytest.mark.parametrize(
    ("names", "columns", "needs_custom_fields"),
    [
        (["email", "company_name", "lead_score"], {"email", "company", "ai_score"}, False),
        (["first_name"], {"name"}, True),
        (["plan", "address.city"], set(), True),
        (["custom_fields"], set(), True),
        (["campaign_id", "campaign_name", "unsubscribe_url", "now"], set(), False),
    ],
)
def test_only_the_columns_of_the_names_are_loaded(
    names: list[str], columns: set[str], needs_custom_fields: bool
) -> None:
    result, custom = contact_columns_for(names)
    assert result == columns
    assert custom is needs_custom_fields


def test_every_variable_of_the_engine_is_a_known_variable() -> None:
    engine = {"campaign_id", "campaign_name", "unsubscribe_url", "now"}
    assert engine | contact_context({"name": "Ada"}).keys() <= KNOWN_VARIABLES
