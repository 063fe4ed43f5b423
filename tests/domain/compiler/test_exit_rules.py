"""Exit rules of a campaign file: their keys, their problems, and the compiled form."""

from __future__ import annotations

from typing import Any

import pytest

from drip_pipeline.domain.compiler.api import json_schema, load_definition, validate
from drip_pipeline.domain.compiler.compile import compile_graph, graph_hash
from drip_pipeline.domain.diff.definition_diff import compare_definitions
from drip_pipeline.domain.graph.graph import CampaignGraph
from tests.domain.definition.json_schema_check import faults

BOUGHT: dict[str, Any] = {"id": "bought", "when": {"event_type": "purchase"}}
VIP: dict[str, Any] = {
    "id": "vip", "when": {"type": "tag", "value": "vip"}, "reason": "is a VIP",
}  # fmt: skip


def a_file(*exits: Any, **keys: Any) -> dict[str, Any]:
    mail = {"email": {"subject": "Hi", "body": "x {{ unsubscribe_url }}"}}
    step = {"node_type": "email", "node_id": "mail", "channel_config": mail}
    return {"name": "A", "exits": list(exits), "steps": [step]} | keys


def problems(*exits: Any, **keys: Any) -> list[tuple[str, str, str]]:
    found = validate(
        load_definition(a_file(*exits, **keys)),
        known_custom_fields=frozenset({"plan"}),
        available_channels=frozenset({"email"}),
    )
    return [(each.code, each.severity, each.message) for each in found]


@pytest.mark.parametrize(
    "rule",
    [
        BOUGHT,
        VIP,
        {"id": "a", "when": {"type": "field", "field": "plan", "operator": "==", "value": "x"}},
        {"id": "a-1", "when": {"event_type": "purchase", "within": {"value": 3, "unit": "days"},
                               "count": {"value": 2}, "match": {"order": "entry.order"},
                               "machines": True, "of": "any"}},
        {"id": "a_1", "when": {"type": "composite", "logic": "OR", "sub_conditions": [
            VIP["when"], {"type": "event", "event_type": "purchase"}]}},
    ],
)  # fmt: skip
def test_a_rule_is_valid_by_the_schema_and_restored_from_its_version(rule: Any) -> None:
    assert problems(rule) == []
    schema = json_schema()
    assert list(faults(a_file(rule), schema, schema)) == []
    graph = compile_graph(load_definition(a_file(rule)), {})
    assert CampaignGraph.from_dict(graph.to_dict()) == graph
    assert graph.exits[0].why == rule.get("reason", rule["id"])


@pytest.mark.parametrize(
    ("rule", "code", "words"),
    [
        ("bought", "exit_invalid", 'exits[0] must be an object with id and when, not "bought"'),
        ({"when": BOUGHT["when"]}, "config_missing", "exits[0].id is missing"),
        ({"id": "x"}, "config_missing", "exits[0].when is missing"),
        (BOUGHT | {"if": 1}, "config_unknown_key", "unknown key exits[0].if"),
        (BOUGHT | {"id": "With space"}, "config_invalid", "exits[0].id"),
        (BOUGHT | {"reason": "goal"}, "exit_reason", "goal is a reason that the engine gives"),
        (BOUGHT | {"id": "unsubscribed"}, "exit_reason", "choose another one"),
        ({"id": "x", "when": {"event_type": "purchase", "witin": 3}},
         "config_unknown_key", "witin"),
        ({"id": "x", "when": {"event_type": "purchase", "url": "https://a.example"}},
         "matcher_url", "url belongs to email_clicked"),
        ({"id": "x", "when": {"event_type": "purchase", "count": {"operator": "<", "value": 1}}},
         "matcher_count", "an exit needs at least one"),
        ({"id": "x", "when": {"event_type": "email_clicked", "of": {"node": "male"}}},
         "matcher_of", 'did you mean "mail"?'),
        ({"id": "x", "when": {"type": "tag"}}, "config_invalid", "a tag condition needs a value"),
        ({"id": "x", "when": {"type": "score", "operator": ">", "value": "many"}},
         "config_invalid", "a score is compared with numbers"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_work_is_refused_by_name(rule: Any, code: str, words: str) -> None:
    found = [(c, message) for c, severity, message in problems(rule) if severity == "error"]
    assert [c for c, _ in found] == [code]
    assert words in found[0][1]


def test_ids_are_unique_and_the_rules_bounded() -> None:
    assert [code for code, _, _ in problems(BOUGHT, BOUGHT)] == ["exit_duplicate"]
    many = [BOUGHT | {"id": f"r{n}"} for n in range(51)]
    assert [code for code, _, _ in problems(*many)] == ["too_large"]
    assert [code for code, _, _ in problems(exits={"id": "x"})] != []


@pytest.mark.parametrize(
    ("when", "code", "words"),
    [
        ({"event_type": "purchsae"}, "event_type_unknown", 'did you mean "purchase"?'),
        ({"type": "field", "field": "plam", "operator": "==", "value": 1}, "field_unknown", "plan"),
        ({"type": "score", "operator": ">", "value": 200}, "condition_never_matches", "exit x: "),
        ({"type": "event", "event_type": "email_clicked", "where": {
            "type": "field", "field": "n", "operator": "==", "value": ""}},
         "condition_never_matches", "n"),
    ],
)  # fmt: skip
def test_what_can_never_happen_is_a_warning(when: Any, code: str, words: str) -> None:
    ((found, severity, message),) = problems({"id": "x", "when": when})
    assert (found, severity) == (code, "warning")
    assert words in message


def test_the_events_of_rules_are_those_on_whose_arrival_they_are_evaluated() -> None:
    event = {"type": "event", "event_type": "order.paid", "of": "any"}
    any_of = {"type": "composite", "sub_conditions": [VIP["when"], event]}
    machines = {"id": "c", "when": {"event_type": "purchase", "machines": True}}
    graph = compile_graph(load_definition(a_file(VIP, {"id": "b", "when": any_of}, machines)), {})
    assert graph.exit_events() == {
        "order.paid", "any:order.paid", "purchase", "machine:purchase",
    }  # fmt: skip
    assert graph.exit_events() <= graph.waits_for()
    assert compile_graph(load_definition(a_file(VIP)), {}).exit_events() == set()


def test_a_file_without_rules_keeps_the_hash_of_its_graph() -> None:
    without = a_file()
    assert graph_hash(load_definition(without)) == graph_hash(
        load_definition({key: value for key, value in without.items() if key != "exits"})
    )
    assert "exits" not in compile_graph(load_definition(without), {}).to_dict()


def test_a_comparison_names_the_rules_that_changed() -> None:
    before = load_definition(a_file(BOUGHT, VIP, {"id": "old", "when": VIP["when"]}))
    changed = VIP | {"reason": "VIP"}
    after = load_definition(a_file(changed, BOUGHT, {"id": "new", "when": VIP["when"]}))
    diff = compare_definitions(before, after)
    assert [change.sentence for change in diff.changes] == [
        "exit rule “old” removed",
        "exit rule “vip”: reason changed: is a VIP → VIP",
        "new exit rule “new”",
        "order of the exit rules: bought, vip → vip, bought",
    ]
    assert {change.kind for change in diff.changes} == {"exit"}
    assert diff.to_dict()["changes"][1]["key"] == "exits.vip.reason"  # type: ignore[index]
