"""Create the canvas of a plain sequence: a file with steps and no canvas.

Trigger first, exit last, a wait before every step with a `day_delay`. Node ids are stable: they are
derived from the step's uuid or name, never from its position in the list.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

from drip_pipeline.domain.definition.campaign_file import StepDefinition
from drip_pipeline.domain.definition.problems import Problem, Problems
from drip_pipeline.domain.definition.text_formats import JsonObject

DEFAULT_VIEWPORT: Final[Mapping[str, int]] = {"x": 0, "y": 0, "zoom": 1}
_MAX_ID_LENGTH: Final = 190  # of 200, so that a number can be appended
# The steps after a wait until a date are only for contacts whose date comes.
_PORTS: Final[Mapping[str, Sequence[str]]] = {"until_condition": ("met", "timeout")}
_X_STEP: Final = 200
_Y: Final = 100


class _NodeIds:
    """Unique node ids."""

    def __init__(self, taken: Sequence[str]) -> None:
        self._taken = set(taken)

    def take(self, base: str) -> str:
        base = base[:_MAX_ID_LENGTH]
        name, count = base, 1
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name)
        return name


def slug(text: str) -> str:
    """Return ASCII letters (in lower case) and digits of `text`, joined by underscores."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")[:60]


def with_node_ids(steps: Sequence[StepDefinition]) -> list[StepDefinition]:
    """Return the steps with node ids: their own, `node_<uuid>`, or derived from name or type."""
    ids = _NodeIds([step.node_id for step in steps if step.node_id])
    identified = []
    for step in steps:
        if step.node_id is None:
            kind = step.node_type or "step"
            base = f"node_{step.id}" if step.id else slug(step.step_name or "") or kind
            step = step.model_copy(update={"node_id": ids.take(base)})
        identified.append(step)
    return identified


def in_sequence(
    steps: Sequence[StepDefinition],
    existing_nodes: Mapping[str, Mapping[str, object]],
    viewport: object,
    problems: Problems,
) -> tuple[list[StepDefinition], JsonObject]:
    """Return the completed steps and their canvas.

    `existing_nodes` are nodes of a canvas without edges; they keep their positions and other data.
    """
    ordered = _each_once(with_node_ids(steps), problems)
    _check_order(ordered, problems)
    ids = _NodeIds([step.node_id or "" for step in ordered])
    complete: list[StepDefinition] = []
    for step in ordered:
        if step.day_delay:
            complete.append(_wait_before(step, ids))
        name = step.step_name or step.node_id
        complete.append(step.model_copy(update={"day_delay": None, "step_name": name}))
    if not any(step.node_type == "trigger" for step in complete):
        complete.insert(0, _new_step("trigger", ids.take("trigger"), "Start"))
    if complete[-1].node_type != "exit":
        complete.append(_new_step("exit", ids.take("exit"), "End"))
    return complete, {
        "nodes": [
            _node(step, index, existing_nodes.get(step.node_id or ""))
            for index, step in enumerate(complete)
        ],
        "edges": _edges(complete),
        "viewport": viewport if isinstance(viewport, dict) and viewport else dict(DEFAULT_VIEWPORT),
    }


def _each_once(steps: Sequence[StepDefinition], problems: Problems) -> list[StepDefinition]:
    by_id: dict[str | None, StepDefinition] = {}
    for step in steps:
        by_id.setdefault(step.node_id, step)
    problems += [
        Problem(step.node_id, "step_duplicate", f"two steps belong to node {step.node_id}")
        for step in steps
        if by_id[step.node_id] is not step
    ]
    return list(by_id.values())


def _new_step(node_type: str, node_id: str, name: str) -> StepDefinition:
    return StepDefinition(node_id=node_id, node_type=node_type, step_name=name)


def _wait_before(step: StepDefinition, names: _NodeIds) -> StepDefinition:
    days = step.day_delay or 0
    count = int(days) if float(days).is_integer() else days
    return StepDefinition(
        node_id=names.take(f"wait_before_{step.id or step.node_id}"),
        node_type="wait",
        step_name=f"Wait {count} day{'' if count == 1 else 's'}",
        wait_config={"type": "duration", "value": count, "unit": "days"},
    )


def _check_order(steps: Sequence[StepDefinition], problems: Problems) -> None:
    for index, step in enumerate(steps):
        if step.node_type == "trigger" and index > 0:
            problems.add(step.node_id, "sequence_order", "the trigger must be the first step")
        if step.node_type == "exit" and index < len(steps) - 1:
            problems.add(step.node_id, "sequence_order", "the exit must be the last step")
        if step.node_type in ("condition", "split"):
            problems.add(
                step.node_id,
                "canvas_required",
                f"a campaign with a {step.node_type} needs canvas_data: steps without a"
                " canvas are a plain sequence",
            )


def _node(step: StepDefinition, index: int, existing: Mapping[str, object] | None) -> JsonObject:
    if existing is not None:
        return dict(existing)
    position = step.node_position or {"x": index * _X_STEP, "y": _Y}
    return {
        "id": step.node_id,
        "type": step.node_type,
        "position": position,
        "data": {"label": step.step_name or step.node_id},
    }


def _edges(steps: Sequence[StepDefinition]) -> list[JsonObject]:
    edges: list[JsonObject] = []
    for step, after in itertools.pairwise(steps):
        base = {"source": step.node_id, "target": after.node_id, "type": "default"}
        config = step.wait_config or {}
        ports = _wait_ports(config) if step.node_type == "wait" else []
        if ports:
            edges += [
                {"id": f"edge_{step.node_id}_{port}", **base, "sourceHandle": port}
                for port in ports
            ]
        else:
            edges.append({"id": f"edge_{step.node_id}", **base})
    return edges


def _wait_ports(config: Mapping[str, object]) -> list[str]:
    """Return the ports of a wait with several; none for other waits."""
    if (ports := _PORTS.get(str(config.get("type")))) is not None:
        return list(ports)
    events = config.get("events")
    if isinstance(events, list):
        ids = [event.get("id") for event in events if isinstance(event, Mapping)]
        return [*(str(name).strip() for name in ids if name), "timeout"]
    return ["event", "timeout"] if config.get("event_type") is not None else []
