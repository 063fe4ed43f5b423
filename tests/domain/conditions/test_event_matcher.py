"""One matcher: which events it accepts, whatever asks."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError

from drip_pipeline.domain.conditions.conditions import (
    Condition,
    ContactAttributes,
    compile_condition,
    needs_of,
)
from drip_pipeline.domain.conditions.event_matcher import EventMatcher, GoalEvent
from drip_pipeline.domain.conditions.occurrences import LatestMessage, Occurrence, RunPosition

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIRST, SECOND = UUID(int=1), UUID(int=2)
RUN = RunPosition(
    started_at=NOW - 10 * HOUR,
    since=NOW - 2 * HOUR,
    latest_messages={"email": LatestMessage(SECOND, NOW - 2 * HOUR)},
    entry={"order_id": 17, "shop": {"name": "North"}},
)


def matcher(event_type: str = "purchase", **keys: Any) -> EventMatcher:
    return EventMatcher.model_validate({"event_type": event_type, **keys})


def an_occurrence(event_type: str = "purchase", hours: float = -1, **fields: Any) -> Occurrence:
    properties = fields.pop("properties", {})
    return Occurrence(event_type, NOW + hours * HOUR, properties, **fields)


def field(path: str, operator: str, value: Any) -> dict[str, Any]:
    return {"type": "field", "field": path, "operator": operator, "value": value}


@pytest.mark.parametrize(
    ("where", "properties", "expected"),
    [
        (field("amount", ">", 100), {"amount": 101}, True),
        (field("amount", ">", 100), {"amount": "101"}, True),
        (field("amount", ">", 100), {"amount": 100}, False),
        (field("amount", ">", 100), {"amount": "n/a"}, False),
        (field("amount", ">", 100), {}, False),
        (field("order.lines.0.sku", "==", "A1"), {"order": {"lines": [{"sku": "A1"}]}}, True),
        (field("order.total", "==", 3), {"order": [1]}, False),
        (field("contact.name", "==", "Ada"), {"contact": {"name": "Ada"}}, True),
        (field("tags", "contains", "x"), {"tags": ["x", "y"]}, True),
        (
            {
                "type": "composite",
                "logic": "OR",
                "sub_conditions": [field("plan", "==", "pro"), field("seats", ">=", 5)],
            },
            {"seats": 5},
            True,
        ),
    ],
)
def test_where_compares_the_properties_of_the_event(
    where: Any, properties: Any, expected: bool
) -> None:
    event = an_occurrence(properties=properties)
    assert matcher(where=where).accepts(event, RUN, NOW) is expected
    condition = Condition.model_validate(
        {"type": "event", "event_type": "purchase", "where": where}
    )
    contact = ContactAttributes({}, frozenset(), {}, NOW, None, {"purchase": [event]}, RUN)
    assert compile_condition(condition)(contact) is expected
    assert needs_of(condition).occurrences == {"purchase"}
    assert not needs_of(condition).event_types


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"order_id": 17}, True),
        ({"order_id": "17"}, True),
        ({"order_id": 18}, False),
        ({}, False),
        ({"order_id": [17, 18]}, True),  # a list has the member, as in every comparison
    ],
)
def test_match_ties_a_property_to_the_entry_data(properties: Any, expected: bool) -> None:
    tied = matcher(match={"order_id": "entry.order_id"})
    assert tied.accepts(an_occurrence(properties=properties), RUN, NOW) is expected
    assert not tied.accepts(an_occurrence(properties=properties), RUN._replace(entry={}), NOW)
    assert not tied.accepts(an_occurrence(properties=properties), None, NOW)
    assert tied.needs().variables == {"entry"}


def test_match_reads_nested_entry_data() -> None:
    tied = matcher(match={"from.shop": "entry.shop.name"})
    assert tied.accepts(an_occurrence(properties={"from": {"shop": "North"}}), RUN, NOW)


@pytest.mark.parametrize("machines", [False, True])
def test_events_of_machines_count_only_where_they_are_asked_for(machines: bool) -> None:
    opened = an_occurrence("email_opened", message_id=SECOND, is_of_run=True, is_machine=True)
    assert matcher("email_opened", machines=machines).accepts(opened, RUN, NOW) is machines


@pytest.mark.parametrize(
    ("of", "first", "second", "of_another_run"),
    [
        (None, False, True, False),
        ("last_message", False, True, False),
        ({"node": "m1"}, True, False, False),
        ("run", True, True, False),
        ("any", True, True, True),
    ],
)
def test_the_message_is_decided_by_its_id(
    of: Any, first: bool, second: bool, of_another_run: bool
) -> None:
    asks = matcher("email_opened", **({"of": of} if of else {}))
    for hours in (-50, -2 - 40 / 3600, -1):  # the clock of the provider does not matter
        events = [
            an_occurrence("email_opened", hours, message_id=FIRST, node_id="m1", is_of_run=True),
            an_occurrence("email_opened", hours, message_id=SECOND, node_id="m2", is_of_run=True),
            an_occurrence("email_opened", hours, message_id=uuid4(), node_id="m1"),
        ]
        accepted = [asks.accepts(event, RUN, NOW) for event in events]
        assert accepted == [first, second, of_another_run]


def test_an_open_that_names_no_message_counts_since_the_message_was_sent() -> None:
    asks = matcher("email_opened")
    assert not asks.accepts(an_occurrence("email_opened", -2 - 40 / 3600), RUN, NOW)
    assert asks.accepts(an_occurrence("email_opened", -2), RUN, NOW)


def test_events_of_the_contact_count_since_the_run_began_or_at_any_time() -> None:
    before, inside = an_occurrence(hours=-11), an_occurrence(hours=-9)
    assert [matcher().accepts(e, RUN, NOW) for e in (before, inside)] == [False, True]
    assert [matcher(of="any").accepts(e, RUN, NOW) for e in (before, inside)] == [True, True]
    # Where contacts are selected, no run asks.
    assert matcher().accepts(before, None, NOW)


def test_within_is_counted_back_from_now() -> None:
    recent = matcher(within={"value": 3, "unit": "hours"})
    assert recent.accepts(an_occurrence(hours=-3), RUN, NOW)
    assert not recent.accepts(an_occurrence(hours=-3.1), RUN, NOW)


@pytest.mark.parametrize(
    ("clicked", "expected"),
    [
        ("https://example.com/pricing", True),
        ("https://example.com/pricing?utm_source=x#top", True),
        ("https://example.com/pricing/", True),
        ("https://example.com/pricing/teams", False),
        (None, False),
    ],
)
def test_url_narrows_a_click_to_one_link(clicked: Any, expected: bool) -> None:
    asks = matcher("email_clicked", url="https://example.com/pricing")
    click = an_occurrence(
        "email_clicked", message_id=SECOND, is_of_run=True, properties={"url": clicked}
    )
    assert asks.accepts(click, RUN, NOW) is expected


def test_a_count_is_reached_by_the_same_event_in_every_order() -> None:
    events = [an_occurrence(hours=-h / 10, event_id=UUID(int=h)) for h in (4, 3, 2, 1)]
    twice = matcher(count={"value": 2}).test()
    for order in itertools.permutations(events):
        assert twice.first_to_satisfy(order, RUN, NOW) is events[1]
        assert twice.holds(order, RUN, NOW)
    assert twice.first_to_satisfy(events[:1], RUN, NOW) is None
    assert not twice.holds(events[:1], RUN, NOW)
    never = matcher(count={"operator": "==", "value": 0}).test()
    assert never.holds([], RUN, NOW)
    assert not never.holds(events, RUN, NOW)


def test_a_wait_counts_events_of_the_contact_since_its_own_time() -> None:
    early, late = an_occurrence(hours=-3), an_occurrence(hours=-1)
    assert matcher().test().first_to_satisfy([early, late], RUN, NOW) is late


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"where": {"type": "tag", "value": "x"}}, "`where` compares properties of the event"),
        ({"where": {"type": "event", "event_type": "purchase"}}, "have type field, not event"),
        ({"of": "last_message"}, "purchase belongs to no message"),
        ({"of": {"node": "m1"}}, "purchase belongs to no message"),
        ({"url": "https://example.com"}, "url belongs to email_clicked"),
        ({"match": {"order_id": "order_id"}}, "must equal a value of the entry data"),
        ({"match": {}}, "at least 1"),
        ({"count": {"value": -1}}, "greater than or equal to 0"),
        ({"count": {"operator": "contains", "value": 1}}, "Input should be"),
        ({"of": "latest"}, "Input should be"),
        ({"wher": {}}, "Extra inputs"),
    ],
)
def test_keys_without_a_meaning_are_refused(fields: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        matcher(**fields)
    if "wher" not in fields:
        with pytest.raises(ValidationError, match=message):
            Condition.model_validate({"type": "event", "event_type": "purchase", **fields})


def test_the_keys_of_a_matcher_belong_to_event_conditions() -> None:
    with pytest.raises(ValidationError, match="machines, within belong to event conditions"):
        Condition.model_validate(
            {"type": "tag", "value": "x", "within": {"value": 1}, "machines": True}
        )
    with pytest.raises(ValidationError, match="say the same"):
        Condition.model_validate(
            {"type": "event", "event_type": "purchase", "within": {"value": 1}, "time_window": 1}
        )


def test_keys_that_are_not_set_are_not_stored() -> None:
    plain = {"type": "event", "event_type": "purchase"}
    assert set(Condition.model_validate(plain).model_dump()) == {
        "type", "operator", "field", "value", "event_type", "time_window", "sub_conditions", "logic"
    }  # fmt: skip
    goal = GoalEvent.model_validate({"event_type": "purchase"})
    assert set(goal.model_dump(mode="json")) == {"event_type", "within"}
    keys: dict[str, Any] = {
        "where": field("amount", ">", 1),
        "count": {"operator": ">=", "value": 2},
        "match": {"a.b": "entry.c"},
        "of": "any",
    }
    stored = matcher(**keys).model_dump(mode="json", exclude_none=True)
    assert stored == {"event_type": "purchase", **keys}
    assert EventMatcher.model_validate(stored) == matcher(**keys)
    assert hash(matcher(**keys)) == hash(EventMatcher.model_validate(stored))
