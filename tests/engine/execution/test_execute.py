"""Executing a batch: where states go, without a database."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.domain.graph.graph import CampaignGraph, Edge
from drip_pipeline.domain.identity import delivery_id
from drip_pipeline.engine.execution.batch_context import BatchContext
from drip_pipeline.engine.execution.execute import MAX_NODES_PER_LIFE, execute
from drip_pipeline.engine.execution.operators import OPERATORS
from drip_pipeline.engine.execution.operators.protocol import Leave, NodeOutcome, NodeVisit
from drip_pipeline.engine.execution.transitions import (
    Batch,
    Transition,
    group_by_position,
)
from tests.engine.graphs import (
    add_tag,
    email,
    end,
    graph,
    has_tag,
    node,
    score_at_least,
    split,
    trigger,
    wait_for,
    wait_hours,
)

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
CAMPAIGN = UUID(int=7)


def person(number: int, at: str = "start", **fields: Any) -> DueState:
    """A due state whose contact has the same number."""
    given: dict[str, Any] = {
        "id": UUID(int=10_000 + number),
        "campaign_id": CAMPAIGN,
        "campaign_version": 1,
        "contact_id": UUID(int=number),
        "current_node_id": at,
        "resume_port": None,
        "retry_count": 0,
        "max_retries": 3,
        "steps_taken": 0,
        "enrollment_status": "active",
    }
    return DueState(**(given | fields))


def run(states: list[DueState], g: CampaignGraph, context: BatchContext | None = None) -> Batch:
    """Execute states of one campaign."""
    return execute(group_by_position(states), {(CAMPAIGN, 1): g}, context or BatchContext(NOW), NOW)


def attributes_of(**by_number: dict[str, Any]) -> BatchContext:
    """Attributes by the contact's number, written `p1={...}`."""
    attributes = {
        UUID(int=int(name[1:])): {"tags": frozenset(), "custom_fields": {}} | fields
        for name, fields in by_number.items()
    }
    return BatchContext(NOW, attributes=attributes)


def only(batch: Batch) -> Transition:
    """The one transition of a batch."""
    (transition,) = batch.transitions
    return transition


def test_instant_nodes_collapse_into_one_transition() -> None:
    g = graph(
        trigger("t"), add_tag("t", "new", default="w"), wait_hours("w", 0, default="end"), end()
    )
    done = only(run([person(n) for n in range(500)], g))
    assert done.status == "completed"
    assert done.path == ("start", "t", "w", "end")
    assert [note.event_type for note in done.events] == [
        "tag_added",
        "wait_completed",
        "enrollment_completed",
    ]
    assert len(done.states) == 500


def test_a_condition_after_an_action_reads_the_changed_contact() -> None:
    g = graph(
        trigger("t"),
        add_tag("t", "vip", default="c"),
        has_tag("c", "vip", yes="w", else_="end"),
        wait_hours("w", 5, default="end"),
        end(),
    )
    done = only(run([person(1)], g, attributes_of(p1={})))
    assert (done.node_id, done.due_at) == ("w", NOW + timedelta(hours=5))


def test_a_group_is_split_only_by_a_condition() -> None:
    g = graph(
        trigger("c"),
        score_at_least("c", 50, yes="w", else_="end"),
        wait_hours("w", 1, default="end"),
        end(),
    )
    context = attributes_of(p1={"ai_score": 80}, p2={"ai_score": 10}, p3={"ai_score": None})
    batch = run([person(1), person(2), person(3)], g, context)
    where = {p.id.int - 10_000: t.node_id for t in batch.transitions for p in t.states}
    assert where == {1: "w", 2: "end", 3: "end"}


def test_a_message_parks_the_state_under_a_repeatable_delivery_id() -> None:
    g = graph(trigger("m"), email("m", default="end"), end())
    states = [person(n) for n in range(3)]
    first, again = only(run(states, g)), only(run(states, g))
    assert first.status == "waiting"
    assert first.due_at is None
    assert first.delivery_ids == again.delivery_ids
    assert first.delivery_ids == [delivery_id(p.id, "m", 1) for p in states]


def test_a_loop_sends_its_second_message_under_another_id() -> None:
    g = graph(trigger("m"), email("m", default="w"), wait_hours("w", 1, default="m"))
    once = only(run([person(1)], g))
    later = only(run([person(1, "w", resume_port="default", steps_taken=3)], g))
    assert once.delivery_ids is not None
    assert later.delivery_ids is not None
    assert once.delivery_ids[0] != later.delivery_ids[0]


def test_each_state_of_a_mixed_batch_has_exactly_one_result() -> None:
    g = graph(
        trigger("s"),
        split("s", {"a": 40, "b": 35, "holdout": 25}, a="c", b="m"),
        score_at_least("c", 50, yes="m", else_="end"),
        email("m", default="end"),
        end(),
    )
    statuses = ["active", "active", "active", "paused", "unsubscribed", "completed", "bounced"]
    states = [person(n, enrollment_status=statuses[n % 7]) for n in range(700)]
    context = attributes_of(**{f"p{n}": {"ai_score": n % 100} for n in range(700)})
    batch = run(states, g, context)
    ended = Counter(p.id for t in batch.transitions for p in t.states)
    ended.update(p.id for p in batch.paused)
    assert ended == Counter(p.id for p in states)
    assert batch.size() == 700


