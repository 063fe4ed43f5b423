"""All findings about a definition at once."""

from __future__ import annotations

from drip_pipeline.domain.campaign_file import CampaignDefinition
from drip_pipeline.domain.draft import take_apart
from drip_pipeline.domain.graph import NodeType
from drip_pipeline.domain.nodes import channel_of
from drip_pipeline.domain.problems import Problem


def validate(
    definition: CampaignDefinition,
    *,
    known_custom_fields: frozenset[str],
    available_channels: frozenset[str],
) -> list[Problem]:
    """Every problem, errors and warnings."""
    draft = take_apart(definition)
    problems = list(draft.problems)
    triggers = draft.of_type(NodeType.TRIGGER)
    if len(triggers) != 1:
        problems.append(Problem(None, "trigger_count", f"{len(triggers)} triggers; one is needed"))
    for node_id, config in draft.configs.items():
        channel = channel_of(config)
        if channel is not None and channel not in available_channels:
            problems.append(Problem(node_id, "channel_missing", f"no channel {channel}"))
    return problems
