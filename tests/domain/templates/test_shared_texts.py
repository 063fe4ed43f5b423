"""Partials: written out with a scope of their own, as Liquid's `render` has it."""

from __future__ import annotations

from typing import Any

import pytest
from liquid import DictLoader, Environment

from drip_pipeline.domain.templates.render_budget import RenderBudget
from drip_pipeline.domain.templates.shared_texts import SharedText, expanded, in_layout
from drip_pipeline.domain.templates.templates import parse
from drip_pipeline.errors import TemplateBudgetExceeded, TemplateError

PARTIALS = {
    "hello": "Hello {{ name }}",
    "button": "[{{ label }} -> {{ url | default: 'none' }}]",
    "item": "{{ forloop.index }}:{{ item.name }}{% unless forloop.last %},{% endunless %}",
    "outer": "({% render 'hello' %} {% render 'button', label: 'x', url: name %})",
    "assigns": "{% assign name = 'changed' %}{{ name }}",
    "thing": "{{ thing }}",
    "inner": "{{ label }}{{ name }}",
    "passes": "{% render 'inner' %}",
}
SHARED = {name: SharedText(text, text) for name, text in PARTIALS.items()}
CONTEXT: dict[str, Any] = {
    "name": "Ann & Co",
    "link": "https://acme.io/?a=1&b=2",
    "items": [{"name": "Tea"}, {"name": "Pot"}],
    "none_left": [],
    "item": "a custom field",
}
TEXTS = [
    "{% render 'hello' %}",
    '{% render "hello" %}',
    "a {%- render 'hello' -%} b",
    "{% render 'button', label: 'Buy', url: link %}",
    "{% render 'button' label: name %}",
    "{% assign name = 'local' %}{% render 'hello' %}{{ name }}",
    "{% render 'assigns' %}{{ name }}",
    "{% render 'item' for items as item %}{{ item }}",
    "{% render 'item' for none_left as item %}.",
    "{% render 'thing' with name %}",
    "{% render 'thing' with items %}",
    "{% render 'thing' for items %}",
    "{% render 'thing' for name as thing %}",
    "{% render 'outer' %}",
    "{% render 'passes', label: 'x' %}",
    "{% for item in items %}{% render 'button', label: item.name %}{% endfor %}",
    "{% if name %}{% render 'hello' %}{% else %}no{% endif %}",
    "{% raw %}{% render 'hello' %}{% endraw %}",
    "{% comment %}{% render 'none' %}{% endcomment %}x",
    "{% capture c %}{% render 'hello' %}{% endcapture %}{{ c | upcase }}",
]


@pytest.mark.parametrize("html", [False, True])
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_renders_as_with_liquids_own_render(text: str, html: bool):
    own = Environment(loader=DictLoader(PARTIALS), autoescape=html)
    template = parse(expanded(text, SHARED, html=html), html=html)
    known = {name: CONTEXT[name] for name in template.variables if name in CONTEXT}
    # Only the variables that the text says it reads: those are loaded of a contact.
    assert template.render(known) == own.from_string(text).render(**CONTEXT)


def test_texts_without_partials_stay_and_render_on_the_fast_path():
    for text in ("Hello {{ name }}", "{% if a %}b{% endif %}", "render 'hello'", ""):
        assert expanded(text, SHARED, html=False) == text
    assert parse(expanded("Hello {{ name }}", SHARED, html=False), html=False).is_plain


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n{% render 'helo' %}", "line 2: there is no template 'helo'; did you mean 'hello'?"),
        ("{% render hello %}", "line 1: write the name of the template in quotes"),
        ("{% include 'hello' %}", "line 1: include is not available; use render 'name'"),
        ("{% partial 'hello' %}x{% endpartial %}", "partial is not available"),
        ("{% render 'one' %}", "template 'one' has no text form; add templates/one.txt"),
        ("{% render 'a' %}", "templates render each other without end: a → b → a"),
        ("{% render 'big' %}{% render 'big' %}", "more than 1,000,000 characters"),
        ("{% render 'deep0' %}", "nested deeper than 10 levels"),
    ],
)
def test_what_cannot_be_written_out_is_refused_by_name(text: str, message: str):
    shared = {
        **SHARED,
        "one": SharedText("<p>x</p>", None),
        "a": SharedText("{% render 'b' %}", "{% render 'b' %}"),
        "b": SharedText("{% render 'a' %}", "{% render 'a' %}"),
        "big": SharedText("x" * 600_000, "x" * 600_000),
        **{f"deep{n}": SharedText("", f"{{% render 'deep{n + 1}' %}}") for n in range(20)},
    }
    with pytest.raises(TemplateError) as refused:
        expanded(text, shared, html=False)
    assert message in refused.value.message


def test_partials_use_the_budget_of_the_message():
    shared = {"slow": SharedText("", "{% for i in (1..9000) %}{{ i }}{% endfor %}")}
    text = "{% for a in (1..9000) %}{% render 'slow' %}{% endfor %}"
    template = parse(expanded(text, shared, html=False), html=False)
    with pytest.raises(TemplateBudgetExceeded):
        template.render({}, RenderBudget())


def test_a_layout_has_one_place_for_the_content():
    assert in_layout("<p>Hi</p>", "<main>{{- content -}}</main>") == "<main><p>Hi</p></main>"
    for layout in ("<main></main>", "{{ content }}{{ content }}"):
        with pytest.raises(TemplateError, match="exactly once"):
            in_layout("<p>Hi</p>", layout)
