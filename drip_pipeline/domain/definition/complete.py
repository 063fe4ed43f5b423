"""Complete a definition: one step for every canvas node, one canvas for every list of steps.

Afterwards steps and canvas are bound by node id alone, uuids of a database are removed, and every
configuration is in the specification's key. Contradictions are added to `reading_problems`.
Completing is idempotent.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from drip_pipeline.domain.definition.campaign_file import (
    NODE_TYPES,
    CampaignDefinition,
    StepDefinition,
)
from drip_pipeline.domain.definition.canvas import (
    Canvas,
    CanvasNode,
    has_edges,
    has_nodes,
    raw_edges,
    read_canvas,
)
from drip_pipeline.domain.definition.linear_canvas import DEFAULT_VIEWPORT, in_sequence
from drip_pipeline.domain.definition.normalize_steps import (
    CONFIG_KEYS,
    has_config,
    inline_config,
    normalize_step,
)
from drip_pipeline.domain.definition.problems import (
    Problems,
    did_you_mean,
    from_validation,
    shorten,
    without_repeats,
)
from drip_pipeline.domain.definition.split_columns import with_variants_from_columns
from drip_pipeline.domain.definition.text_formats import JsonObject


def complete(definition: CampaignDefinition, *, canvas_wins: bool = False) -> CampaignDefinition:
    """Return the definition with everything explicit.

    `canvas_wins`: if a canvas node has its own configuration (`data.config`) that differs from its
    step's, use the canvas's (an edit in the visual builder) instead of reporting a contradiction.
    """
    problems = Problems(definition.reading_problems)
    steps = [normalize_step(step, problems) for step in definition.steps]
    raw = definition.canvas_data
    canvas, canvas_problems = read_canvas(raw)
    problems += canvas_problems
    steps = _bound(steps, canvas, problems)
    canvas_data: JsonObject | None
    if has_nodes(raw) and not _is_unconnected_sequence(definition):
        assert raw is not None
        steps = _one_per_node(steps, canvas, problems, canvas_wins=canvas_wins)
        canvas_data = _bound_canvas(raw, canvas, steps)
    elif steps:
        nodes = {node.node_id: node.raw for node in canvas.nodes}
        steps, generated = in_sequence(steps, nodes, (raw or {}).get("viewport"), problems)
        for node_id in nodes.keys() - {step.node_id for step in steps}:
            problems.add(node_id, "node_without_step", "the canvas node has no step")
        canvas_data = {**(raw or {}), **generated}
        canvas_data = _bound_canvas(canvas_data, read_canvas(canvas_data)[0], steps)
    else:
        problems.add(
            None, "steps_missing", "the campaign has neither steps nor a canvas with nodes"
        )
        canvas_data = None
    id_to_node = {step.id: step.node_id for step in steps if step.id and step.node_id}
    steps = [_with_node_references(step, id_to_node, problems) for step in steps]
    ab_test_config = _test_with_node_references(definition.ab_test_config, id_to_node)
    steps = with_variants_from_columns(steps, ab_test_config, problems)
    return definition.model_copy(
        update={
            # The id has been resolved; the canvas node has the position.
            "steps": tuple(
                step.model_copy(update={"id": None, "node_position": None}) for step in steps
            ),
            "canvas_data": canvas_data,
            "ab_test_config": ab_test_config,
            "reading_problems": without_repeats(problems),
        }
    )


def _is_unconnected_sequence(definition: CampaignDefinition) -> bool:
    """Return whether a data migration created the canvas: nodes, but the text '[]' as edges.

    An empty list of edges means something else: a user deleted them.
    """
    raw = definition.canvas_data or {}
    return (
        definition.campaign_type == "linear"
        and isinstance(raw.get("edges"), str)
        and not has_edges(raw)
        and bool(definition.steps)
    )


def _bound(steps: list[StepDefinition], canvas: Canvas, problems: Problems) -> list[StepDefinition]:
    """Return the steps with the node ids of the canvas nodes that they are bound to."""
    on_canvas = set(canvas.node_ids())
    node_of_step_id = {
        node.step_id: node.node_id for node in reversed(canvas.nodes) if node.step_id is not None
    }
    bound = []
    for step in steps:
        node_id = step.node_id
        canvas_node = node_of_step_id.get(step.id) if step.id else None
        if node_id is None and step.id is not None:
            guess = f"node_{step.id}"
            node_id = canvas_node or (guess if guess in on_canvas else None)
        elif canvas_node is not None and canvas_node != node_id and node_id in on_canvas:
            problems.add(
                node_id,
                "binding_conflict",
                f"step {step.id} names node {node_id}, but canvas node {canvas_node} names it",
            )
        bound.append(step.model_copy(update={"node_id": node_id}))
    return bound


def _one_per_node(
    steps: list[StepDefinition],
    canvas: Canvas,
    problems: Problems,
    *,
    canvas_wins: bool,
) -> list[StepDefinition]:
    """Return one step per canvas node, in the canvas's order, with types and inline configs."""
    by_node: dict[str, StepDefinition] = {}
    on_canvas = set(canvas.node_ids())
    for index, step in enumerate(steps):
        node_id = step.node_id
        if node_id is None:
            problems.add(
                None,
                "step_unbound",
                f"step {step.step_name or index + 1} belongs to no canvas node: give it the"
                " node_id of one",
            )
        elif node_id not in on_canvas:
            problems.add(
                node_id,
                "step_without_node",
                f"step {node_id} is not on the canvas{did_you_mean(node_id, on_canvas)}",
            )
        elif node_id in by_node:
            problems.add(node_id, "step_duplicate", f"two steps belong to node {node_id}")
        else:
            by_node[node_id] = step
    completed: dict[str, StepDefinition] = {}
    for node in canvas.nodes:
        if node.node_id in completed:
            problems.add(node.node_id, "node_duplicate", f"two nodes have the id {node.node_id}")
            continue
        step = by_node.get(node.node_id) or StepDefinition(node_id=node.node_id)
        step = _typed(step, node, problems)
        step = _with_inline_config(step, node, problems, canvas_wins=canvas_wins)
        _check_day_delay(step, canvas, by_node, problems)
        completed[node.node_id] = step.model_copy(
            update={
                "step_name": step.step_name or node.label or node.node_id,
                "day_delay": None,
            }
        )
    return list(completed.values())


