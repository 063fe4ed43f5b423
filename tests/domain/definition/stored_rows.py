"""Rows of drip_campaigns and campaign_steps as the database returns them after publishing."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from drip_pipeline.domain.compiler.api import CampaignDefinition, complete

SETTINGS = ("re_entry", "timezone", "resume_spread_minutes", "goal_event", "workspace")


def rows_of(definition: CampaignDefinition) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the campaign's row and its steps' rows, with the columns that applications read."""
    whole = complete(definition)
    values = whole.to_dict()
    ids = {step.node_id: str(uuid5(NAMESPACE_URL, step.node_id or "")) for step in whole.steps}
    canvas = json.loads(json.dumps(values["canvas_data"]))
    for node in canvas["nodes"]:
        node["data"]["stepId"] = ids[node["id"]]
    positions = {node["id"]: node.get("position") for node in canvas["nodes"]}
    campaign: dict[str, Any] = {
        "id": uuid5(NAMESPACE_URL, "campaign"),
        "status": "active",
        "version": 3,
        "description": None,
        "goal": None,
        "goal_metric": None,
        "metrics": {},
        "tags": [],
        "ab_test_config": None,
    }
    campaign |= {
        key: values[key] for key in values if key not in (*SETTINGS, "steps", "canvas_data")
    }
    if whole.goal_target is not None:
        campaign["goal_target"] = Decimal(str(whole.goal_target))
    campaign["drip_settings"] = {key: values[key] for key in SETTINGS if key in values}
    campaign["canvas_data"] = canvas
    steps = []
    for number, step in enumerate(whole.steps, 1):
        email = (step.channel_config or {}).get("email") or {}
        split = {"variants": step.variants, "assignment": step.assignment}
        extra: Any = {
            "trigger": step.trigger_config,
            "exit": step.exit_config,
            "split": {key: value for key, value in split.items() if value is not None} or None,
        }.get(step.node_type or "")
        parent = ids.get(step.parent_split_id, step.parent_split_id)
        steps.append(
            {
                "id": ids[step.node_id],
                "campaign_id": campaign["id"],
                "step_number": number,
                "node_id": step.node_id,
                "node_type": step.node_type,
                "step_name": step.step_name,
                "day_delay": 0,
                "subject_line": email.get("subject"),
                "preheader_text": email.get("preheader"),
                "email_body": email.get("body"),
                "email_body_html": email.get("body_html"),
                "cta": step.cta,
                "conditional_logic": step.conditional_logic,
                "metrics": {},
                "node_position": positions.get(step.node_id or ""),
                "channel_id": step.channel_id,
                "channel_config": step.channel_config,
                "wait_config": step.wait_config,
                "action_config": step.action_config,
                "conditional_branches": step.conditional_branches,
                "node_config": extra,
                "variant_group": step.variant_group,
                "variant_percentage": None,
                "parent_split_id": parent,
            }
        )
    return campaign, list(reversed(steps))
