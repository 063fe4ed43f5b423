"""Outputs of templates as values of JSON, and the filter `json`."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from drip_pipeline.domain.templates.templates import parse
from drip_pipeline.errors import TemplateError

CONTEXT = {
    "n": 5,
    "yes": True,
    "tags": ["a", 1, None],
    "at": datetime(2026, 1, 2, tzinfo=UTC),
    "day": date(2026, 1, 2),
    "exact": Decimal("1.50"),
    "whole": Decimal("3.00"),
    "huge": 10**30,
    "endless": float("inf"),
    "nick": 'x"y<z>',
    "deep": {"a": {"b": [Decimal("2")]}},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ n }}", 5),
        ("{{- n -}}", 5),
        ("{{ n }} ", "5 "),
        ("{{ n }}{{ n }}", "55"),
        ("{{ n | plus: 1 }}", 6),
        ("{{ yes }}", True),
        ("{{ tags }}", ["a", 1, None]),
        ("{{ tags | first }}", "a"),
        ("{{ tags | join: ', ' }}", "a, 1, None"),
        ("{{ at }}", "2026-01-02T00:00:00+00:00"),
        ("{{ day }}", "2026-01-02"),
        ("{{ exact }}", 1.5),
        ("{{ whole }}", 3),
        ("{{ huge }}", str(10**30)),
        ("{{ endless }}", None),
        ("{{ deep.a }}", {"b": [2]}),
        ("{{ missing }}", None),
        ("{{ missing | default: 3 }}", 3),
        ("{{ (1..3) }}", [1, 2, 3]),
        ("{% if yes %}{{ n }}{% endif %}", "5"),
        ("", ""),
        ("{{ tags | json }}", '["a", 1, null]'),
        ("v={{ nick | json }}", 'v="x\\"y<z>"'),
        ("{{ missing | json }}!", "null!"),
        ("{{ at | json }}", '"2026-01-02T00:00:00+00:00"'),
    ],
)
def test_a_template_of_one_output_has_the_value_itself(text: str, value: object) -> None:
    result = parse(text, html=False).value(CONTEXT)
    assert (result, type(result)) == (value, type(value))


def test_a_value_that_cannot_be_computed_is_a_template_error() -> None:
    with pytest.raises(TemplateError, match="line 1"):
        parse("{{ n | divided_by: 0 }}", html=False).value(CONTEXT)


def test_json_in_html_is_escaped() -> None:
    assert parse("{{ nick | json }}", html=True).render(CONTEXT) == ("&#34;x\\&#34;y&lt;z&gt;&#34;")
