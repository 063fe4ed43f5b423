"""What is loaded for a batch is decided by how far its people can come: nobody may come further."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.domain.compiler.api import load_definition
from drip_pipeline.domain.compiler.compile import compile_graph
from drip_pipeline.domain.graph.graph import ports_of
from drip_pipeline.domain.graph.reachability import reachability
from drip_pipeline.engine.execution.batch_context import BatchContext
from drip_pipeline.engine.execution.execute import execute
from drip_pipeline.engine.execution.transitions import (
    group_by_position,
)
from tests.engine.graphs import email, end, graph, has_tag, score_at_least, trigger, wait_hours
from tests.strategies import valid_files

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
CAMPAIGN = UUID(int=7)
PEOPLE = 40


def _people(node_id: str, port: str | None) -> list[DueState]:
    return [
        DueState(UUID(int=1_000 + n), CAMPAIGN, 1, UUID(int=n), node_id, port, 0, 3, 0, "active")
        for n in range(PEOPLE)
    ]


@settings(max_examples=25)
@given(valid_files(), st.randoms(use_true_random=False))
def test_no_state_passes_a_node_that_is_not_reachable(file: dict[str, Any], random: Any) -> None:
    campaign = compile_graph(load_definition(file), {})
    contexts = {
        UUID(int=n): {
            "ai_score": random.randrange(101),
            "company": random.choice([None, "Acme"]),
            "plan": random.choice(["free", "pro", ""]),
            "tags": frozenset(random.sample(["vip", "new", "lead"], random.randrange(3))),
            "custom_fields": {},
        }
        for n in range(PEOPLE)
    }
    for node in campaign.nodes.values():
        for port in (None, *ports_of(node.config)):
            people = _people(node.node_id, port)
            facts = BatchContext(NOW, attributes={k: {**v} for k, v in contexts.items()})
            batch = execute(group_by_position(people), {(CAMPAIGN, 1): campaign}, facts, NOW)
            passed = {node_id for t in batch.transitions for node_id in t.path}
            assert passed <= reachability(campaign, node.node_id, port).nodes


def test_needs_of_nodes_after_a_message_or_a_wait_are_not_loaded() -> None:
    campaign = graph(
        trigger("old"),
        score_at_least("old", 50, yes="mail", else_="pause"),
        email("mail", default="vip"),
        wait_hours("pause", 2, default="vip"),
        has_tag("vip", "vip", yes="end", else_="end"),
        end(),
    )
    start = reachability(campaign, "start", None)
    assert start.nodes == {"start", "old", "mail", "pause"}
    assert (start.needs.fields, start.needs.tags) == (frozenset({"ai_score"}), False)
    later = reachability(campaign, "mail", "default")
    assert later.nodes == {"vip", "end"}
    assert (later.needs.fields, later.needs.tags) == (frozenset(), True)
    assert reachability(campaign, "gone", None).nodes == frozenset()
