from __future__ import annotations

from typing import Any

import pytest

from drip_pipeline.domain.compiler.api import load_definition, validate
from drip_pipeline.domain.compiler.compile import compile_graph, definition_hash
from drip_pipeline.domain.definition.legacy import legacy_definition
from drip_pipeline.domain.definition.problems import errors_in
from drip_pipeline.domain.graph.nodes import DurationWait, EmailConfig

IDS = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(1, 4)]
DELAYS = [0, 3, 7]


def campaign(**more: Any) -> dict[str, Any]:
    return {"id": "c", "name": "Old", "sequence_type": "onboarding", "tags": None, **more}


def step_rows() -> list[dict[str, Any]]:
    return [
        {
            "id": step_id,
            "campaign_id": "c",
            "step_number": number,
            "step_name": f"Letter {number}",
            "day_delay": delay,
            "subject_line": f"Subject {number}",
            "preheader_text": None,
            "email_body": f"Body {number}",
            "email_body_html": None,
            "cta": {},
            "conditional_logic": None,
            "metrics": {},
            "node_id": None,
            "node_position": {"x": 0, "y": 0},
        }
        for number, (step_id, delay) in enumerate(zip(IDS, DELAYS, strict=True), 1)
    ]


def migrated_canvas(step_ids: list[str]) -> dict[str, Any]:
    """Return the canvas of the specification's data migration: nodes, and '[]' as edges."""
    return {
        "nodes": [
            {
                "id": f"node_{step_id}",
                "type": "email",
                "position": {"x": 200 * number, "y": 100},
                "data": {"label": f"Letter {number}", "stepId": step_id},
            }
            for number, step_id in enumerate(step_ids, 1)
        ],
        "edges": "[]",
        "viewport": {"x": 0, "y": 0, "zoom": 1},
    }


def walk(definition: Any) -> list[str]:
    graph = compile_graph(definition, {})
    walked = [graph.entry_node_id]
    while graph.nodes[walked[-1]].ports:
        walked.append(graph.nodes[walked[-1]].ports["default"].target)
    return walked


EXPECTED = [
    "trigger",
    f"node_{IDS[0]}",
    f"wait_before_{IDS[1]}",
    f"node_{IDS[1]}",
    f"wait_before_{IDS[2]}",
    f"node_{IDS[2]}",
    "exit",
]


@pytest.mark.parametrize(
    "canvas",
    [
        None,
        {"nodes": [], "edges": [], "viewport": {}},
        {"nodes": None, "edges": "[]"},
        migrated_canvas(IDS),
        migrated_canvas(IDS) | {"edges": []},
        migrated_canvas(list(reversed(IDS))),
    ],
)
def test_flat_steps_become_a_sequence_with_their_waits(canvas: Any) -> None:
    definition = legacy_definition(campaign(canvas_data=canvas), list(reversed(step_rows())))
    assert walk(definition) == EXPECTED
    graph = compile_graph(definition, {})
    waits = [c.seconds for n in graph.nodes.values() if isinstance(c := n.config, DurationWait)]
    assert sorted(waits) == [3 * 86_400, 7 * 86_400]
    mail = graph.nodes[f"node_{IDS[1]}"].config
    assert mail == EmailConfig(subject="Subject 2", body="Body 2")
    result = validate(
        definition, known_custom_fields=frozenset(), available_channels=frozenset({"email"})
    )
    assert errors_in(result) == []


def test_positions_of_an_earlier_canvas_are_kept() -> None:
    definition = legacy_definition(campaign(canvas_data=migrated_canvas(IDS)), step_rows())
    places = {
        node["id"]: node["position"] for node in (definition.canvas_data or {}).get("nodes", [])
    }
    assert places[f"node_{IDS[2]}"] == {"x": 600, "y": 100}
    assert len(places) == len(EXPECTED)


def test_the_same_rows_give_the_same_definition_and_so_does_its_file() -> None:
    once = legacy_definition(campaign(), step_rows())
    assert legacy_definition(campaign(), step_rows()) == once
    assert definition_hash(load_definition(once.to_dict())) == definition_hash(once)


def test_existing_node_ids_of_rows_are_kept() -> None:
    rows = step_rows()
    rows[1]["node_id"] = "my_node"
    assert walk(legacy_definition(campaign(), rows))[2:4] == [f"wait_before_{IDS[1]}", "my_node"]


def test_a_canvas_with_edges_is_not_a_legacy_canvas() -> None:
    canvas = migrated_canvas(IDS[:1])
    canvas["nodes"].insert(0, {"id": "start", "type": "trigger"})
    canvas["edges"] = [{"id": "e", "source": "start", "target": f"node_{IDS[0]}"}]
    definition = legacy_definition(campaign(canvas_data=canvas), step_rows()[:1])
    assert walk(definition) == ["start", f"node_{IDS[0]}"]
