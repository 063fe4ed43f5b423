"""What is logged of the values that a condition compares."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.domain.conditions.compared_values import (
    event_text,
    is_personal,
    reader_of_conditions,
    reader_of_field,
)
from drip_pipeline.domain.conditions.conditions import Condition, ContactAttributes
from drip_pipeline.domain.conditions.occurrences import Occurrence

NOW = datetime(2026, 12, 3, 8, 30, tzinfo=UTC)


def values(
    *conditions: dict[str, Any], tags: frozenset[str] = frozenset(), **fields: Any
) -> dict[str, Any] | None:
    reader = reader_of_conditions([Condition.model_validate(each) for each in conditions])
    if reader is None:
        return None
    contact = ContactAttributes(fields, tags, {}, NOW, "Europe/Berlin")
    result: dict[str, Any] = json.loads(reader(contact))
    return result


def field(name: str, value: Any = 1, operator: str = "==") -> dict[str, Any]:
    return {"type": "field", "field": name, "operator": operator, "value": value}


def test_all_branches_are_read_with_the_names_of_the_campaign_file() -> None:
    assert values(
        {"type": "score", "operator": ">=", "value": 50},
        {
            "type": "composite",
            "logic": "AND",
            "sub_conditions": [field("custom_fields.plan", "pro"), {"type": "tag", "value": "vip"}],
        },
        {"type": "tag", "value": "late"},
        tags=frozenset({"vip", "secret"}),
        ai_score=55,
        plan="pro",
        other="not named",
    ) == {"ai_score": 55, "plan": "pro", "tags": ["vip"]}


@pytest.mark.parametrize("value", [1, True, 1.0, "1"])
def test_values_that_are_equal_in_python_keep_their_type(value: object) -> None:
    reader = reader_of_field("plan")
    assert reader is not None
    for each in (1, True, 1.0, "1", value):
        text = reader(ContactAttributes({"plan": each}, frozenset(), {}, NOW))
        assert text == json.dumps({"plan": each}, separators=(",", ":"))


@pytest.mark.parametrize(
    "name",
    [
        *("email", "phone", "name", "first_name", "last_name", "contact.email"),
        *("custom_fields.email", "entry.email", "billing_email", "Mobile-Phone"),
        "entry.customer.full_name",
    ],
)
def test_names_addresses_and_numbers_are_not_recorded(name: str) -> None:
    assert is_personal(name)
    assert values(field(name, "x")) is None
    assert reader_of_field(name) is None
    assert values(field(name, "x"), field("plan", "pro"), plan="pro") == {"plan": "pro"}


@pytest.mark.parametrize("name", ["plan_name", "product", "company", "emails_opened_count"])
def test_other_fields_are_recorded(name: str) -> None:
    fields: dict[str, Any] = {name: "y"}
    assert values(field(name, "x"), **fields) == fields


def test_addresses_inside_of_other_texts_are_masked_and_long_texts_cut() -> None:
    assert values(field("note", "x"), note="ask ada@example.com, +49 170 1234567") == {
        "note": "ask <address>, <phone>"
    }
    logged = values(field("note", "x"), note="a" * 5_000)
    assert logged is not None
    assert len(logged["note"]) == 201


def test_days_and_times_say_which_day_it_was_for_the_contact() -> None:
    assert values(field("trial_ends", {"days_ahead": 3}), trial_ends="2026-12-06") == {
        "today": "2026-12-03",
        "trial_ends": "2026-12-06",
    }
    assert values({"type": "time", "field": "hour", "operator": "<", "value": 12}) == {
        "local_time": "Thu 2026-12-03 09:30 Europe/Berlin"
    }


def test_events_are_logged_with_number_time_and_the_compared_properties() -> None:
    happened = Condition.model_validate({"type": "event", "event_type": "purchase"})
    matched = Condition.model_validate(
        {
            "type": "event",
            "event_type": "order.paid",
            "where": {
                "type": "composite",
                "sub_conditions": [field("total", 100, ">"), field("email", "x")],
            },
        }
    )
    orders = [
        Occurrence("order.paid", NOW - timedelta(days=n), {"total": 80 + n, "email": "a@b.example"})
        for n in range(3)
    ]
    reader = reader_of_conditions([happened, matched])
    assert reader is not None
    contact = ContactAttributes(
        {}, frozenset(), {"purchase": NOW}, NOW, occurrences={"order.paid": orders}
    )
    assert json.loads(reader(contact)) == {
        "purchase": NOW.isoformat(),
        "order.paid": {"events": 3, "latest": NOW.isoformat(), "total": 80},
    }
    nothing = ContactAttributes({}, frozenset(), {}, NOW)
    assert json.loads(reader(nothing)) == {"purchase": None, "order.paid": {"events": 0}}
    assert json.loads(event_text(orders[1], ["total", "email"])) == {
        "occurred_at": (NOW - timedelta(days=1)).isoformat(),
        "total": 81,
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON | st.decimals() | st.frozensets(st.text()) | st.datetimes() | st.dates())
def test_every_value_of_a_field_can_be_logged(value: object) -> None:
    reader = reader_of_field("plan")
    assert reader is not None
    text = reader(ContactAttributes({"plan": value}, frozenset(), {}, NOW))
    assert set(json.loads(text)) == {"plan"}
    assert "\0" not in text


def test_numbers_of_the_database_are_logged_as_they_are_written() -> None:
    assert values(field("total", 1), total=Decimal("12.50")) == {"total": "12.50"}
    assert values(field("total", 1), total=2**70) == {"total": str(2**70)}
