from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drip_pipeline.domain.compiler.api import complete, json_schema, load_definition, validate
from drip_pipeline.domain.compiler.compile import compile_graph
from drip_pipeline.domain.definition.campaign_file import CAMPAIGN_KEYS, STEP_KEYS
from drip_pipeline.domain.definition.problems import errors_in
from drip_pipeline.domain.definition.text_formats import parse_text
from tests.domain.campaign_files import File, ab_test, branching, edge, linear, step
from tests.domain.definition.json_schema_check import faults

FOLDER = Path(__file__).parents[3] / "examples"
EXAMPLES = sorted(p for p in FOLDER.rglob("*.yaml") if "scenarios" not in p.name)
HILLSTROM_FIELDS = frozenset({"recency", "channel", "segment"})


def faults_of(file: Any) -> list[str]:
    schema = json_schema()
    return faults(file, schema, schema)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_match_the_schema_and_are_valid(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert faults_of(parse_text(text)) == []
    definition = load_definition(text)
    assert faults_of(complete(definition).to_dict()) == []
    result = validate(
        definition, known_custom_fields=HILLSTROM_FIELDS, available_channels=frozenset({"email"})
    )
    # No event of the examples' own names has arrived, and no contact has their own fields.
    unknown = ("event_type_unknown", "field_unknown")
    assert [problem for problem in result if problem.code not in unknown] == []
    assert compile_graph(definition, {}).trigger.kind in ("manual", "event")


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("file", [linear(), branching(), ab_test()])
def test_valid_files_match_the_schema_before_and_after_completion(file: File) -> None:
    assert faults_of(file) == []
    assert faults_of(complete(load_definition(file)).to_dict()) == []


def test_the_schema_has_exactly_the_keys_that_are_read() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == CAMPAIGN_KEYS
    assert set(schema["$defs"]["StepDefinition"]["properties"]) == STEP_KEYS


def test_every_property_has_a_description() -> None:
    schema = json_schema()
    missing = [
        f"{name}.{key}"
        for name, model in {"Campaign": schema, **schema["$defs"]}.items()
        for key, described in model.get("properties", {}).items()
        if not described.get("description")
    ]
    assert missing == []


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.pop("name"),
        lambda f: f.update(stepps=[]),
        lambda f: f.update(campaign_type="liner"),
        lambda f: f.update(goal_target=101),
        lambda f: f.update(goal_event={"within": {"value": 1}}),
        lambda f: step(f, "offer").update(node_type="emial"),
        lambda f: step(f, "offer")["channel_config"]["email"].pop("subject"),
        lambda f: step(f, "offer")["channel_config"]["email"].update(subjekt="x"),
        lambda f: step(f, "rich")["conditional_branches"][0]["condition"].update(operator="=>"),
        lambda f: edge(f, "offer", "end").pop("target"),
    ],
)
def test_invalid_files_do_not_match_the_schema(change: Any) -> None:
    file = branching()
    change(file)
    assert faults_of(file)


def test_the_schema_is_plain_json_with_its_dialect() -> None:
    schema = json.loads(json.dumps(json_schema()))
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["required"] == ["name"]


def test_a_valid_file_with_a_short_form_matches_the_schema_after_completion() -> None:
    file = linear()
    file["steps"].append({"node_id": "w", "node_type": "wait", "wait_config": {"value": 1}})
    definition = load_definition(file)
    assert not errors_in(
        validate(
            definition, known_custom_fields=frozenset(), available_channels=frozenset({"email"})
        )
    )
    assert faults_of(complete(definition).to_dict()) == []
