"""Templates: comparisons that never fail, dates without a clock, and the budget of a message."""

from __future__ import annotations

import gc
from datetime import UTC, date, datetime
from time import perf_counter, thread_time
from typing import Any

import pytest

from drip_pipeline.channels.email.html import html_to_text, inline_css
from drip_pipeline.domain.templates.render_budget import RenderBudget
from drip_pipeline.domain.templates.templates import parse
from drip_pipeline.errors import TemplateBudgetExceeded, TemplateError

TEN = datetime(2026, 3, 10, 9, tzinfo=UTC)


def rendered(text: str, **context: Any) -> str:
    return parse(text, html=False).render(context)


@pytest.mark.parametrize(
    ("test", "value", "answer"),
    [
        ("x > 5", "12", True),
        ("x > 5", "3", False),
        ("x > 5", "n/a", False),
        ("x <= 5", "n/a", False),
        ("x >= 5", None, False),
        ("x > 5", ["a"], False),
        ("x > 5", {"a": 1}, False),
        ("x < 'b'", 5, False),
        ("x == 12", "12", True),
        ("x == '12'", 12, True),
        ("x == '1.1'", "1.10", False),
        ("x == true", "yes", True),
        ("x == true", True, True),
        ("x == true", "no", False),
        ("x == nil", None, True),
        ("x != 'a'", None, True),
        ("x != 5", "5", False),
        ("x == blank", "", True),
        ("x == empty", [], True),
        ("x == 'vip'", ["vip", "beta"], True),
        ("x contains 'vip'", ["vip"], True),
        ("x contains 5", ["5"], True),
        ("x contains 'b'", 5, False),
        ("x contains 'b'", "abc", True),
        ("x contains 'b'", {"b": 1}, True),
        ("(1..5) contains x", "3", True),
        ("(1..5) contains x", "a", False),
        ("x > '2026-03-09'", TEN, True),
        ("x > '2026-03-09'", "2026-03-10T09:00:00+02:00", True),
        ("x == '2026-03-10'", date(2026, 3, 10), True),
    ],
)
def test_templates_compare_as_conditions_do(test: str, value: Any, answer: bool) -> None:
    text = f"{{% if {test} %}}yes{{% else %}}no{{% endif %}}"
    assert rendered(text, x=value) == ("yes" if answer else "no")


def test_a_case_compares_as_a_condition_does() -> None:
    text = "{% case x %}{% when 12 %}twelve{% else %}other{% endcase %}"
    assert rendered(text, x="12") == "twelve"
    assert rendered(text, x="n/a") == "other"


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("2026-03-10", "10.03.2026"),
        ("2026-03-10T23:30:00-05:00", "10.03.2026"),
        ("2026-03-10 09:00:00", "10.03.2026"),
        (TEN, "10.03.2026"),
        (date(2026, 3, 10), "10.03.2026"),
        (1_773_133_200, "10.03.2026"),
        ("1773133200", "10.03.2026"),
        ("now", "05.06.1999"),
        ("today", "05.06.1999"),
        (None, ""),
        # A parser would take what is missing from the machine's clock.
        ("March", "March"),
        ("10:30", "10:30"),
        ("10/03/2026", "10/03/2026"),
        ("20260310", "20260310"),
        ("soon", "soon"),
        (True, "True"),
        (10**30, str(10**30)),
    ],
)
def test_dates_are_read_as_iso_or_stay_as_they_are(value: Any, printed: str) -> None:
    now = datetime(1999, 6, 5, tzinfo=UTC)
    assert rendered("{{ x | date: '%d.%m.%Y' }}", x=value, now=now) == printed


def test_a_date_that_cannot_be_read_is_reported() -> None:
    template = parse("{{ x | date: '%Y' }}", html=True)
    for value, is_unreadable in (("2026-03-10", False), ("soon", True)):
        budget = RenderBudget()
        template.render({"x": value}, budget)
        assert budget.has_unreadable_dates is is_unreadable


