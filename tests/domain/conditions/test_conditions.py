"""Conditions: which are valid in a campaign file, and the results of compiled conditions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from drip_pipeline.domain.conditions.conditions import (
    MAX_CONDITIONS,
    MAX_DEPTH,
    Condition,
    ContactAttributes,
    Needs,
    compile_condition,
    needs_of,
)
from drip_pipeline.domain.conditions.never_matching import never_matching

NOW = datetime(2026, 1, 28, 15, 30, tzinfo=UTC)  # a Wednesday


def ask(
    condition: Mapping[str, Any],
    fields: Mapping[str, Any] | None = None,
    *,
    tags: frozenset[str] = frozenset(),
    events: Mapping[str, datetime] | None = None,
    timezone: str | None = None,
) -> bool:
    facts = ContactAttributes(fields or {}, tags, events or {}, NOW, timezone)
    return compile_condition(Condition.model_validate(condition))(facts)


def field(operator: str, value: Any, name: str = "x") -> dict[str, Any]:
    return {"type": "field", "operator": operator, "field": name, "value": value}


def rejection(condition: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        Condition.model_validate(condition)
    return str(caught.value)


@pytest.mark.parametrize("operator", ["==", "!=", ">", "<", ">=", "<=", "contains"])
@pytest.mark.parametrize("fields", [{}, {"x": None}])
def test_a_comparison_with_a_missing_value_is_false(operator: str, fields: dict[str, Any]) -> None:
    assert ask(field(operator, 5), fields) is False
    assert ask(field(operator, "a"), fields) is False
    assert ask(field("in", [5, "a"]), fields) is False


@pytest.mark.parametrize(
    ("actual", "operator", "expected", "answer"),
    [
        ("lead", "==", "lead", True),
        ("lead", "==", "Lead", False),
        ("lead", "!=", "customer", True),
        (42, "==", 42, True),
        ("42", "==", 42, True),
        (42, "==", "42", True),
        ("9", "<", "10", True),  # as numbers; as text it would be greater
        ("42.0", "==", 42, True),
        ("1.10", "==", "1.1", False),  # two texts
        (1.1, "==", "1.10", True),
        ("n/a", ">", "5", False),
        ("n/a", "<", "5", False),
        (Decimal("0.10"), "==", 0.1, True),
        ("01234", "==", "1234", False),  # a postal code is not a number
        ("1e5", "==", 100000, False),
        ("12345678901234567891", "==", "12345678901234567890", False),
        ("b", ">", "a", True),
        ("abc", ">", 5, False),
        ("abc", "<", 5, False),
        ("abc", "!=", 5, True),
        (10, ">", 9.5, True),
        (10, "<=", 10, True),
        (True, "==", True, True),
        ("True", "==", True, True),
        (False, "==", "false", True),
        (True, "==", 1, True),
        ("yes", "==", True, True),
        (1, "==", True, True),
        ("no", "==", True, False),
        ("no", "==", False, True),
        ("maybe", "==", False, False),
        ("maybe", "!=", True, True),
        ("yes", "!=", True, False),
        (True, ">", 0, False),
        (float("nan"), "==", 1, False),
        (float("nan"), ">", 1, False),
        ("ada@example.com", "contains", "@example.", True),
        (["a", "b"], "contains", "b", True),
        (["a", "b"], "contains", "c", False),
        (["a", "b"], "==", "a", True),
        (["a", "b"], "!=", "a", False),
        (["a", "b"], "!=", "c", True),
        ([], "!=", "c", True),
        ([], "==", "c", False),
        ({"a": 1}, "!=", "a", False),
        ("", "!=", "a", False),
        (" ", "<", "a", False),
        ([1, 2], "contains", "2", True),
        (5, "contains", 5, False),
        ("b", "in", ["a", "b"], True),
        (2, "in", ["1", "2"], True),
        ("2.0", "in", [1, 2], True),
        (["x", "b"], "in", ["a", "b"], True),
        ("c", "in", ["a", "b"], False),
        ({"a": 1}, "==", "a", False),
        ({"a": 1}, "contains", "a", False),
        (datetime(2026, 1, 2, 23, tzinfo=UTC), "==", "2026-01-02", True),
        (datetime(2026, 1, 2, 23, tzinfo=UTC), "<=", "2026-01-02", True),
        (datetime(2026, 1, 2, 23, tzinfo=UTC), ">", "2026-01-02", False),
        (datetime(2026, 1, 2, 23, tzinfo=UTC), ">", "2026-01-02T22:00:00Z", True),
        (date(2026, 1, 2), "<", "2026-01-03", True),
        (datetime(2026, 1, 2, 23, tzinfo=UTC), ">", "yesterday", False),
        (datetime(2026, 1, 2, 23, tzinfo=UTC), "!=", "yesterday", False),
        (datetime(2026, 1, 2, 23, tzinfo=UTC), "==", 5, False),
        ("2026-03-10T09:00:00+00:00", "==", "2026-03-10", True),
        ("2026-03-10 15:00:00", "==", "2026-03-10", True),
        ("2026-03-10T23:30:00-05:00", ">", "2026-03-10", True),
        ("2026-03-10T23:30:00-05:00", "==", "2026-03-11T04:30:00Z", True),
        ("2026-03-09T23:59:00+00:00", "<", "2026-03-10T12:00:00Z", True),
        ("2026-03-10", "<=", "2026-03-10T12:00:00Z", True),
        ("10.03.2026", "<", "2026-03-10", False),
        ("10.03.2026", ">", "2026-03-10", False),
        ("soon", "!=", "2026-03-10", True),
        ("0001-01-01T00:00:00+14:00", "<", "2026-03-10", True),
        ("9999-12-31T23:59:59-14:00", ">", "2026-03-10", True),
    ],
)
def test_comparisons(actual: Any, operator: str, expected: Any, answer: bool) -> None:
    assert ask(field(operator, expected), {"x": actual}) is answer


@pytest.mark.parametrize("actual", [None, "", "  ", [], {}])
def test_emptiness_is_asked_for_with_operators_of_its_own(actual: Any) -> None:
    empty = {"type": "field", "field": "x", "operator": "is empty"}
    filled = empty | {"operator": "is not empty"}
    assert ask(empty, {"x": actual})
    assert ask(empty)
    assert not ask(filled, {"x": actual})
    for value in ("a", 0, False, ["a"], {"a": 1}, NOW):
        assert ask(filled, {"x": value})
        assert not ask(empty, {"x": value})
    assert ask(empty | {"field": "tags"})
    assert ask(filled | {"field": "tags"}, tags=frozenset({"vip"}))
    assert "has no value" in rejection(empty | {"value": ""})


def test_tags_compare_like_lists() -> None:
    tags = frozenset({"vip"})
    assert ask(field("==", "vip", "tags"), tags=tags)
    assert not ask(field("!=", "vip", "tags"), tags=tags)
    assert ask(field("!=", "vip", "tags"))


@pytest.mark.parametrize(
    ("name", "operator", "value", "hint"),
    [
        ("created_at", ">", "yesterday", "ISO date"),
        ("created_at", ">", "01/03/2026", "ISO date"),
        ("created_at", ">", "20260309", "ISO date"),
        ("created_at", ">=", 1772000000, "ISO date"),
        ("created_at", "in", ["soon", "later"], "ISO date"),
        ("last_interaction", "contains", "2026", "compare it"),
        ("renewal", ">", "{{ now }}", "no templates"),
        ("renewal", ">=", "-1 day", "ISO date"),
        ("renewal", "<", "10.03.2026", "ISO date"),
        ("renewal", "<", "2026-02-30", "ISO date"),
        ("plan", "==", "", "is empty"),
        ("plan", "!=", " ", "is not empty"),
        ("plan", ">", True, "no order"),
        ("lead_score", ">", "high", "number"),
        ("ai_score", ">", 100, "0 to 100"),
    ],
)
def test_what_can_never_match_is_named_with_what_to_write(
    name: str, operator: str, value: Any, hint: str
) -> None:
    condition = Condition.model_validate(field(operator, value, name))
    (reason,) = never_matching(condition)
    assert "can never match" in reason
    assert hint in reason
    both = {"type": "composite", "sub_conditions": [field("==", "a"), field(operator, value, name)]}
    assert list(never_matching(Condition.model_validate(both))) == [reason]


@pytest.mark.parametrize(
    ("name", "operator", "value"),
    [
        ("created_at", ">", "2026-03-10"),
        ("created_at", "in", ["soon", "2026-03-10"]),
        ("renewal", "<", "2026-03-10 09:00"),
        ("version", ">", "1.10.2"),
        ("plan", "==", "yesterday"),
        ("name", "<", "M"),
        ("ai_score", "!=", 200),
        ("tags", "!=", "vip"),
    ],
)
def test_what_can_match_is_not_warned_of(name: str, operator: str, value: Any) -> None:
    assert not list(never_matching(Condition.model_validate(field(operator, value, name))))


def test_a_tag_condition_tests_whether_the_contact_has_the_tag() -> None:
    tags = frozenset({"vip", "beta"})
    assert ask({"type": "tag", "operator": "contains", "value": "vip"}, tags=tags)
    assert ask({"type": "tag", "operator": "==", "value": "vip"}, tags=tags)
    assert ask({"type": "tag", "value": "vip"}, tags=tags)
    assert not ask({"type": "tag", "operator": "!=", "value": "vip"}, tags=tags)
    assert ask({"type": "tag", "operator": "!=", "value": "vip"})
    assert ask({"type": "tag", "operator": "in", "value": ["x", "beta"]}, tags=tags)
    assert ask(field("contains", "vip", "tags"), tags=tags)
    assert not ask(field("contains", "vi", "tags"), tags=tags)


def test_a_score_is_the_contacts_ai_score() -> None:
    assert ask({"type": "score", "operator": ">=", "value": "50"}, {"ai_score": 50})
    assert not ask({"type": "score", "operator": "<", "value": 50}, {"ai_score": None})


def test_an_event_condition_tests_whether_the_event_happened() -> None:
    opened = {"email_opened": NOW - timedelta(hours=3)}
    condition = {"type": "event", "operator": "==", "event_type": "email_open"}
    assert ask(condition, events=opened)
    assert not ask(condition)
    assert ask({"type": "event", "event_type": "email_opened"}, events=opened)
    assert ask(condition | {"time_window": 3}, events=opened)
    assert not ask(condition | {"time_window": 2.9}, events=opened)
    assert not ask(condition | {"operator": "!="}, events=opened)
    assert ask(condition | {"operator": "!=", "time_window": 2}, events=opened)
    assert ask(condition | {"operator": "!="})
    assert ask(condition | {"value": False})
    assert not ask(condition | {"value": True})


@pytest.mark.parametrize(
    ("name", "operator", "value", "timezone", "answer"),
    [
        ("hour", ">=", 15, None, True),
        ("hour", "==", "15", "Nowhere/City", True),
        ("hour", "==", 0, "Asia/Tokyo", True),
        ("hour", "in", [7, 8], "America/Los_Angeles", True),
        ("weekday", "==", "Wednesday", None, True),
        ("weekday", "==", "thu", "Asia/Tokyo", True),
        ("weekday", "<", 5, None, True),
        ("weekday", "in", ["sat", 6], None, False),
        ("date", "==", "2026-01-29", "Asia/Tokyo", True),
        ("date", "<", "2026-01-28", None, False),
        ("datetime", ">", "2026-01-28T15:00:00Z", "Asia/Tokyo", True),
        ("datetime", ">", "2026-01-28T23:00:00", "Asia/Tokyo", True),
        ("datetime", ">", "2026-01-28T23:00:00", None, False),
    ],
)
def test_time_conditions_use_the_contacts_local_time(
    name: str, operator: str, value: Any, timezone: str | None, answer: bool
) -> None:
    condition = {"type": "time", "field": name, "operator": operator, "value": value}
    assert ask(condition, timezone=timezone) is answer


@pytest.mark.parametrize("zone", ["../etc/passwd", "", "Europe", 5, ["x"], "a\0b"])
def test_an_invalid_time_zone_counts_as_utc(zone: Any) -> None:
    condition = {"type": "time", "field": "hour", "operator": "==", "value": 15}
    assert ask(condition, timezone=zone)


def test_composites_can_be_nested() -> None:
    hot = {"type": "score", "operator": ">", "value": 80}
    vip = {"type": "tag", "value": "vip"}
    lead = field("==", "lead", "status")
    either = {"type": "composite", "operator": "==", "logic": "or", "sub_conditions": [hot, vip]}
    both = {"type": "composite", "logic": "AND", "sub_conditions": [lead, either]}
    unsaid = {"type": "composite", "sub_conditions": [lead, vip]}
    person = {"status": "lead", "ai_score": 90}
    assert ask(both, person)
    assert not ask(unsaid, person)
    assert ask(unsaid, person, tags=frozenset({"vip"}))
    assert not ask(both, {"status": "lead", "ai_score": 10})


def test_dotted_names_read_custom_fields() -> None:
    fields = {"plan": "gold", "address": {"city": "Bern"}, "utm.source": "ad", "company": "Acme"}
    fields["custom_fields"] = {"plan": "gold", "email": "hidden"}
    assert ask(field("==", "gold", "custom_fields.plan"), fields)
    assert ask(field("==", "Bern", "address.city"), fields)
    assert ask(field("==", "Bern", "custom_fields.address.city"), fields)
    assert ask(field("==", "ad", "utm.source"), fields)
    assert ask(field("==", "Acme", "contact.company"), fields)
    assert ask(field("==", "hidden", "custom_fields.email"), fields)
    assert not ask(field("==", "x", "plan.deeper.still"), fields)


def test_needs_list_the_data_to_load() -> None:
    condition = Condition.model_validate(
        {
            "type": "composite",
            "sub_conditions": [
                field("==", "a", "custom_fields.plan"),
                {"type": "score", "operator": ">", "value": 1},
                {"type": "event", "event_type": "reply"},
                {"type": "time", "field": "hour", "operator": ">", "value": 8},
                field("contains", "vip", "tags"),
            ],
        }
    )
    assert needs_of(condition) == Needs(
        fields=frozenset({"plan", "ai_score", "timezone"}),
        tags=True,
        event_types=frozenset({"email_replied"}),
    )


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"type": "field", "operator": "==", "field": "x"}, "needs a value"),
        ({"type": "field", "operator": "==", "value": 1}, "needs field"),
        ({"type": "field", "field": "x", "value": 1}, "no operator"),
        (field("=~", "a"), "operator"),
        (field(">", ["a"]), "one value"),
        (field("==", {"days": 1}), "days_ago"),
        (field("==", {"days_ago": -1}), "greater than or equal to 0"),
        (field("==", {"days_ago": 1, "days_ahead": 1}), "days_ago"),
        (field("contains", {"days_ago": 1}), "contains"),
        ({"type": "score", "operator": ">", "value": {"days_ago": 1}}, "conditions on fields"),
        (field("in", "a"), "list"),
        (field("==", float("inf")), "finite"),
        (field("==", "x" * 1001), "1000 characters"),
        (field("in", ["x"] * 1001), "1000 entries"),
        ({"type": "score", "operator": ">", "value": "high"}, "numbers"),
        ({"type": "tag", "operator": ">", "value": "a"}, "operator"),
        ({"type": "tag", "operator": "==", "value": ["a"]}, "one tag"),
        ({"type": "event", "operator": "=="}, "event_type"),
        ({"type": "event", "event_type": "open", "value": 3}, "no value"),
        ({"type": "event", "event_type": "open", "time_window": 0}, "greater than 0"),
        ({"type": "time", "operator": "==", "field": "minute", "value": 3}, "hour"),
        ({"type": "time", "operator": "==", "field": "hour", "value": 24}, "0 to 23"),
        ({"type": "time", "operator": "==", "field": "weekday", "value": "someday"}, "Monday"),
        ({"type": "time", "operator": "==", "field": "date", "value": "soon"}, "ISO date"),
        ({"type": "time", "operator": "<", "field": "datetime", "value": "soon"}, "ISO date"),
        ({"type": "composite", "logic": "AND"}, "sub_conditions"),
        ({"type": "composite", "logic": "XOR", "sub_conditions": [field("==", 1)]}, "AND"),
        (field("==", 1) | {"sub_conditions": [field("==", 1)]}, "composite"),
        (field("==", 1) | {"vlaue": 2}, "vlaue"),
    ],
)
def test_an_invalid_condition_is_rejected_with_its_reason(
    condition: dict[str, Any], message: str
) -> None:
    assert message in rejection(condition)


def nested(depth: int) -> dict[str, Any]:
    condition = field("==", 1)
    for _ in range(depth - 1):
        condition = {"type": "composite", "sub_conditions": [condition]}
    return condition


def test_depth_and_size_are_limited() -> None:
    Condition.model_validate(nested(MAX_DEPTH))
    assert "deep" in rejection(nested(MAX_DEPTH + 1))
    assert "deep" in rejection(nested(100_000))
    wide = {"type": "composite", "sub_conditions": [field("==", 1)] * MAX_CONDITIONS}
    assert "parts" in rejection(wide)
    endless: dict[str, Any] = {"type": "composite"}
    endless["sub_conditions"] = [endless]
    assert "deep" in rejection(endless)


def test_dates_from_yaml_become_iso_text() -> None:
    condition = Condition.model_validate(field("in", [date(2026, 1, 28)]))
    assert condition.value == ("2026-01-28",)


def test_a_condition_can_be_stored_as_json() -> None:
    source = {
        "type": "composite",
        "logic": "OR",
        "sub_conditions": [
            field("in", ["a", 1, True, 1.5]),
            {"type": "event", "operator": "!=", "event_type": "email_opened", "time_window": 24.0},
        ],
    }
    condition = Condition.model_validate(source)
    assert condition.model_dump(mode="json", exclude_none=True) == source
    assert Condition.model_validate(source) == condition
