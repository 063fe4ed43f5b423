"""Small valid campaign files of each type, and the problems of a file."""

from __future__ import annotations

import copy
from typing import Any

from drip_pipeline.domain.compiler.api import load_definition, validate
from drip_pipeline.domain.definition.problems import Problem

File = dict[str, Any]

CUSTOM_FIELDS = frozenset({"plan"})
CHANNELS = frozenset({"email", "sms", "social", "webhook"})
FOOT = "\n\nNo more: {{ unsubscribe_url }}"


def mail(subject: str = "Hello {{ first_name }}", body: str = "Text") -> File:
    return {"email": {"subject": subject, "body": body + FOOT}}


def linear(*steps: File) -> File:
    """Return a sequence of these steps, by default one email."""
    steps = steps or ({"node_id": "hello", "node_type": "email", "channel_config": mail()},)
    return {"name": "Onboarding", "campaign_type": "linear", "steps": list(steps)}


def with_canvas(campaign_type: str, nodes: dict[str, File], edges: list[tuple[Any, ...]]) -> File:
    """Return a file with a canvas: node id → step; edges as (source, target, handle or keys)."""
    return {
        "name": "With canvas",
        "campaign_type": campaign_type,
        "canvas_data": {
            "nodes": [
                {"id": name, "type": step["node_type"], "position": {"x": 0, "y": 0}, "data": {}}
                for name, step in nodes.items()
            ],
            "edges": [_edge(index, *edge) for index, edge in enumerate(edges)],
            "viewport": {"x": 0, "y": 0, "zoom": 1},
        },
        "steps": [{"node_id": name, **step} for name, step in nodes.items()],
    }


def _edge(index: int, source: str, target: str, more: Any = None) -> File:
    extra = {"sourceHandle": more} if isinstance(more, str) else more or {}
    return {"id": f"e{index}", "source": source, "target": target, **extra}


def email_step() -> File:
    return {"node_type": "email", "channel_config": mail()}


def wait_step(value: float = 1, unit: str = "days") -> File:
    return {"node_type": "wait", "wait_config": {"type": "duration", "value": value, "unit": unit}}


def branching() -> File:
    """Return a file with trigger, condition on the score, an email per branch, one exit."""
    rich = {"type": "score", "operator": ">=", "value": 60}
    return with_canvas(
        "branching",
        {
            "start": {"node_type": "trigger"},
            "rich": {
                "node_type": "condition",
                "conditional_branches": [
                    {"id": "yes", "condition": rich, "target_node_id": "offer"},
                    {"id": "no", "target_node_id": "news"},
                ],
            },
            "offer": email_step(),
            "news": email_step(),
            "end": {"node_type": "exit"},
        },
        [
            ("start", "rich"),
            ("rich", "offer", "yes"),
            ("rich", "news", "no"),
            ("offer", "end"),
            ("news", "end"),
        ],
    )


def ab_test() -> File:
    """Return a file with trigger, split, an email per variant, one exit."""
    file = with_canvas(
        "ab_test",
        {
            "start": {"node_type": "trigger"},
            "arms": {"node_type": "split"},
            "short": email_step(),
            "long": email_step(),
            "end": {"node_type": "exit"},
        },
        [
            ("start", "arms"),
            ("arms", "short", "a"),
            ("arms", "long", "b"),
            ("short", "end"),
            ("long", "end"),
        ],
    )
    return file | {
        "ab_test_config": {
            "enabled": True,
            "winner_metric": "click_rate",
            "variants": [
                {"id": "a", "name": "Short", "percentage": 50, "step_ids": ["short"]},
                {"id": "b", "name": "Long", "percentage": 50, "step_ids": ["long"]},
            ],
        }
    }


def step(file: File, node_id: str) -> File:
    """Return the step of a node, to be changed."""
    match: File = next(step for step in file["steps"] if step.get("node_id") == node_id)
    return match


def edge(file: File, source: str, target: str) -> File:
    """Return an edge of the canvas, to be changed."""
    match: File = next(
        edge
        for edge in file["canvas_data"]["edges"]
        if (edge["source"], edge["target"]) == (source, target)
    )
    return match


def problems(file: File, **options: frozenset[str]) -> list[Problem]:
    before = copy.deepcopy(file)
    reported = validate(
        load_definition(file),
        known_custom_fields=options.get("known_custom_fields", CUSTOM_FIELDS),
        available_channels=options.get("available_channels", CHANNELS),
        own_event_names=options.get("own_event_names", frozenset()),
    )
    assert file == before  # loading and validating change nothing
    return reported


def codes(file: File, **options: frozenset[str]) -> set[tuple[str | None, str]]:
    """Return (node, code) of every problem."""
    return {(problem.node_id, problem.code) for problem in problems(file, **options)}
