from __future__ import annotations

import copy
from typing import Any

import pytest

from drip_pipeline.domain.compiler.api import load_definition
from drip_pipeline.domain.compiler.compile import compile_graph
from drip_pipeline.domain.definition.problems import errors_in
from drip_pipeline.errors import DefinitionInvalid
from tests.domain.campaign_files import (
    File,
    ab_test,
    branching,
    codes,
    edge,
    email_step,
    linear,
    mail,
    problems,
    step,
)

HELLO = "hello"


def email_of(file: File, node_id: str = HELLO) -> File:
    result: File = step(file, node_id)["channel_config"]["email"]
    return result


def act(**config: Any) -> File:
    """Return a linear file with one action node."""
    return linear({"node_id": "act", "node_type": "action", **config})


def wait(config: Any) -> File:
    return linear({"node_id": "w", "node_type": "wait", "wait_config": config})


def post(**fields: Any) -> File:
    return act(channel_config={"social": {"platform": "mastodon", "content": "x", **fields}})


def changed(file: File, change: Any) -> File:
    copied = copy.deepcopy(file)
    change(copied)
    return copied


def branches(file: File) -> list[File]:
    result: list[File] = step(file, "rich")["conditional_branches"]
    return result


@pytest.mark.parametrize("file", [linear(), branching(), ab_test()])
def test_a_valid_file_has_no_problems(file: File) -> None:
    assert problems(file) == []


CAMPAIGN = [
    (lambda f: f.pop("name"), "name_missing"),
    (lambda f: f.update(name="  "), "name_missing"),
    (lambda f: f.update(name="x" * 300), "name_too_long"),
    (lambda f: f.update(name=["x"]), "config_invalid"),
    (lambda f: f.update(goal_metric="luck"), "config_invalid"),
    (lambda f: f.update(goal_metric="open_rate", goal_target=101), "config_invalid"),
    (lambda f: f.update(goal_metric="open_rate", goal_target=12.345), "goal_target_places"),
    (lambda f: f.update(goal_target=20), "goal_metric_missing"),
    (lambda f: f.update(timezone="Europe/Atlantis"), "timezone_unknown"),
    (lambda f: f.update(goal_event={"event_type": "email_opened"}), "goal_event_unknown"),
    (lambda f: f.update(goal_event={"event_type": "converted"}), "goal_event_unknown"),
    (lambda f: f.update(goal_event={"event_type": "purchas"}), "event_type_unknown"),
    (lambda f: f.update(goal_event={"event_type": "9 lives"}), "event_type_invalid"),
    (lambda f: f.update(goal_event="purchase"), "config_invalid"),
    (lambda f: f.update(goal_event={}), "config_missing"),
    (
        lambda f: f.update(
            goal_event={"event_type": "purchase", "within": {"value": 0, "unit": "days"}}
        ),
        "goal_event_within",
    ),
    (lambda f: f.update(re_entry="sometimes"), "re_entry_invalid"),
    (lambda f: f.update(re_entry={"after_days": -1}), "re_entry_invalid"),
    (lambda f: f.update(campaign_type="liner"), "config_invalid"),
    (lambda f: f.update(stepps=[]), "unknown_key"),
    (lambda f: f.update(steps={}), "steps_shape"),
    (lambda f: f["steps"].append(7), "steps_shape"),
    (lambda f: f.update(description="a\x00b"), "value_invalid"),
    (lambda f: f.update(tags="a,b"), "config_invalid"),
]


@pytest.mark.parametrize(("change", "code"), CAMPAIGN)
def test_a_problem_of_the_campaign_has_its_code(change: Any, code: str) -> None:
    assert (None, code) in codes(changed(linear(), change))


