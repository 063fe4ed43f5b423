"""The rules of comparison as a table, the same in conditions, on properties and in templates."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, Final

import pytest

from drip_pipeline.domain.conditions.conditions import (
    Condition,
    ContactAttributes,
    compile_condition,
)
from drip_pipeline.domain.conditions.matcher_keys import compile_where
from drip_pipeline.domain.conditions.never_matching import never_matching
from drip_pipeline.domain.templates.templates import parse

NOW: Final = datetime(2026, 3, 20, 3, tzinfo=UTC)
"""In New York it is still the 19th."""
MISSING: Final = object()

# operator, expected value, values for which it holds, values for which it does not
TABLE: list[tuple[str, Any, list[Any], list[Any]]] = [
    ("==", 12, [12, 12.0, "12", " 12 ", "12.0"], ["12a", True, None, MISSING, {}, "", "twelve"]),
    ("!=", 12, [13, "13", "12a"], [12, "12", None, MISSING, {"a": 1}, ""]),
    (">", 100, [101, "100.5"], [100, "n/a", None, MISSING, True, [], {}, ""]),
    (">", "100", [101, "101", "9999"], [99, "99", "n/a", None, MISSING]),
    ("==", "gold", ["gold"], ["Gold", "golden", None, MISSING, ["silver"]]),
    ("!=", "gold", ["Gold", 5, ["silver"], []], ["gold", None, MISSING, "", {}]),
    ("<", "b", ["a", "aa"], ["b", "c", None, MISSING, "", 1, []]),
    ("==", "1.1", ["1.1", 1.1], ["1.10", "v1.1"]),
    ("==", True, [True, "yes", "TRUE", 1, "on"], [False, "no", 0, 2, "maybe", None, MISSING]),
    ("==", False, [False, "no", 0, "off"], [True, "yes", None, MISSING, ""]),
    ("contains", "oo", ["foo", ["oo", "x"]], ["bar", ["foo"], None, MISSING, 5]),
    ("contains", 5, [[5, 6], ["5"]], [[6], [[5]], None, MISSING]),
    ("in", ["a", "b", 7], ["a", "b", "7", 7, ["x", "a"]], ["c", None, MISSING, [], ["x"]]),
    ("==", ["a", 1], [["a", 1], ["a", "1"]], [["a"], [1, "a"], ["a", 1, 2], "a", None, MISSING]),
    ("!=", ["a", 1], [["a"], [1, "a"], []], [["a", 1], "a", None, MISSING]),
    ("is empty", None, [None, MISSING, "", "  ", [], {}], ["a", 0, False, ["a"], {"a": 1}]),
    ("is not empty", None, ["a", 0, False, ["a"], {"a": 1}], [None, MISSING, "", "  ", [], {}]),
    # Times are instants; without a time of day a value is the whole day in the contact's zone.
    (
        ">",
        "2026-03-10T12:00:00Z",
        ["2026-03-10T12:00:01Z", "2026-03-10T13:30:00+01:00", "2026-03-11", "2026-03-10 15:00:00"],
        ["2026-03-10T12:00:00Z", "2026-03-10T13:00:00+01:00", "2026-03-10", "n/a", None, MISSING],
    ),
    (
        "==",
        "2026-03-10",
        ["2026-03-10", "2026-03-10T04:00:00Z", "2026-03-11T03:59:00Z", date(2026, 3, 10)],
        ["2026-03-10T03:59:00Z", "2026-03-11T04:00:00Z", "10.03.2026", None, MISSING],
    ),
    ("<=", "2026-03-10", ["2026-03-11T03:59:00Z"], ["2026-03-11T04:00:00Z"]),
    ("==", "today", ["2026-03-19", "2026-03-20T03:59:00Z", "today"], ["2026-03-20", "n/a", None]),
    ("<", "today", ["2026-03-18", "2026-03-19T03:59:00Z"], ["2026-03-19", "2026-03-20", MISSING]),
    (
        ">=",
        {"days_ago": 7},
        ["2026-03-12", "2026-03-12T04:00:00Z", datetime(2026, 3, 20, tzinfo=UTC)],
        ["2026-03-11", "2026-03-12T03:59:00Z", "n/a", None, MISSING, 7],
    ),
    ("==", {"days_ago": 0}, ["2026-03-19"], ["2026-03-20"]),
    ("==", {"days_ahead": 3}, ["2026-03-22", "2026-03-22T12:00:00Z"], ["2026-03-23", None]),
    ("in", ["today", "2026-01-01"], ["2026-03-19", "2026-01-01"], ["2026-03-20", MISSING]),
]
ROWS = [
    (operator, expected, value, holds)
    for operator, expected, matching, others in TABLE
    for values, holds in ((matching, True), (others, False))
    for value in values
]


def condition(operator: str, expected: Any) -> Condition:
    """Return a condition on the field `x`."""
    return Condition.model_validate(
        {"type": "field", "field": "x", "operator": operator, "value": expected}
    )


@pytest.mark.parametrize(("operator", "expected", "value", "holds"), ROWS)
def test_a_value_compares_as_the_table_says(
    operator: str, expected: Any, value: Any, holds: bool
) -> None:
    parsed = condition(operator, expected)
    fields = {} if value is MISSING else {"x": value}
    contact = ContactAttributes(fields, frozenset(), {}, NOW, "America/New_York")
    assert compile_condition(parsed)(contact) is holds
    run = ContactAttributes({"entry": fields}, frozenset(), {}, NOW, "America/New_York")
    of_run = parsed.model_copy(update={"field": "entry.x"})
    assert compile_condition(of_run)(run) is holds
    assert compile_where(parsed)(fields, NOW, "America/New_York") is holds
    assert list(never_matching(parsed)) == []


def in_a_template(row: tuple[str, Any, Any, bool]) -> bool:
    """Return whether a template can make this comparison: it has no lists and days as literals,
    and the days of a template are those of UTC. There, a missing value is unequal to a value."""
    operator, expected, value, _ = row
    return (
        operator in ("==", "!=", "<", "<=", ">", ">=", "contains")
        and isinstance(expected, str | int)
        and expected != "today"
        and not (expected == "2026-03-10" and "T" in str(value))
        and operator != "!="
    )


@pytest.mark.parametrize(
    ("operator", "expected", "value", "holds"), [row for row in ROWS if in_a_template(row)]
)
def test_a_template_compares_by_the_same_table(
    operator: str, expected: Any, value: Any, holds: bool
) -> None:
    literal = f"'{expected}'" if isinstance(expected, str) else str(expected).lower()
    template = parse(f"{{% if x {operator} {literal} %}}yes{{% endif %}}", html=False)
    context = {} if value is MISSING else {"x": value}
    assert (template.render(context) == "yes") is holds


@pytest.mark.parametrize(
    ("field", "operator", "expected", "advice"),
    [
        ("created_at", ">", "yesterday", "{days_ago: 7}"),
        ("renewal", ">", "-1 day", "{days_ago: 7}"),
        ("renewal", "<", "in 3 days", None),
        ("renewal", "==", "", "is empty"),
        ("renewal", ">", "{{ now }}", "no templates"),
        ("created_at", ">", 1772000000, "ISO date"),
    ],
)
def test_what_can_never_match_is_said_with_what_to_write(
    field: str, operator: str, expected: Any, advice: str | None
) -> None:
    parsed = condition(operator, expected).model_copy(update={"field": field})
    reasons = list(never_matching(parsed))
    assert (advice is None and not reasons) or (advice is not None and advice in reasons[0])


def test_a_relative_day_survives_storage() -> None:
    for value in ({"days_ago": 7}, {"days_ahead": 3}, "today"):
        parsed = condition(">", value)
        assert parsed.model_dump(mode="json")["value"] == value
        assert Condition.model_validate(parsed.model_dump(mode="json")) == parsed
