from __future__ import annotations

import itertools
from typing import Any

import pytest

from drip_pipeline.domain.definition.problems import errors_in
from tests.domain.campaign_files import (
    File,
    branching,
    codes,
    edge,
    email_step,
    problems,
    step,
    wait_step,
    with_canvas,
)

STRUCTURE = [
    (lambda f: step(f, "start").update(node_type="exit"), None, "trigger_missing"),
    (lambda f: step(f, "end").update(node_type="trigger"), "end", "trigger_twice"),
    (lambda f: edge(f, "news", "end").update(target="start"), "start", "trigger_has_input"),
    (lambda f: f.update(campaign_type="linear"), "rich", "linear_with_branch"),
    (lambda f: f.update(campaign_type="ab_test"), None, "split_missing"),
    (lambda f: edge(f, "start", "rich").update(target="end"), "offer", "unreachable"),
    (lambda f: edge(f, "offer", "end").update(target="rich"), "offer", "cycle_without_wait"),
    (lambda f: edge(f, "offer", "end").update(target="offer"), "offer", "cycle_without_wait"),
    (
        lambda f: edge(f, "offer", "end").update(source="end", target="news"),
        "end",
        "exit_with_edge",
    ),
    (lambda f: f["canvas_data"]["edges"].pop(), "news", "dead_end"),
    (
        lambda f: f["canvas_data"]["edges"].append(
            {"id": "x", "source": "offer", "target": "news", "sourceHandle": "b"}
        ),
        "offer",
        "port_twice",
    ),
]


@pytest.mark.parametrize(("change", "node_id", "code"), STRUCTURE)
def test_a_structural_problem_has_its_code(change: Any, node_id: str | None, code: str) -> None:
    file = branching()
    change(file)
    for node in file["canvas_data"]["nodes"]:
        node["type"] = step(file, node["id"])["node_type"]
    assert (node_id, code) in codes(file)


def cycle(**delay: Any) -> File:
    """Return a file that sends an email repeatedly: trigger → m → w → m."""
    return with_canvas(
        "branching",
        {
            "start": {"node_type": "trigger"},
            "m": email_step(),
            "w": wait_step(0),
            "n": email_step(),
        },
        [("start", "m"), ("m", "w"), ("w", "n"), ("n", "m", delay)],
    )


def test_a_cycle_needs_a_wait_longer_than_zero() -> None:
    (result,) = [p for p in problems(cycle()) if p.code == "cycle_without_wait"]
    assert "m → w → n → m" in result.message
    file = cycle()
    step(file, "w")["wait_config"]["value"] = 1
    assert errors_in(problems(file)) == []
    assert ("m", "endless") in codes(file)


def test_a_delay_on_an_edge_counts_as_a_wait() -> None:
    file = cycle(data={"delay": {"value": 1, "unit": "days"}})
    assert errors_in(problems(file)) == []


def test_two_cycles_are_two_problems() -> None:
    file = branching()
    edge(file, "offer", "end").update(target="rich")
    edge(file, "news", "end").update(target="rich")
    result = [p for p in problems(file) if p.code == "cycle_without_wait"]
    assert len(result) == 2


def test_a_long_chain_of_nodes_is_valid() -> None:
    names = [f"n{index}" for index in range(1500)]
    nodes: dict[str, File] = {"start": {"node_type": "trigger"}}
    nodes |= {name: email_step() for name in names}
    ways = [("start", "n0"), *itertools.pairwise(names)]
    assert codes(with_canvas("linear", nodes, ways)) == {("n1499", "dead_end")}
