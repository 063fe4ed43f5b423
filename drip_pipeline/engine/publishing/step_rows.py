"""Convert a completed definition to rows of campaign_steps, and its canvas to the stored form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drip_pipeline.db.publishing.publish import StoredStep
from drip_pipeline.domain.compiler.api import CampaignDefinition, StepDefinition


def step_rows(
    definition: CampaignDefinition, kept_steps: Mapping[str, StoredStep] | None = None
) -> tuple[list[dict[str, object]], dict[str, str | None]]:
    """Return the rows, numbered in the order of the definition, and the parent split by node id.

    The flat email columns are filled too, because existing applications read them. With
    `kept_steps` (rows by node id) those steps keep their number and delay; other nodes have none.
    """
    positions = _positions(definition)
    percentages = _percentages(definition)
    rows = [
        _row(step, number, positions.get(step.node_id or ""))
        | {"variant_percentage": percentages.get(step.node_id or "")}
        for number, step in enumerate(definition.steps, start=1)
    ]
    if kept_steps is not None:
        for row, step in zip(rows, definition.steps, strict=True):
            kept = kept_steps.get(step.node_id or "")
            row |= {
                "step_number": kept.step_number if kept else None,
                "day_delay": kept.day_delay if kept else None,
            }
    parents = {
        step.node_id: step.parent_split_id for step in definition.steps if step.node_id is not None
    }
    return rows, parents


def canvas_with_step_ids(
    definition: CampaignDefinition, step_ids: Mapping[str, str]
) -> dict[str, Any]:
    """Return the canvas with `data.stepId` on every node, as the visual builder expects it."""
    canvas: dict[str, Any] = dict(definition.canvas_data or {})
    canvas["nodes"] = [
        {**node, "data": {**(node.get("data") or {}), "stepId": step_ids[node["id"]]}}
        if node.get("id") in step_ids
        else node
        for node in canvas.get("nodes", [])
    ]
    canvas.setdefault("edges", [])
    canvas.setdefault("viewport", {"x": 0, "y": 0, "zoom": 1})
    return canvas


def _row(step: StepDefinition, number: int, position: object) -> dict[str, object]:
    email = (step.channel_config or {}).get("email") or {}
    return {
        "node_id": step.node_id,
        "node_type": step.node_type,
        "step_number": number,
        "step_name": step.step_name or step.node_id,
        "subject_line": email.get("subject"),
        "preheader_text": email.get("preheader"),
        "email_body": email.get("body"),
        "email_body_html": email.get("body_html"),
        "node_position": position,
        "channel_id": step.channel_id,
        "channel_config": step.channel_config,
        "variant_group": step.variant_group,
        "conditional_branches": step.conditional_branches,
        "wait_config": step.wait_config,
        "action_config": step.action_config,
        "node_config": _node_config(step),
        "cta": step.cta,
        "conditional_logic": step.conditional_logic,
    }


def _percentages(definition: CampaignDefinition) -> dict[str, object]:
    """Return the percentage of the variant of each step inside a split, by node id.

    The definition has them at the split or in ab_test_config; applications read the column.
    """
    splits = {step.node_id: step for step in definition.steps if step.node_type == "split"}
    tested = _by_variant((definition.ab_test_config or {}).get("variants"))
    only = next(iter(splits)) if len(splits) == 1 else None
    percentages: dict[str, object] = {}
    for step in definition.steps:
        split = splits.get(step.parent_split_id or only)
        if step.variant_group is None or split is None:
            continue
        own = _by_variant(split.variants).get(step.variant_group)
        percentages[step.node_id or ""] = own if own is not None else tested.get(step.variant_group)
    return percentages


def _by_variant(variants: object) -> dict[str, object]:
    if not isinstance(variants, list):
        return {}
    return {
        str(entry.get("id")): entry.get("percentage")
        for entry in variants
        if isinstance(entry, Mapping)
    }


def _node_config(step: StepDefinition) -> dict[str, object] | None:
    if step.node_type == "trigger":
        return step.trigger_config
    if step.node_type == "exit":
        return step.exit_config
    keys = ("variants", "assignment") if step.node_type == "split" else ("kind", "send_window")
    own = {key: getattr(step, key) for key in keys}
    return {key: value for key, value in own.items() if value is not None} or None


def _positions(definition: CampaignDefinition) -> dict[str, object]:
    nodes = (definition.canvas_data or {}).get("nodes") or []
    return {node["id"]: node.get("position") for node in nodes if isinstance(node, dict)}