NODES: list[tuple[File, str, str]] = [
    (linear({"node_id": "m", "node_type": "emial"}), "m", "node_type_unknown"),
    (linear({"node_id": "m"}), "m", "node_type_missing"),
    (linear({"node_id": "m", "node_type": "email"}), "m", "config_missing"),
    (
        linear({"node_id": "m", "node_type": "email", "chanel_config": mail()}),
        "m",
        "unknown_key",
    ),
    (
        linear({"node_id": "m", "node_type": "email", "channel_config": {"sms": {"body": "x"}}}),
        "m",
        "config_unknown_key",
    ),
    (
        linear({"node_id": "m", **email_step(), "wait_config": {"value": 1}}),
        "m",
        "config_misplaced",
    ),
    (changed(linear(), lambda f: email_of(f).pop("subject")), HELLO, "config_missing"),
    (changed(linear(), lambda f: email_of(f).update(subject=" ")), HELLO, "subject_missing"),
    (changed(linear(), lambda f: email_of(f).update(subject="a\nb")), HELLO, "subject_lines"),
    (changed(linear(), lambda f: email_of(f).update(body="")), HELLO, "body_missing"),
    (changed(linear(), lambda f: email_of(f).update(subjekt="")), HELLO, "config_unknown_key"),
    (
        changed(linear(), lambda f: email_of(f).update(body="{{ first_nam }}")),
        HELLO,
        "variable_unknown",
    ),
    (
        changed(linear(), lambda f: email_of(f).update(subject="{{ oops")),
        HELLO,
        "template_syntax",
    ),
    (
        changed(linear(), lambda f: email_of(f).update(body="{{ (1..99999999) | join: '' }}")),
        HELLO,
        "template_budget",
    ),
    (
        changed(linear(), lambda f: email_of(f).update(body_html="{% if %}")),
        HELLO,
        "template_syntax",
    ),
    (
        changed(linear(), lambda f: email_of(f).update(body="no way out")),
        HELLO,
        "unsubscribe_link_missing",
    ),
    (
        changed(linear(), lambda f: email_of(f).update(personalization_enabled=False)),
        HELLO,
        "personalization_off",
    ),
    (wait(None), "w", "config_missing"),
    (wait({}), "w", "config_missing"),
    (wait({"type": "durration", "value": 1}), "w", "wait_type_unknown"),
    (wait({"type": "duration", "value": -1, "unit": "days"}), "w", "config_invalid"),
    (wait({"type": "duration", "value": 1, "unit": "moons"}), "w", "config_invalid"),
    (wait({"type": "duration", "value": True, "unit": "days"}), "w", "not_a_number"),
    (wait({"type": "duration", "value": 9999, "unit": "weeks"}), "w", "wait_too_long"),
    (wait({"type": "duration", "unit": "days"}), "w", "config_missing"),
    (wait({"type": "until_event"}), "w", "config_missing"),
    (wait({"type": "until_event", "event_type": "email_openned"}), "w", "event_type_unknown"),
    (wait({"type": "until_event", "event_type": "größe"}), "w", "event_type_invalid"),
    (wait({"type": "until_event", "event_type": "x" * 65}), "w", "event_type_invalid"),
    (act(), "act", "config_missing"),
    (act(action_config={"config": {"add": ["x"]}}), "act", "config_missing"),
    (act(action_config={"type": "tagg", "config": {}}), "act", "action_unknown"),
    (act(action_config={"type": "tag", "config": {}}), "act", "tag_empty"),
    (act(action_config={"type": "tag", "config": 3}), "act", "config_invalid"),
    (act(action_config={"type": "tag", "config": {"ad": ["x"]}}), "act", "config_unknown_key"),
    (act(action_config={"type": "score", "config": {"delta": 1, "set": 1}}), "act", "score_config"),
    (
        act(action_config={"type": "field_update", "config": {"field": "email", "value": 1}}),
        "act",
        "field_protected",
    ),
    *(
        (act(action_config={"type": "field_update", "config": config}), "act", code)
        for config, code in (
            ({"field": "contact.email", "value": 1}, "field_protected"),
            ({"field": "contact.status", "value": "great"}, "field_value"),
            ({"field": "plan", "value": "{{ campaign_name }}"}, "variable_unavailable"),
            ({"field": "plan", "value": "{{ nothing }}"}, "variable_unknown"),
            ({"field": "plan", "value": {"a": ["{% if x %}"]}}, "template_syntax"),
            ({"field": "custom_fields.a.b", "value": 1}, "field_path"),
        )
    ),
    (
        act(action_config={"type": "tag", "add": ["{{ company }}"]}),
        "act",
        "value_not_rendered",
    ),
    (
        act(action_config={"type": "webhook", "webhook": {"url": "file:///etc/passwd"}}),
        "act",
        "webhook_url",
    ),
    (
        act(
            action_config={"type": "webhook", "webhook": {"url": "https://x.example.com/{{ id }}"}}
        ),
        "act",
        "webhook_url_template",
    ),
    (
        act(
            action_config={
                "type": "webhook",
                "webhook": {"url": "https://example.com", "payload": {"a": [{"b": "{{ emial }}"}]}},
            }
        ),
        "act",
        "variable_unknown",
    ),
    (
        act(
            action_config={"type": "tag", "config": {"add": ["x"]}},
            channel_config={"sms": {"body": "x"}},
        ),
        "act",
        "action_ambiguous",
    ),
    (act(channel_config=mail()), "act", "config_unknown_key"),
    (act(channel_config={"sms": {"body": "{{ first_nam }}"}}), "act", "variable_unknown"),
    (post(content="Hello {{ first_name }}"), "act", "social_personal"),
    (post(content="{{ plan }}"), "act", "social_personal"),
    (post(hashtags=["{{ company }}"]), "act", "social_personal"),
    (post(content="{% broken"), "act", "template_syntax"),
    (
        linear(
            {"node_id": "t", "node_type": "trigger", "trigger_config": {"trigger": "tga"}},
            {"node_id": "m", **email_step()},
        ),
        "t",
        "config_invalid",
    ),
    (
        linear(
            {"node_id": "t", "node_type": "trigger", "trigger_config": {"trigger": "score"}},
            {"node_id": "m", **email_step()},
        ),
        "t",
        "trigger_incomplete",
    ),
    (
        linear(
            {
                "node_id": "t",
                "node_type": "trigger",
                "trigger_config": {"trigger": "event", "event_type": "purchse"},
            },
            {"node_id": "m", **email_step()},
        ),
        "t",
        "event_type_unknown",
    ),
    (
        linear(
            {
                "node_id": "t",
                "node_type": "trigger",
                "trigger_config": {"trigger": "manual", "re_entry": "per_key"},
            },
            {"node_id": "m", **email_step()},
        )
        | {"re_entry": "after_exit"},
        "t",
        "re_entry_conflict",
    ),
    (
        linear(
            {"node_id": "m", **email_step()},
            {"node_id": "x", "node_type": "exit", "exit_config": {"status": "gone"}},
        ),
        "x",
        "config_invalid",
    ),
]