def _typed(step: StepDefinition, node: CanvasNode, problems: Problems) -> StepDefinition:
    canvas_type = node.node_type.lower() if node.node_type else None
    if canvas_type is not None and step.node_type is not None and canvas_type != step.node_type:
        if canvas_type in NODE_TYPES and step.node_type in NODE_TYPES:
            problems.add(
                node.node_id,
                "type_conflict",
                f"the type is {canvas_type} on the canvas and {step.node_type} in the step",
            )
        elif step.node_type in NODE_TYPES:
            problems.add(
                node.node_id,
                "node_type_unknown",
                f"the canvas has type {shorten(canvas_type)}, which is not a node type"
                f"{did_you_mean(canvas_type, NODE_TYPES)}",
            )
    if step.node_type is None and canvas_type is not None:
        # Normalize again, because the result depends on the type.
        return normalize_step(step.model_copy(update={"node_type": canvas_type}), problems)
    return step


def _with_inline_config(
    step: StepDefinition, node: CanvasNode, problems: Problems, *, canvas_wins: bool
) -> StepDefinition:
    fields = inline_config(step.node_type, node.config) if node.config else {}
    if not fields:
        return step
    try:
        inline = StepDefinition.model_validate({"node_type": step.node_type, **fields})
    except ValidationError as error:
        problems += from_validation(
            error, node_id=node.node_id, where="data.config", model=StepDefinition
        )
        return step
    inline = normalize_step(inline, problems)
    same = all(getattr(inline, key) == getattr(step, key) for key in CONFIG_KEYS)
    if same:
        return step
    if has_config(step) and not canvas_wins:
        problems.add(
            node.node_id,
            "config_conflict",
            "the canvas node has a configuration (data.config) that differs from its"
            " step's; change both or remove the one on the canvas",
        )
        return step
    update = {key: getattr(inline, key) for key in CONFIG_KEYS}
    return step.model_copy(update=update | {"node_type": step.node_type or inline.node_type})


