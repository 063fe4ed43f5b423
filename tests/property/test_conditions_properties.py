"""Invariants of conditions: they never raise, missing data is false, the order is total."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.domain.conditions.conditions import (
    Condition,
    ContactAttributes,
    compile_condition,
    needs_of,
)

NOW = datetime(2026, 1, 28, 15, 30, tzinfo=UTC)
OPERATORS = st.sampled_from(["==", "!=", ">", "<", ">=", "<=", "contains"])
SCALARS = (
    st.text(max_size=20)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.sampled_from(["1", "2.50", "-7", "01", "2026-01-28", "2026-01-28T10:00:00Z", "true"])
)
ANYTHING = (
    SCALARS
    | st.none()
    | st.floats()
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.datetimes(timezones=st.just(UTC))
    | st.dates()
    | st.uuids()
    | st.lists(SCALARS, max_size=3)
    | st.dictionaries(st.text(max_size=3), SCALARS, max_size=2)
)


def leaves() -> st.SearchStrategy[dict[str, Any]]:
    names = st.sampled_from(["x", "y", "tags", "ai_score", "custom_fields.x", "y.z"])
    return st.one_of(
        st.builds(
            lambda op, name, value: {
                "type": "field",
                "operator": op,
                "field": name,
                "value": value,
            },
            OPERATORS,
            names,
            SCALARS,
        ),
        st.builds(
            lambda values: {"type": "field", "operator": "in", "field": "x", "value": values},
            st.lists(SCALARS, max_size=4),
        ),
        st.builds(lambda n: {"type": "score", "operator": ">", "value": n}, st.integers()),
        st.just({"type": "tag", "value": "vip"}),
        st.just({"type": "event", "event_type": "email_opened", "time_window": 2}),
        st.just({"type": "time", "operator": ">", "field": "hour", "value": 8}),
    )


def trees() -> st.SearchStrategy[dict[str, Any]]:
    return st.recursive(
        leaves(),
        lambda parts: st.builds(
            lambda logic, subs: {"type": "composite", "logic": logic, "sub_conditions": subs},
            st.sampled_from(["AND", "OR"]),
            st.lists(parts, min_size=1, max_size=3),
        ),
        max_leaves=6,
    )


def facts(fields: dict[str, Any], zone: Any = None) -> ContactAttributes:
    return ContactAttributes(fields, frozenset({"vip"}), {"email_opened": NOW}, NOW, zone)


@given(trees(), st.dictionaries(st.sampled_from(["x", "y", "ai_score"]), ANYTHING), ANYTHING)
def test_evaluation_never_raises_and_returns_a_bool(
    tree: dict[str, Any], fields: dict[str, Any], zone: Any
) -> None:
    answer = compile_condition(Condition.model_validate(tree))(facts(fields, zone))
    assert answer in (True, False)


@given(trees(), st.dictionaries(st.sampled_from(["x", "y", "ai_score"]), ANYTHING))
def test_only_the_needed_fields_affect_the_result(
    tree: dict[str, Any], fields: dict[str, Any]
) -> None:
    condition = Condition.model_validate(tree)
    roots = {name.split(".")[0] for name in needs_of(condition).fields}
    loaded = {name: value for name, value in fields.items() if name in roots}
    test = compile_condition(condition)
    assert test(facts(fields)) == test(facts(loaded))


def predicate(operator: str, value: Any) -> Any:
    source = {"type": "field", "operator": operator, "field": "x", "value": value}
    test = compile_condition(Condition.model_validate(source))
    return lambda actual: test(facts({"x": actual}))


@given(ANYTHING, SCALARS)
def test_equal_and_unequal_are_opposites_unless_missing(actual: Any, expected: Any) -> None:
    equal, unequal = predicate("==", expected)(actual), predicate("!=", expected)(actual)
    assert not (equal and unequal)
    has_no_value = actual is None or (isinstance(actual, str) and not actual.strip())
    if has_no_value or isinstance(actual, dict):
        assert not equal
        assert not unequal
    elif not isinstance(actual, date):  # a date and, for example, a number cannot be compared
        assert equal or unequal


@given(ANYTHING, SCALARS)
def test_at_most_one_of_less_and_greater_is_true(actual: Any, expected: Any) -> None:
    less, greater = predicate("<", expected)(actual), predicate(">", expected)(actual)
    assert not (less and greater)
    assert predicate("<=", expected)(actual) or not less
    assert predicate(">=", expected)(actual) or not greater


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False, width=32), st.integers())
def test_numbers_compare_as_numbers_also_as_text(actual: float, expected: int) -> None:
    assert predicate("<", expected)(actual) is (actual < expected)
    if isinstance(actual, int) and abs(actual) < 10**29 and abs(expected) < 10**29:
        assert predicate("<", str(expected))(str(actual)) is (actual < expected)
        assert predicate("==", str(expected))(actual) is (actual == expected)


@given(ANYTHING, st.lists(SCALARS, max_size=4))
def test_in_is_equal_to_any_of_them(actual: Any, expected: list[Any]) -> None:
    if isinstance(actual, list):
        any_equal = any(predicate("==", e)(a) for e in expected for a in actual)
    else:
        any_equal = any(predicate("==", e)(actual) for e in expected)
    assert predicate("in", expected)(actual) is any_equal


@given(st.dates())
def test_a_day_equals_every_time_in_it(day: date) -> None:
    late = datetime(day.year, day.month, day.day, 23, 59, tzinfo=UTC)
    assert predicate("==", day.isoformat())(late)
