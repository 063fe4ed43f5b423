"""Read kind and send window of messages: those of a step override those of the campaign."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import ValidationError

from drip_pipeline.domain.definition.campaign_file import CampaignDefinition, StepDefinition
from drip_pipeline.domain.definition.problems import Problems, from_validation
from drip_pipeline.domain.definition.text_formats import JsonObject
from drip_pipeline.domain.graph.nodes import NodeConfig, sends_to_person
from drip_pipeline.domain.graph.windows import KINDS, MessageKind, SendWindow


class SendSettings(NamedTuple):
    """Kind and send window of a node's messages."""

    kind: MessageKind = "marketing"
    send_window: SendWindow | None = None


def read_message_settings(
    definition: CampaignDefinition,
    steps: Mapping[str, StepDefinition],
    configs: Mapping[str, NodeConfig],
    problems: Problems,
) -> dict[str, SendSettings]:
    """Return the settings of all nodes that send a message to a person, by node id."""
    of_campaign = SendSettings(
        definition.kind or "marketing", _window(definition.send_window, None, problems)
    )
    if definition.priority and (definition.cap_exempt or of_campaign.kind == "transactional"):
        problems.add(
            None,
            "priority_ignored",
            "priority has no effect on messages that frequency caps do not limit",
            "warning",
        )
    settings = {}
    for node_id, step in steps.items():
        config = configs.get(node_id)
        if config is not None and not sends_to_person(config):
            _report_misplaced(step, problems)
            continue
        if step.kind is not None and step.kind not in KINDS:
            # A database row is not read as strictly as a file.
            kinds = " or ".join(KINDS)
            problems.add(node_id, "kind_invalid", f"kind must be {kinds}, not {step.kind!r}")
        window = _window(step.send_window, node_id, problems)
        settings[node_id] = SendSettings(
            step.kind or of_campaign.kind,
            of_campaign.send_window if step.send_window is None else window,
        )
    return settings


def _report_misplaced(step: StepDefinition, problems: Problems) -> None:
    for key in ("kind", "send_window"):
        if getattr(step, key) is not None:
            problems.add(
                step.node_id,
                f"{key}_misplaced",
                f"{key} belongs to a step that sends an email or an SMS",
            )


def _window(raw: JsonObject | None, node_id: str | None, problems: Problems) -> SendWindow | None:
    if raw is None:
        return None
    try:
        window = SendWindow.model_validate(raw)
    except ValidationError as error:
        problems += from_validation(error, node_id=node_id, where="send_window", model=SendWindow)
        return None
    if window.otherwise == "skip" and window.max_delay is not None:
        problems.add(
            node_id,
            "max_delay_ignored",
            "send_window.max_delay has no effect with otherwise: skip",
            "warning",
        )
    return window