@pytest.mark.parametrize(("file", "node_id", "code"), NODES)
def test_a_problem_of_a_node_has_its_code_and_node(file: File, node_id: str, code: str) -> None:
    assert (node_id, code) in codes(file)


CONDITIONS = [
    (lambda f: branches(f).pop(), "else_missing"),
    (lambda f: branches(f)[0].pop("condition"), "else_twice"),
    (lambda f: branches(f)[0].update(id="no"), "branch_duplicate"),
    (lambda f: step(f, "rich").pop("conditional_branches"), "config_missing"),
    (lambda f: step(f, "rich")["conditional_branches"].append(3), "config_invalid"),
    (lambda f: branches(f)[0]["condition"].update(operator="=>"), "config_invalid"),
    (lambda f: branches(f)[0]["condition"].update(typo=1), "config_unknown_key"),
    (lambda f: branches(f)[0].update(target_node_id="end"), "target_conflict"),
    (lambda f: f["canvas_data"]["edges"].pop(1), "edge_missing"),
    (
        lambda f: f["canvas_data"]["edges"].append(
            {"id": "x", "source": "rich", "target": "end", "sourceHandle": "yes"}
        ),
        "port_twice",
    ),
    (
        lambda f: f["canvas_data"]["edges"].append(
            {"id": "x", "source": "rich", "target": "end", "sourceHandle": "maybe"}
        ),
        "edge_handle_unknown",
    ),
    (
        lambda f: f["canvas_data"]["edges"].append({"id": "x", "source": "rich", "target": "end"}),
        "edge_surplus",
    ),
    (
        lambda f: (branches(f)[0].pop("target_node_id"), f["canvas_data"]["edges"].pop(1)),
        "branch_without_target",
    ),
    (
        lambda f: branches(f)[0].update(condition={"type": "event", "event_type": "email_opend"}),
        "event_type_unknown",
    ),
    (
        lambda f: branches(f)[0].update(
            condition={"type": "field", "field": "plann", "operator": "==", "value": 1}
        ),
        "field_unknown",
    ),
]


@pytest.mark.parametrize(("change", "code"), CONDITIONS)
def test_an_invalid_condition_is_reported(change: Any, code: str) -> None:
    assert ("rich", code) in codes(changed(branching(), change))