HOSTILE = [
    "{% if (1..100000000000) contains 'x' %}a{% endif %}",
    "{{ (1..100000000000) | join: '' }}",
    "{% for i in (1..100000000000) reversed %}a{% endfor %}",
    "{% for i in (1..100000000000) offset: 5 limit: 2 %}a{% endfor %}",
    "{{ 'x'" + " | replace: 'x', 'xxxxxxxxxx'" * 12 + " }}",
    "{{ 'x'" + " | append: 'xxxxxxxxx' | replace: '', 'yyyyyyyyyyyyyyyyyyyy'" * 12 + " }}",
    "{% assign a = (1..9999) %}{% for i in (1..9999) %}{{ a | sort | uniq | size }}{% endfor %}",
    "{% for i in (1..9999) %}" + "{{ '' }}" * 5_000 + "{% endfor %}",
    "{% for i in (1..9999) %}" + "{% if a == b %}{% endif %}" * 2_000 + "{% endfor %}",
    "{% assign a = 'a,b' | split: ',' %}" + "{% assign a = a | concat: a %}" * 30,
    "{{ 99" + " | times: 99999999999999" * 5_000 + " }}",
    "{{ 'now' | date: '%9999999999Y' }}",
    "{% assign a = '" + "x" * 900_000 + "' | split: '' %}",
    "{{ '" + "<!--" * 100_000 + ">' | strip_html }}",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_template_uses_up_its_budget_and_no_more(text: str) -> None:
    template = parse(text, html=False)
    began = perf_counter()
    with pytest.raises(TemplateBudgetExceeded):
        template.render({"now": TEN})
    assert perf_counter() - began < 5


@pytest.mark.parametrize(
    "text",
    [
        "{% raw %}" * 100_000,
        "}}" + "{{" * 300_000,
        "{% " * 300_000,
        "{% endcomment %}" + "{% comment %}" * 70_000,
    ],
    ids=["raw", "output", "tag", "comment"],
)
def test_a_text_with_many_openings_and_no_end_is_refused_at_once(text: str) -> None:
    began = perf_counter()
    with pytest.raises(TemplateError, match=r"line 1: .* has no end"):
        parse(text, html=True)
    assert perf_counter() - began < 2


def test_a_template_has_a_limit_of_outputs_and_tags() -> None:
    assert parse("{{ a }}{% if a %}{% endif %}" * 3_333, html=False).variables == {"a"}
    began = perf_counter()
    with pytest.raises(TemplateError, match="10,000 outputs and tags"):
        parse("{{a}}" * 190_000, html=False)
    assert perf_counter() - began < 2


@pytest.mark.parametrize(
    "text",
    [
        "<style>" * 140_000,
        "<style " * 140_000,
        "<style></style>" + "<script>" * 100_000,
        "<style></style>" + "<!--" * 200_000,
        "<style></style>" + "<a" * 400_000,
        "<style>" * 60_000 + "{% raw %}" * 40_000,
    ],
    ids=["style", "open tag", "script", "comment", "tag", "both"],
)
def test_html_with_many_openings_and_no_end_is_refused_at_once(text: str) -> None:
    for prepare in (inline_css, html_to_text):
        began = perf_counter()
        with pytest.raises(TemplateError, match=r"line 1: .* has no end"):
            prepare(text)
        assert perf_counter() - began < 2


def test_texts_of_a_message_share_its_time() -> None:
    budget = RenderBudget(seconds=0.0)
    template = parse("{% for i in (1..100) %}{{ i }}{% endfor %}", html=False)
    with pytest.raises(TemplateBudgetExceeded, match="time"):
        template.render({}, budget)
    assert template.render({}) == "".join(str(n) for n in range(1, 101))


def test_garbage_collections_take_nothing_of_the_budget() -> None:
    cycles: list[object] = []
    for _ in range(200_000):
        cycle: list[object] = []
        cycle.append(cycle)
        cycles.append(cycle)
    budget = RenderBudget(seconds=0.02)
    started = thread_time()
    while thread_time() - started < 0.1:
        gc.collect()
    budget.check()
