"""Hypothesis strategies for random valid waits and conditions of campaign files."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

_NAMES = st.text("abcdefghijklmnop_", min_size=1, max_size=12)


def durations(*, minimum: float = 0) -> st.SearchStrategy[dict[str, Any]]:
    """Generate a valid {value, unit}."""
    value = st.integers(1, 40) | st.sampled_from([0.5, 1.5])
    if minimum == 0:
        value |= st.just(0)
    return st.fixed_dictionaries(
        {"value": value, "unit": st.sampled_from(["minutes", "hours", "days", "weeks", "hour"])}
    )


def duration_waits(*, minimum: float = 0) -> st.SearchStrategy[dict[str, Any]]:
    """Generate a valid wait_config of type duration."""
    return durations(minimum=minimum).map(lambda length: {"type": "duration", **length})


@st.composite
def event_waits(draw: st.DrawFn) -> dict[str, Any]:
    """Generate a valid wait_config of type until_event, short names included."""
    wait: dict[str, Any] = {
        "type": "until_event",
        "event_type": draw(st.sampled_from(["email_opened", "email_click", "reply", "purchase"])),
    }
    if draw(st.booleans()):
        wait["max_wait"] = draw(durations(minimum=1))
    return wait


@st.composite
def contact_waits(draw: st.DrawFn) -> dict[str, Any]:
    """Generate a valid wait_config of type until_date or until_condition."""
    if draw(st.booleans()):
        wait: dict[str, Any] = {"type": "until_date"}
        wait["field"] = draw(st.sampled_from(["plan", "custom_fields.visits", "created_at"]))
        if draw(st.booleans()):
            unit = draw(st.sampled_from(["minutes", "days", "week", "months"]))
            wait["offset"] = {"value": draw(st.integers(-40, 40)), "unit": unit}
        if draw(st.booleans()):
            wait["time"] = draw(st.sampled_from(["09:00", "9:05", "23:59"]))
        return wait
    wait = {"type": "until_condition", "condition": draw(conditions(1, by_time=False))}
    if draw(st.booleans()):
        wait["max_wait"] = draw(durations(minimum=1))
    return wait


PORTS_OF_WAITS = {
    "until_event": ("event", "timeout"),
    "until_date": ("default", "past", "missing"),
    "until_condition": ("met", "timeout"),
}


def conditions(depth: int = 2, *, by_time: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    """Generate a valid condition, nested up to `depth`; if not `by_time`, none that the time alone
    changes."""
    simple = st.one_of(
        st.fixed_dictionaries(
            {
                "type": st.just("field"),
                "field": st.sampled_from(["company", "plan", "visits", "status"]),
                "operator": st.sampled_from(["==", "!=", "contains"]),
                "value": st.text("abc ", min_size=1, max_size=5),
            }
        ),
        st.fixed_dictionaries(
            {
                "type": st.just("field"),
                "field": st.just("visits"),
                "operator": st.sampled_from([">", "<", ">=", "<="]),
                "value": st.integers(-5, 50),
            }
        ),
        st.fixed_dictionaries(
            {
                "type": st.just("score"),
                "operator": st.sampled_from([">=", "<", "=="]),
                "value": st.integers(0, 100),
            }
        ),
        st.fixed_dictionaries(
            {
                "type": st.just("tag"),
                "operator": st.sampled_from(["contains", "!=", "=="]),
                "value": _NAMES,
            }
        ),
        st.fixed_dictionaries(
            {"type": st.just("event"), "event_type": st.sampled_from(["email_open", "purchase"])},
            optional={"time_window": st.integers(1, 240)},
        ),
        *([st.just({"type": "time", "operator": ">=", "field": "hour", "value": 9})] * by_time),
    )
    if depth == 0:
        return simple
    return simple | st.fixed_dictionaries(
        {
            "type": st.just("composite"),
            "logic": st.sampled_from(["AND", "OR"]),
            "sub_conditions": st.lists(
                conditions(depth - 1, by_time=by_time), min_size=1, max_size=3
            ),
        }
    )