def test_a_contact_gets_the_same_variant_and_the_weights_are_met() -> None:
    g = graph(trigger("s"), split("s", {"a": 90, "b": 10}, a="end", b="end"), end())
    states = [person(n) for n in range(20_000)]

    def variants(batch: Batch) -> dict[UUID, str]:
        return {p.id: t.assignments[0].variant_group for t in batch.transitions for p in t.states}

    first = variants(run(states, g))
    assert first == variants(run(states[::-1], g))
    share = sum(variant == "b" for variant in first.values()) / len(states)
    assert 0.094 < share < 0.106  # 2.8 standard errors


def test_a_holdout_without_an_edge_exits_as_holdout() -> None:
    g = graph(trigger("s"), split("s", {"a": 0, "holdout": 100}, a="end"), end())
    done = only(run([person(1)], g))
    assert (done.status, done.exit_reason) == ("exited", "holdout")
    assert done.assignments[0].is_holdout


def test_a_field_without_a_valid_variant_fails_that_state() -> None:
    config: Any = {
        "variants": [{"id": "a", "percentage": 50}, {"id": "b", "percentage": 50}],
        "from_field": "arm",
    }
    from drip_pipeline.domain.graph.nodes import SplitConfig

    g = graph(trigger("s"), node("s", "split", SplitConfig(**config), a="end", b="end"), end())
    batch = run([person(1), person(2)], g, attributes_of(p1={"arm": " A "}, p2={"arm": "z"}))
    by_number = {p.id.int - 10_000: t for t in batch.transitions for p in t.states}
    assert by_number[1].status == "completed"
    assert by_number[2].status == "running"
    assert "'arm'" in (by_number[2].error or "")


def test_a_wait_for_an_event_counts_events_since_the_message() -> None:
    g = graph(
        trigger("w"),
        wait_for("w", "purchase", event="end", timeout="late"),
        end(),
        end("late"),
    )
    sent_at = NOW - timedelta(hours=1)
    context = BatchContext(
        NOW,
        events={
            person(1).id: {"purchase": NOW - timedelta(minutes=5)},
            person(2).id: {"purchase": NOW - timedelta(days=3)},
        },
        since={person(n).id: sent_at for n in (1, 2, 3)},
    )
    batch = run([person(n) for n in (1, 2, 3)], g, context)
    where = {p.id.int - 10_000: (t.status, t.node_id) for t in batch.transitions for p in t.states}
    assert where == {1: ("completed", "end"), 2: ("waiting", "w"), 3: ("waiting", "w")}


def test_a_finished_wait_leaves_by_its_resume_port() -> None:
    g = graph(
        trigger("w"),
        wait_for("w", "email_opened", event="end", timeout="late"),
        end(),
        end("late"),
    )
    resumed = only(run([person(1, "w", resume_port="event")], g))
    late = only(run([person(1, "w", resume_port="timeout")], g))
    assert (resumed.path, late.path) == (("end",), ("late",))
    assert late.events[0].data == {"port": "timeout"}


def test_an_edge_with_a_delay_parks_before_its_target() -> None:
    g = graph(
        node("start", "trigger", trigger("x").config, default=Edge("m", 3_600)),
        email("m", default="end"),
        end(),
    )
    done = only(run([person(1)], g))
    assert (done.node_id, done.due_at, done.path) == ("m", NOW + timedelta(hours=1), ("start",))


def test_a_node_without_an_outgoing_edge_completes() -> None:
    done = only(run([person(1, "t")], graph(add_tag("t", "x"))))
    assert done.status == "completed"


def test_an_error_of_an_operator_stops_only_the_state_it_concerns() -> None:
    def breaks_on_three(visit: NodeVisit) -> list[NodeOutcome]:
        if any(p.contact_id.int == 3 for p in visit.states):
            raise RuntimeError("secret@example.com")
        return [NodeOutcome(visit.states, Leave("default"))]

    operators = dict(OPERATORS)
    operators[graph(add_tag("t", "x")).nodes["t"].node_type] = breaks_on_three
    batch = execute(
        group_by_position([person(n, "t") for n in range(9)]),
        {(CAMPAIGN, 1): graph(add_tag("t", "x", default="end"), end())},
        BatchContext(NOW),
        NOW,
        operators,
    )
    stopped = [t for t in batch.transitions if t.error]
    assert [p.contact_id.int for t in stopped for p in t.states] == [3]
    assert "example.com" not in (stopped[0].error or "")
    assert sum(len(t.states) for t in batch.transitions if t.status == "completed") == 8


def test_the_last_retry_fails_and_earlier_ones_are_scheduled_again() -> None:
    g = graph(trigger("gone"))
    again, last = person(1, "gone", retry_count=1), person(2, "gone", retry_count=3)
    by_number = {p.contact_id.int: t for t in run([again, last], g).transitions for p in t.states}
    assert by_number[1].due_at is not None
    assert by_number[1].due_at > NOW
    assert by_number[1].retry_count == 2
    assert (by_number[2].status, by_number[2].events[-1].event_type) == (
        "failed",
        "enrollment_failed",
    )


def test_an_endless_loop_is_stopped() -> None:
    g = graph(trigger("w"), wait_hours("w", 1, default="w"))
    done = only(run([person(1, "w", steps_taken=MAX_NODES_PER_LIFE)], g))
    assert done.status == "failed"
    assert "loops" in (done.error or "")