def _check_day_delay(
    step: StepDefinition,
    canvas: Canvas,
    by_node: Mapping[str, StepDefinition],
    problems: Problems,
) -> None:
    """Warn about a `day_delay` on a canvas without a wait before the step: it has no effect."""
    if not step.day_delay:
        return
    types = {node.node_id: (node.node_type or "").lower() for node in canvas.nodes}
    types |= {name: other.node_type or types.get(name, "") for name, other in by_node.items()}
    before = [types.get(edge.source) for edge in canvas.edges if edge.target == step.node_id]
    if "wait" not in before:
        problems.add(
            step.node_id,
            "day_delay_ignored",
            f"day_delay {step.day_delay:g} has no effect on a canvas: add a wait before it",
            "warning",
        )


def _bound_canvas(
    raw: Mapping[str, object], canvas: Canvas, steps: list[StepDefinition]
) -> JsonObject:
    """Return the canvas with lists of nodes and edges, with node types, without uuids of steps."""
    types = {step.node_id: step.node_type for step in steps}
    nodes: list[JsonObject] = []
    for node in canvas.nodes:
        copy = dict(node.raw)
        copy["id"] = node.node_id
        if node.node_type is None and types.get(node.node_id):
            copy["type"] = types[node.node_id]
        data = copy.get("data") or {}
        if isinstance(data, Mapping):
            data = {key: value for key, value in data.items() if key != "stepId"}
        copy["data"] = data
        nodes.append(copy)
    return {
        **raw,
        "nodes": nodes,
        "edges": raw_edges(raw),
        "viewport": raw.get("viewport") or dict(DEFAULT_VIEWPORT),
    }


def _with_node_references(
    step: StepDefinition, node_of: Mapping[str, str], problems: Problems
) -> StepDefinition:
    """Return the step with targets and parents as node ids instead of step uuids."""

    def retargeted(entry: object) -> object:
        if not isinstance(entry, dict):
            return entry
        copy = {k: v for k, v in entry.items() if k not in ("target_node_id", "target_step_id")}
        named = {
            node_of.get(str(entry[key]), str(entry[key]))
            for key in ("target_node_id", "target_step_id")
            if entry.get(key)
        }
        if len(named) > 1:
            problems.add(
                step.node_id,
                "target_conflict",
                f"{entry.get('id')}: target_node_id and target_step_id name different nodes"
                f" ({', '.join(sorted(named))})",
            )
        if named:
            copy["target_node_id"] = sorted(named)[0]
        return copy

    update: JsonObject = {}
    for key in ("conditional_branches", "variants"):
        entries = getattr(step, key)
        if isinstance(entries, list):
            update[key] = [retargeted(entry) for entry in entries]
    if step.parent_split_id is not None:
        update["parent_split_id"] = node_of.get(step.parent_split_id, step.parent_split_id)
    return step.model_copy(update=update)


def _test_with_node_references(
    config: JsonObject | None, node_of: Mapping[str, str]
) -> JsonObject | None:
    if config is None or not isinstance(config.get("variants"), list):
        return config
    variants = [
        {**entry, "step_ids": [node_of.get(str(name), name) for name in entry["step_ids"]]}
        if isinstance(entry, dict) and isinstance(entry.get("step_ids"), list)
        else entry
        for entry in config["variants"]
    ]
    return {**config, "variants": variants}
