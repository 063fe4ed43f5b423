"""When waits that follow a contact end, which ports they have, and which are refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.domain.compiler.api import complete, load_definition, validate
from drip_pipeline.domain.compiler.compile import compile_graph
from drip_pipeline.domain.conditions.time_zones import zone_of
from drip_pipeline.domain.diff.describe import wait as described
from drip_pipeline.domain.graph.contact_waits import DateWait, followed_names
from drip_pipeline.domain.graph.nodes import ConditionWait

BERLIN = "Europe/Berlin"
DATE: dict[str, Any] = {"type": "until_date", "field": "trial_ends_at"}
TAGGED: dict[str, Any] = {"type": "tag", "value": "vip"}
UNTIL_VIP: dict[str, Any] = {"type": "until_condition", "condition": TAGGED}


def offset(value: float, unit: str = "days") -> dict[str, Any]:
    return {"offset": {"value": value, "unit": unit}}


@pytest.mark.parametrize(
    ("keys", "value", "zone", "expected"),
    [
        # A date begins at midnight of the contact; a time is as it is, without a zone in UTC.
        ({}, "2026-05-04", BERLIN, "2026-05-03T22:00"),
        ({}, "2026-05-04T10:30:00+02:00", BERLIN, "2026-05-04T08:30"),
        ({}, "2026-05-04T10:30:00", BERLIN, "2026-05-04T10:30"),
        ({}, datetime(2026, 5, 4, 7, tzinfo=UTC), BERLIN, "2026-05-04T07:00"),
        ({}, date(2026, 5, 4), "Asia/Kathmandu", "2026-05-03T18:15"),
        ({"time": "09:00"}, "2026-05-04", BERLIN, "2026-05-04T07:00"),
        ({"time": "09:00"}, "2026-05-04T22:30:00Z", BERLIN, "2026-05-05T07:00"),
        # Days of the calendar: the local time stays, whatever the clock does between.
        ({**offset(-3), "time": "09:00"}, "2026-03-30", BERLIN, "2026-03-27T08:00"),
        (offset(-3), "2026-03-31T09:00:00+02:00", BERLIN, "2026-03-28T08:00"),
        (offset(-72, "hours"), "2026-03-31T09:00:00+02:00", BERLIN, "2026-03-28T07:00"),
        (offset(1, "week"), "2026-03-25", BERLIN, "2026-03-31T22:00"),
        ({**offset(-36, "hours"), "time": "08:00"}, "2026-05-04", BERLIN, "2026-05-02T06:00"),
        # Months from 31 January, and back to it.
        (offset(1, "months"), "2026-01-31", "UTC", "2026-02-28T00:00"),
        (offset(1, "months"), "2028-01-31", "UTC", "2028-02-29T00:00"),
        (offset(3, "months"), "2026-01-31", "UTC", "2026-04-30T00:00"),
        (offset(-1, "months"), "2026-03-31", "UTC", "2026-02-28T00:00"),
        (offset(13, "month"), "2026-01-31T20:00:00Z", BERLIN, "2027-02-28T20:00"),
        (offset(1, "months"), "2026-01-31T23:30:00Z", BERLIN, "2026-02-28T23:30"),
        # The clock skips 02:30, and shows it twice: the first instant.
        ({"time": "02:30"}, "2026-03-29", BERLIN, "2026-03-29T01:00"),
        ({"time": "02:30"}, "2026-10-25", BERLIN, "2026-10-25T00:30"),
        ({**offset(1, "months"), "time": "02:30"}, "2026-02-28", BERLIN, "2026-03-28T01:30"),
        # Outside of the years that a time can have.
        (offset(10), "9999-12-30", "UTC", "9999-01-01T00:00"),
        (offset(-1, "months"), "0001-01-01", "UTC", "0001-01-02T00:00"),
        ({}, "9999-12-31T23:00:00-08:00", "UTC", "9999-01-01T00:00"),
    ],
)  # fmt: skip
def test_a_date_wait_ends_by_the_calendar_of_the_contact(
    keys: dict[str, Any], value: object, zone: str, expected: str
) -> None:
    until = DateWait.model_validate({**DATE, **keys}).until(value, zone_of(zone))
    assert until is not None
    assert f"{until.astimezone(UTC):%Y-%m-%dT%H:%M}".zfill(16) == expected


@pytest.mark.parametrize("value", [None, "", "soon", "2026-02-30", 20260504, True, [], {}, "May 4"])
def test_a_value_that_is_no_date_is_missing(value: object) -> None:
    assert DateWait.model_validate(DATE).until(value, UTC) is None


@given(
    st.dates(date(1990, 1, 1), date(2090, 1, 1)),
    st.integers(-400, 400),
    st.sampled_from([BERLIN, "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"]),
    st.times(),
)
def test_a_moved_date_is_that_many_days_away_at_the_same_local_time(
    day: date, days: int, zone_name: str, at: Any
) -> None:
    """The local reading of the end is the wished one, or the first one after a gap."""
    zone = zone_of(zone_name)
    wait = DateWait.model_validate({**DATE, **offset(days), "time": f"{at:%H:%M}"})
    until = wait.until(day.isoformat(), zone)
    assert until is not None
    local = until.astimezone(zone).replace(tzinfo=None)
    wished = datetime.combine(day + timedelta(days=days), at.replace(second=0, microsecond=0))
    assert local >= wished
    assert (until - timedelta(seconds=1)).astimezone(zone).replace(tzinfo=None) < max(wished, local)
    if local != wished:
        back = wished.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
        assert back.replace(tzinfo=None) != wished, "the wished time exists"


def a_file(wait: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "Trial",
        "steps": [
            {"node_id": "w", "node_type": "wait", "step_name": "Wait", "wait_config": wait},
            {"node_id": "end", "node_type": "exit", "step_name": "End"},
        ],
    }


def problems_of(file: dict[str, Any]) -> list[tuple[str, str]]:
    found = validate(
        load_definition(file),
        known_custom_fields=frozenset({"trial_ends_at"}),
        available_channels=frozenset(),
    )
    return [(each.severity, each.code) for each in found]


def event(**keys: Any) -> dict[str, Any]:
    return {"type": "until_condition", "condition": {"type": "event", **keys}}


def field(value: object, operator: str = ">=") -> dict[str, Any]:
    condition = {"type": "field", "field": "plan", "operator": operator, "value": value}
    return {"type": "until_condition", "condition": condition}


DAY = {"value": 1, "unit": "days"}


@pytest.mark.parametrize(
    ("wait", "code"),
    [
        ({"type": "until_date"}, "config_missing"),
        ({**DATE, "field": ""}, "config_invalid"),
        ({**DATE, "field": "company"}, "wait_field"),
        ({**DATE, "field": "contact.ai_score"}, "wait_field"),
        ({**DATE, "field": "tags"}, "wait_field"),
        ({**DATE, "field": "lead_score"}, "wait_field"),
        ({**DATE, "field": "entry.booked_for"}, "wait_field"),
        ({**DATE, **offset(1.5)}, "wait_offset"),
        ({**DATE, **offset(0.5, "months")}, "wait_offset"),
        ({**DATE, **offset(-121, "months")}, "wait_too_long"),
        ({**DATE, **offset(-4_000)}, "wait_too_long"),
        ({**DATE, "offset": {"unit": "days"}}, "config_missing"),
        ({**DATE, "offset": {"value": True}}, "not_a_number"),
        ({**DATE, "offset": "3 days"}, "config_invalid"),
        ({**DATE, "time": "24:00"}, "time_of_day"),
        ({**DATE, "timezone": "UTC"}, "config_unknown_key"),
        ({"type": "until_condition"}, "config_missing"),
        ({**UNTIL_VIP, "max_wait": {"value": 99, "unit": "years"}}, "config_invalid"),
        ({**UNTIL_VIP, "max_wait": {"value": 9_999, "unit": "days"}}, "wait_too_long"),
        ({**UNTIL_VIP, "field": "plan"}, "config_unknown_key"),
        ({"type": "until_condition", "condition": {}}, "config_missing"),
        ({"type": "until_condition", "condition":
          {"type": "time", "field": "hour", "operator": ">", "value": 9}}, "wait_condition"),
        (field("today"), "wait_condition"),
        (field({"days_ago": 3}), "wait_condition"),
        (field(["today", "2026-01-01"], "in"), "wait_condition"),
        ({"type": "until_condition", "condition": {"type": "composite", "sub_conditions":
          [TAGGED, field("today")["condition"]]}}, "wait_condition"),
        (event(event_type="purchase", operator="!=", time_window=24), "wait_condition"),
        (event(event_type="purchase", value=False, within=DAY), "wait_condition"),
        (event(event_type="purchase", within=DAY, count={"operator": "<", "value": 3}),
         "wait_condition"),
        (event(event_type="booked", where=
          {"type": "field", "field": "day", "operator": "<", "value": "today"}), "wait_condition"),
        ({"type": "until_dates", "field": "plan"}, "wait_type_unknown"),
    ],
)  # fmt: skip
def test_a_wait_that_cannot_follow_its_contact_is_refused(wait: dict[str, Any], code: str) -> None:
    assert [code for severity, code in problems_of(a_file(wait)) if severity == "error"] == [code]


@pytest.mark.parametrize(
    "wait",
    [
        {**DATE, "field": "custom_fields.trial_ends_at", **offset(-2, "Week"), "time": "9:05"},
        {**DATE, "field": "contact.last_interaction", **offset(90, "minutes")},
        {**UNTIL_VIP, "max_wait_duration": {"value": 3, "unit": "weeks"}},
        field(3),
        field("2026-01-01"),
        event(event_type="purchase"),
        event(event_type="purchase", operator="!="),
        event(event_type="purchase", within=DAY, count={"operator": ">=", "value": 2}),
    ],
)
def test_waits_are_read_as_people_write_them(wait: dict[str, Any]) -> None:
    assert [code for severity, code in problems_of(a_file(wait)) if severity == "error"] == []


def test_the_port_of_a_date_that_is_past_or_missing_may_be_open_with_a_warning() -> None:
    assert problems_of(a_file(DATE)) == [("warning", "port_open")]
    ports = compile_graph(complete(load_definition(a_file(DATE))), {}).nodes["w"].ports
    assert dict.fromkeys(ports) == {"default": None}
    ports = compile_graph(complete(load_definition(a_file(UNTIL_VIP))), {}).nodes["w"].ports
    assert {port: edge.target for port, edge in ports.items()} == {"met": "end", "timeout": "end"}


def on_canvas(wait: dict[str, Any], edges: list[dict[str, Any]]) -> dict[str, str]:
    """The targets by port of a wait with these edges."""
    nodes = [
        {"id": name, "type": "trigger" if name == "t" else "wait" if name == "w" else "exit"}
        for name in ("t", "w", "a", "b", "c")
    ]
    edges = [{"source": "w", "id": f"e{n}", **edge} for n, edge in enumerate(edges)]
    used = {edge["target"] for edge in edges}
    file = {
        "name": "Trial",
        "campaign_type": "branching",
        "canvas_data": {
            "nodes": [node for node in nodes if node["id"] in {"t", "w", *used}],
            "edges": [{"source": "t", "target": "w", "id": "first"}, *edges],
        },
        "steps": [{"node_id": "w", "node_type": "wait", "wait_config": wait}],
    }
    graph = compile_graph(complete(load_definition(file)), {})
    return {port: edge.target for port, edge in graph.nodes["w"].ports.items()}


def test_handles_types_and_labels_of_edges_name_the_ports() -> None:
    handles = [
        {"target": "b", "sourceHandle": "past"},
        {"target": "a", "sourceHandle": "default"},
        {"target": "c", "sourceHandle": "Missing"},
    ]
    by_name = {"default": "a", "past": "b", "missing": "c"}
    assert on_canvas(DATE, handles) == by_name
    labels = [{"target": "a"}, {"target": "c", "label": "missing"}, {"target": "b", "type": "past"}]
    assert on_canvas(DATE, labels) == by_name
    assert on_canvas(DATE, [{"target": "a"}]) == {"default": "a"}
    either = [
        {"target": "b", "type": "conditional-false"},
        {"target": "a", "type": "conditional-true"},
    ]
    assert on_canvas(UNTIL_VIP, either) == {"met": "a", "timeout": "b"}
    assert on_canvas(UNTIL_VIP, [{"target": "a"}]) == {"met": "a", "timeout": "a"}
    assert on_canvas(UNTIL_VIP, [{"target": "a", "type": "conditional-true"}]) == {"met": "a"}


@pytest.mark.parametrize(
    ("edge", "is_endless"),
    [("default", False), ("past", True), ("missing", True)],
)
def test_a_cycle_through_a_port_that_takes_no_time_is_refused(edge: str, is_endless: bool) -> None:
    mail = {"email": {"subject": "Hi", "body": "{{ unsubscribe_url }}"}}
    file = {
        "name": "Trial",
        "campaign_type": "branching",
        "canvas_data": {
            "nodes": [
                {"id": "t", "type": "trigger"}, {"id": "w", "type": "wait"},
                {"id": "m", "type": "email"},
            ],
            "edges": [
                {"id": "1", "source": "t", "target": "w"},
                {"id": "2", "source": "w", "target": "m", "sourceHandle": edge},
                {"id": "3", "source": "m", "target": "w"},
            ],
        },
        "steps": [
            {"node_id": "w", "node_type": "wait", "wait_config": DATE},
            {"node_id": "m", "node_type": "email", "channel_config": mail},
        ],
    }  # fmt: skip
    codes = [code for severity, code in problems_of(file) if severity == "error"]
    assert ("cycle_without_wait" in codes) is is_endless


def test_what_the_database_notes_is_named() -> None:
    assert followed_names(DateWait.model_validate(DATE)) == {
        "field:trial_ends_at", "field:timezone",
    }  # fmt: skip
    condition = {
        "type": "composite",
        "sub_conditions": [
            TAGGED,
            {"type": "score", "operator": ">", "value": 5},
            {"type": "field", "field": "first_name", "operator": "==", "value": "Ann"},
            {"type": "field", "field": "address.city", "operator": "==", "value": "Bonn"},
            {"type": "event", "event_type": "purchase"},
        ],
    }
    wait = ConditionWait.model_validate({"type": "until_condition", "condition": condition})
    assert followed_names(wait) == {
        "field:tags", "field:ai_score", "field:name", "field:first_name", "field:address",
        "field:address.city", "event:purchase",
    }  # fmt: skip


def test_a_wait_is_described_in_words() -> None:
    assert described({**DATE, **offset(-3), "time": "09:00"}) == (
        "until 3 days before trial_ends_at at 09:00"
    )
    assert described({**DATE, **offset(1, "months")}) == "until 1 month after trial_ends_at"
    assert described(UNTIL_VIP) == "until has the tag vip, 7 days at most"
