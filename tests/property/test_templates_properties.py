"""The fast path of templates equals stock Liquid, character by character."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from liquid import Environment
from markupsafe import Markup

from drip_pipeline.domain.contact_fields import (
    CAMPAIGN_VARIABLES,
    CUSTOM_FIELDS,
    KNOWN_VARIABLES,
    contact_context,
    reader_of,
)
from drip_pipeline.domain.templates.templates import parse
from drip_pipeline.errors import TemplateError

STOCK = {html: Environment(autoescape=html) for html in (False, True)}
NAMES = st.sampled_from(["a", "b", "first_name", "x-y", "partial", "café"])
LITERALS = st.text("ab<>&'\"{}% \n\u2028\0é😀", max_size=8).filter(
    lambda s: "{{" not in s and "{%" not in s and not s.endswith("{")
)
QUOTED = st.text("ab<>& é😀", max_size=6).map(lambda s: f'"{s}"')
FILTERS = st.one_of(
    st.just(""),
    QUOTED.map(lambda s: f" | default: {s}"),
    st.sampled_from(
        [
            " | escape",
            " | default: 5",
            " | default: 1.50",
            " | default",
            " | default: 'x' | escape",
            " | escape | default: 'x'",
            " | default: nil",
            " | default: b",
            " | default: 'x', allow_false: true",
        ]
    ),
)
OUTPUTS = st.builds(
    lambda left, name, filters, right: "{{" + left + f" {name}{filters} " + right + "}}",
    st.sampled_from(["", "-"]),
    NAMES,
    FILTERS,
    st.sampled_from(["", "-"]),
)
TEMPLATES = st.lists(LITERALS | OUTPUTS, max_size=8).map("".join)
VALUES = (
    st.none()
    | st.text(max_size=8)
    | st.text("<>&'\" é😀", max_size=8)
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.decimals()
    | st.datetimes()
    | st.uuids()
    | st.builds(Markup, st.text("<>&a", max_size=4))
    | st.lists(st.text("a<", max_size=3) | st.integers(), max_size=3)
    | st.dictionaries(st.text(max_size=2), st.integers(), max_size=2)
)
CONTEXTS = st.dictionaries(NAMES, VALUES)


@given(TEMPLATES, CONTEXTS, st.booleans())
def test_the_fast_path_renders_exactly_like_liquid(
    text: str, context: dict[str, Any], html: bool
) -> None:
    # Stock Liquid sets `partial` itself, so that the comparison sets it as well.
    known = {"partial": "p", **context}
    stock = STOCK[html].from_string(text.replace("partial", "p_artial"))
    renamed = {name.replace("partial", "p_artial"): value for name, value in known.items()}
    assert parse(text, html=html).render(known) == stock.render(renamed)


@pytest.mark.parametrize("html", [False, True])
def test_the_generated_templates_use_the_fast_path(html: bool) -> None:
    assert parse("<p>{{ a }}{{- b | default: 'x' -}} {{ c | escape }}", html=html).is_plain


@given(st.text(max_size=200))
def test_parsing_and_rendering_raise_only_template_errors(text: str) -> None:
    with suppress(TemplateError):
        assert isinstance(parse(text, html=True).render({}), str)


@given(
    st.fixed_dictionaries(
        {}, optional={"name": st.none() | st.text(), "custom_fields": st.none() | CONTEXTS}
    )
)
def test_splitting_a_name_keeps_every_word(contact: dict[str, Any]) -> None:
    context = contact_context({**contact, "custom_fields": None})
    words = [str(part) for part in (context["first_name"], context["last_name"]) if part]
    assert " ".join(words).split() == (contact.get("name") or "").split()


FIELDS = st.sampled_from(sorted(KNOWN_VARIABLES | {"plan", "a"}))
CUSTOM = st.none() | st.dictionaries(FIELDS, st.none() | st.text(max_size=4), max_size=6)
CONTACTS = st.fixed_dictionaries(
    {}, optional={"name": st.text(" ab", max_size=6), "company": VALUES, "ai_score": VALUES}
) | st.fixed_dictionaries({"name": st.text(" ab", max_size=6), CUSTOM_FIELDS: CUSTOM})


@given(CONTACTS, st.frozensets(FIELDS))
def test_a_limited_context_equals_the_complete_one(
    contact: dict[str, Any], names: frozenset[str]
) -> None:
    whole = contact_context(contact)
    read = reader_of(names)(contact)
    for name in names - CAMPAIGN_VARIABLES:
        # Compared as text: a field may be NaN, which equals nothing.
        assert repr(read.get(name)) == repr(whole.get(name))
    assert CAMPAIGN_VARIABLES.isdisjoint(read)
