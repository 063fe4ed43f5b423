"""Compile a definition into the immutable graph; compute the hashes of definitions and graphs.

Deterministic: the same definition gives the same graph and the same hashes on every machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256

from drip_pipeline.domain.compiler.analysis import Analysis, analyze
from drip_pipeline.domain.compiler.check_structure import structure_problems
from drip_pipeline.domain.compiler.sending_rules import SendSettings
from drip_pipeline.domain.compiler.variant_regions import variant_of_node
from drip_pipeline.domain.definition.campaign_file import CampaignDefinition
from drip_pipeline.domain.definition.complete import complete
from drip_pipeline.domain.definition.problems import errors_in
from drip_pipeline.domain.graph.graph import CampaignGraph, GraphNode, NodeType
from drip_pipeline.domain.graph.volume import DEFAULT_PAUSE, VolumeGuards
from drip_pipeline.errors import DefinitionInvalid


def compile_graph(definition: CampaignDefinition, step_ids: Mapping[str, str]) -> CampaignGraph:
    """Compile a definition; `step_ids` maps node ids to uuids of campaign_steps rows.

    Raises DefinitionInvalid with every error of the structure and the configurations. `validate`
    checks texts and channels, which do not change the graph.
    """
    analysis = analyze(definition)
    errors = errors_in([*analysis.problems, *structure_problems(analysis)])
    if errors:
        raise DefinitionInvalid(errors, name=definition.name)
    return _graph(analysis, step_ids)


def definition_hash(definition: CampaignDefinition) -> str:
    """Return a hash of the whole file: texts, settings, canvas positions.

    It does not depend on the file's formatting, on its workspace, or on whether the canvas and the
    waits were written or completed.
    """
    file = complete(definition).to_dict()
    file.pop("workspace", None)
    return _hash(file)


def graph_hash(definition: CampaignDefinition) -> str:
    """Return a hash of what affects execution: the graph with its texts, the test, the time zone.

    Names, descriptions and positions do not count. Raises DefinitionInvalid like `compile_graph`.
    """
    graph = compile_graph(definition, {}).to_dict()
    for node in graph["nodes"]:
        del node["step_name"]
    file = complete(definition).to_dict()
    settings = {
        key: file.get(key) for key in ("timezone", "resume_spread_minutes", "ab_test_config")
    }
    return _hash({"graph": graph, "settings": settings})


def _graph(analysis: Analysis, step_ids: Mapping[str, str]) -> CampaignGraph:
    (entry,) = analysis.of_type(NodeType.TRIGGER)
    nodes = {
        node_id: GraphNode(
            node_id=node_id,
            node_type=NodeType(step.node_type or ""),
            step_name=step.step_name or node_id,
            step_id=step_ids.get(node_id),
            config=analysis.configs[node_id],
            ports=dict(analysis.ports[node_id]),
            channel_id=step.channel_id,
            **analysis.message_settings.get(node_id, SendSettings())._asdict(),
        )
        for node_id, step in analysis.steps.items()
    }
    file = analysis.definition
    guards = VolumeGuards(
        file.per_day,
        file.max_people,
        DEFAULT_PAUSE if file.pause_when is None else file.pause_when,
    )
    return CampaignGraph(
        entry,
        nodes,
        variant_of_node(entry, analysis),
        file.goal_event,
        file.topic,
        guards,
        exits_at_goal=ends_at_goal(file),
        priority=file.priority or 0,
        cap_exempt=bool(file.cap_exempt),
        exits=analysis.exits,
        utm=file.utm,
    )


def ends_at_goal(definition: CampaignDefinition) -> bool:
    """Return whether the goal of a campaign ends runs: the default where a goal is given."""
    return definition.goal_event is not None and definition.exit_on_goal is not False


def _hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return sha256(text.encode()).hexdigest()
