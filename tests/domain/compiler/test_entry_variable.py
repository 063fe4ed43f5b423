"""Publishing knows where the variables of a run can be read."""

from __future__ import annotations

import pytest

from tests.domain.campaign_files import File, branching, codes, email_step, linear, problems, step


def with_subject(subject: str) -> File:
    """Return a file with one email of this subject."""
    file = linear()
    file["steps"][-1]["channel_config"]["email"]["subject"] = subject
    return file


def test_entry_data_exists_in_texts_to_a_contact_and_in_conditions_and_not_in_posts() -> None:
    file = with_subject("{{ entry.order_id }}")
    assert codes(file) == set()
    file = with_subject("{{ sku }}")
    (unknown,) = problems(file)
    assert "read as entry.sku" in unknown.message
    total = {"type": "field", "field": "entry.total", "operator": ">", "value": 1}
    file = branching()
    branch = next(s for s in file["steps"] if "conditional_branches" in s)
    branch["conditional_branches"][0]["condition"] = total
    assert codes(file) == set()
    post = {"type": "social", "config": {"platform": "twitter", "content": "{{ entry.order_id }}"}}
    assert ("act", "social_personal") in codes(
        linear({"node_id": "act", "node_type": "action", "action_config": post})
    )


SETS_X: File = {
    "node_id": "set",
    "node_type": "action",
    "action_config": {"type": "variable", "config": {"set": {"x": "{{ entry.total }}"}}},
}
WAITS: File = {
    "node_id": "w",
    "node_type": "wait",
    "wait_config": {"type": "until_event", "event_type": "purchase", "max_wait": {"value": 1}},
}
START = {"node_id": "start", "node_type": "trigger"}


def flow(*steps: File, trigger: File | None = None) -> File:
    """Return a linear file with a trigger, these steps, and an email that reads `x` and `event`."""
    first = {**START, "trigger_config": trigger or {"trigger": "manual"}}
    file = linear(first, *steps, {**email_step(), "node_id": "hello"})
    email = step(file, "hello")["channel_config"]["email"]
    email["subject"] = "{{ vars.x }} {{ event.amount }} {{ entry.order_id }}"
    return file


def warned(file: File) -> list[str]:
    """Return the paths that are said to have no value."""
    all_problems = [p for p in problems(file) if p.code == "variable_without_value"]
    assert all(problem.severity == "warning" for problem in all_problems)
    return [problem.message.split(": ")[1].split()[0] for problem in all_problems]


def test_a_variable_exists_behind_what_gives_it() -> None:
    assert warned(flow()) == ["event.amount", "vars.x"]
    assert warned(flow(SETS_X)) == ["event.amount"]
    assert warned(flow(WAITS)) == ["vars.x"]
    assert warned(flow(WAITS, SETS_X)) == []
    assert warned(flow(SETS_X, trigger={"trigger": "event", "event_type": "purchase"})) == []
    assert warned(flow(SETS_X, trigger={"trigger": "tag", "tag": "a"})) == [
        "entry.total",
        "entry.order_id",
        "event.amount",
    ]


def test_a_misspelled_variable_is_named() -> None:
    file = flow(
        WAITS, {**SETS_X, "action_config": {"type": "variable", "config": {"set": {"totals": 1}}}}
    )
    step(file, "hello")["channel_config"]["email"]["subject"] = "{{ vars.total }}"
    (problem,) = [p for p in problems(file) if p.code == "variable_without_value"]
    assert "no action sets total" in problem.message
    assert "totals" in problem.message


def test_a_variable_that_is_set_behind_the_node_has_no_value_there() -> None:
    file = flow(WAITS)
    file["steps"].append(SETS_X)
    (problem,) = [p for p in problems(file) if p.code == "variable_without_value"]
    assert "set by set, which does not come before this node" in problem.message


def test_a_key_from_entry_data_needs_a_trigger_that_gives_data() -> None:
    policy = {"re_entry": {"per_key": "entry.order_id"}}
    for trigger, expected in (
        ({"trigger": "event", "event_type": "purchase"}, set()),
        ({"trigger": "webhook"}, set()),
        ({"trigger": "manual"}, set()),
        ({"trigger": "tag", "tag": "a"}, {("start", "re_entry_without_data")}),
    ):
        file = flow(WAITS, SETS_X, trigger={**trigger, **policy})
        step(file, "hello")["channel_config"]["email"]["subject"] = "Hello"
        named = {each for each in codes(file) if each[1] == "re_entry_without_data"}
        assert named == expected


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({}, "config_invalid"),
        ({"a b": 1}, "config_invalid"),
        ({"a": "x" * 40_000}, "variable_bounds"),
        ({"a": [[[[[[[[1]]]]]]]]}, "variable_bounds"),
        ({"a": "{{ x"}, "template_syntax"),
        ({"a": "{{ unsubscribe_url }}"}, "variable_unavailable"),
        ({"a": "{{ nothing }}"}, "variable_unknown"),
    ],
)
def test_values_that_an_action_cannot_set_are_errors(values: File, code: str) -> None:
    action = {"type": "variable", "config": {"set": values}}
    file = linear({"node_id": "act", "node_type": "action", "action_config": action})
    assert ("act", code) in codes(file)


def test_conditions_on_properties_that_can_never_match_are_named() -> None:
    never = {"type": "field", "field": "due", "operator": ">", "value": "yesterday"}
    fine = {"type": "field", "field": "created_at", "operator": "contains", "value": "2026"}
    wait = {**WAITS, "wait_config": {**WAITS["wait_config"], "where": never}}
    placed = {"trigger": "event", "event_type": "order.placed"}
    for file, nodes in (
        (flow(wait, SETS_X), {"w"}),
        (flow(WAITS, SETS_X, trigger={**placed, "where": never}), {"start"}),
        (flow(WAITS, SETS_X, trigger={**placed, "where": fine}), set()),
    ):
        named = [p for p in problems(file) if p.code == "condition_never_matches"]
        assert {problem.node_id for problem in named} == nodes
        assert all("{days_ago: 7}" in problem.message for problem in named)
