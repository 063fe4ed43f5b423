"""Conditions on dates and lists as exports write them: who matches each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from drip_pipeline.domain.conditions.conditions import (
    Condition,
    ContactAttributes,
    compile_condition,
)
from drip_pipeline.domain.contact_fields import contact_context

NOW = datetime(2026, 3, 20, 9, tzinfo=UTC)
CREATED = datetime(2026, 3, 10, 8, tzinfo=UTC)
DATES: dict[str, dict[str, Any]] = {
    "day": {"renewal": "2026-03-10", "signup_at": "2026-03-10T09:00:00+00:00"},
    "before": {"renewal": "2026-03-09", "signup_at": "2026-03-09T23:59:00+00:00"},
    "after": {"renewal": "2026-03-11", "signup_at": "2026-03-11T00:00:00+00:00"},
    "offset": {"renewal": "2026-03-10", "signup_at": "2026-03-10T23:30:00-05:00"},
    "space": {"renewal": "2026-3-9", "signup_at": "2026-03-10 15:00:00"},
    "german": {"renewal": "09.03.2026", "signup_at": "10.03.2026 15:00"},
    "us": {"renewal": "9/3/2026"},
    "none": {},
}
EVERYBODY = " ".join(DATES)
LISTS: dict[str, dict[str, Any]] = {
    "a": {
        "interests": ["golf", "tennis"],
        "seats": 12,
        "ok": True,
        "addr": {"city": "Bonn"},
        "ver": "1.10",
        "n": "5",
    },
    "b": {
        "interests": ["tennis"],
        "seats": "12",
        "ok": "yes",
        "addr": {"city": "Köln"},
        "ver": "1.9",
        "n": 5.0,
    },
    "c": {"interests": [], "seats": None, "ok": 1, "addr": None, "ver": 1.1, "n": True},
    "d": {},
}


def matching(people: dict[str, dict[str, Any]], field: str, operator: str, value: Any) -> str:
    condition = {"type": "field", "field": field, "operator": operator, "value": value}
    holds = compile_condition(Condition.model_validate(condition))
    return " ".join(
        name
        for name, custom in people.items()
        if holds(
            ContactAttributes(
                contact_context({"custom_fields": custom, "created_at": CREATED}),
                frozenset(),
                {},
                NOW,
            )
        )
    )


@pytest.mark.parametrize(
    ("field", "operator", "value", "people"),
    [
        ("signup_at", "==", "2026-03-10", "day space"),
        ("signup_at", ">", "2026-03-10", "after offset"),
        ("signup_at", "<=", "2026-03-10", "day before space"),
        ("signup_at", ">=", "2026-03-11T00:00:00Z", "after offset"),
        ("signup_at", "<", "2026-03-10T12:00:00Z", "day before"),
        ("renewal", "<", "2026-03-10", "before"),
        ("renewal", ">", "2026-03-10", "after"),
        ("created_at", "==", "2026-03-10", EVERYBODY),
        ("created_at", ">", "2026-03-10", ""),
        ("created_at", ">", "yesterday", ""),
        ("created_at", ">", "01/03/2026", ""),
        ("created_at", ">=", 1772000000, ""),
    ],
)
def test_dates_are_compared_as_instants(field: str, operator: str, value: Any, people: str) -> None:
    assert matching(DATES, field, operator, value) == people


@pytest.mark.parametrize(
    ("field", "operator", "value", "people"),
    [
        ("interests", "==", "golf", "a"),
        ("interests", "!=", "golf", "b c"),
        ("interests", "contains", "golf", "a"),
        ("addr", "!=", "x", ""),
        ("addr.city", "==", "Bonn", "a"),
        ("custom_fields.addr.city", "==", "Bonn", "a"),
        ("seats", "==", 12, "a b"),
        ("seats", ">=", "12", "a b"),
        ("ok", "==", True, "a b c"),
        ("ok", "!=", True, ""),
        ("ver", "==", "1.1", "c"),
        ("ver", "==", "1.10", "a c"),
        ("n", "in", [5], "a b"),
    ],
)
def test_lists_numbers_and_booleans_compare_by_one_rule(
    field: str, operator: str, value: Any, people: str
) -> None:
    assert matching(LISTS, field, operator, value) == people