def test_all_problems_are_reported_at_once_in_the_order_of_the_canvas() -> None:
    file = branching()
    file["goal_target"] = 500
    branches(file).pop()
    email_of(file, "offer")["subject"] = ""
    email_of(file, "news")["body"] = "{{ first_nam }} {{ companyname }}"
    edge(file, "start", "rich")["target"] = "richh"
    result = problems(file)
    assert [(p.node_id, p.code) for p in errors_in(result)] == [
        (None, "config_invalid"),
        ("start", "edge_unknown_node"),
        ("rich", "else_missing"),
        ("rich", "edge_handle_unknown"),
        ("rich", "unreachable"),
        ("offer", "subject_missing"),
        ("offer", "unreachable"),
        ("news", "unreachable"),
        ("news", "variable_unknown"),
        ("news", "variable_unknown"),
        ("end", "unreachable"),
    ]


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (linear({"node_id": "m", "node_type": "emial"}), 'did you mean "email"?'),
        (
            changed(linear(), lambda f: email_of(f).update(body="{{ first_nam }}")),
            'did you mean "first_name"?',
        ),
        (changed(linear(), lambda f: f.update(campain_type="x")), 'did you mean "campaign_type"?'),
        (wait({"type": "until_event", "event_type": "email_openned"}), 'mean "email_opened"?'),
        (
            changed(branching(), lambda f: edge(f, "offer", "end").update(target="ned")),
            'did you mean "end"?',
        ),
        (changed(linear(), lambda f: email_of(f).update(subjet="x")), 'did you mean "subject"?'),
    ],
)
def test_a_misspelled_name_gets_a_suggestion(file: File, words: str) -> None:
    assert any(words in problem.message for problem in problems(file))


@pytest.mark.parametrize(
    ("config", "channel"),
    [
        ({"channel_config": {"sms": {"body": "x"}}}, "sms"),
        ({"channel_config": {"social": {"platform": "mastodon", "content": "x"}}}, "social"),
        (
            {"action_config": {"type": "webhook", "webhook": {"url": "https://example.com"}}},
            "webhook",
        ),
    ],
)
def test_a_missing_channel_is_reported(config: File, channel: str) -> None:
    (result,) = problems(act(**config), available_channels=frozenset({"email"}))
    assert (result.node_id, result.code, result.severity) == ("act", "channel_missing", "error")
    assert f"no {channel} channel" in result.message
    assert problems(act(**config), available_channels=frozenset({channel})) == []


def test_custom_fields_exist_if_contacts_have_them_or_the_campaign_writes_them() -> None:
    file = changed(linear(), lambda f: email_of(f).update(subject="{{ city }} {{ plan }}"))
    assert codes(file) == {(HELLO, "variable_unknown")}
    assert codes(file, known_custom_fields=frozenset({"plan", "city"})) == set()
    writes = {"type": "field_update", "config": {"field": "city", "value": "x"}}
    file["steps"].insert(0, {"node_id": "act", "node_type": "action", "action_config": writes})
    assert codes(file) == set()


def test_without_personalization_texts_are_not_templates() -> None:
    file = linear()
    email_of(file).update(subject="100 %} sure", body="plain", personalization_enabled=False)
    assert errors_in(problems(file)) == []


@pytest.mark.parametrize("column", ["cta", "conditional_logic"])
def test_ignored_columns_of_earlier_campaigns_are_reported(column: str) -> None:
    file = linear()
    step(file, HELLO)[column] = {"text": "Buy", "url": "https://example.com"}
    assert codes(file) == {(HELLO, "legacy_column_ignored")}
    step(file, HELLO)[column] = {}
    assert codes(file) == set()


def test_a_post_can_use_campaign_variables() -> None:
    assert codes(post(content="{{ campaign_name }} is here")) == set()


def test_errors_prevent_compilation_and_warnings_do_not() -> None:
    file = branching()
    file["canvas_data"]["edges"].pop()
    assert [p.severity for p in problems(file)] == ["warning"]
    assert "default" not in compile_graph(load_definition(file), {}).nodes["news"].ports
    branches(file).pop()
    with pytest.raises(DefinitionInvalid, match="else-branch is missing"):
        compile_graph(load_definition(file), {})


@pytest.mark.parametrize("text", ["", "7", "[1]", "{", "null", "a: [", "just words"])
def test_a_file_without_an_object_is_invalid(text: str) -> None:
    with pytest.raises(DefinitionInvalid):
        load_definition(text)


def test_more_steps_than_the_limit_are_invalid() -> None:
    file = linear(*({"node_id": f"n{index}"} for index in range(5001)))
    assert (None, "too_large") in codes(file)
