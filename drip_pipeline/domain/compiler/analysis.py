"""Analyze a definition: configurations, ports, the A/B test, and all problems of reading them.

Validation and compilation both start from this analysis, so that they agree on what a file means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drip_pipeline.domain.compiler.exit_rules import read_exits
from drip_pipeline.domain.compiler.node_configs import read_config
from drip_pipeline.domain.compiler.ports import assign_ports, targets_of
from drip_pipeline.domain.compiler.sending_rules import SendSettings, read_message_settings
from drip_pipeline.domain.compiler.shared_templates import read_templates
from drip_pipeline.domain.compiler.splits import read_splits, tested_split
from drip_pipeline.domain.definition.ab_test import ABTestConfig, read_ab_test
from drip_pipeline.domain.definition.campaign_file import CampaignDefinition, StepDefinition
from drip_pipeline.domain.definition.canvas import Canvas, read_canvas
from drip_pipeline.domain.definition.complete import complete
from drip_pipeline.domain.definition.problems import Problem, Problems, without_repeats
from drip_pipeline.domain.definition.split_columns import steps_of_split
from drip_pipeline.domain.graph.exits import ExitRule
from drip_pipeline.domain.graph.graph import Edge, NodeType
from drip_pipeline.domain.graph.nodes import NodeConfig, TriggerConfig


@dataclass(frozen=True, slots=True)
class Analysis:
    """The readable parts of a definition.

    `steps`, `configs` and `ports` are keyed by node id, in the order of the canvas. A node with an
    unreadable configuration has no entry in `configs` and `ports`; `successors` has its edges.
    """

    definition: CampaignDefinition
    canvas: Canvas
    steps: Mapping[str, StepDefinition]
    configs: Mapping[str, NodeConfig]
    ports: Mapping[str, Mapping[str, Edge]]
    successors: Mapping[str, tuple[str, ...]]
    experiment: ABTestConfig | None
    tested_split_id: str | None
    message_settings: Mapping[str, SendSettings]
    exits: tuple[ExitRule, ...]
    problems: tuple[Problem, ...]

    def of_type(self, node_type: NodeType) -> list[str]:
        """Return the ids of the nodes of this type, in order."""
        return [node_id for node_id, step in self.steps.items() if step.node_type == node_type]


def analyze(definition: CampaignDefinition) -> Analysis:
    """Complete a definition and analyze it. Never raises; `problems` lists what is wrong."""
    completed = complete(definition)
    problems = Problems(completed.reading_problems)
    canvas, _ = read_canvas(completed.canvas_data)  # its problems are among the reading problems
    steps = {step.node_id: step for step in completed.steps if step.node_id is not None}
    experiment, test_problems = read_ab_test(
        completed.ab_test_config, goal_metric=completed.goal_metric
    )
    problems += test_problems
    configs: dict[str, NodeConfig] = {}
    templates = read_templates(completed, problems)
    split_configs = read_splits(list(steps.values()), experiment, problems)
    for node_id, step in steps.items():
        config = split_configs.get(node_id) or read_config(step, problems)
        if isinstance(config, TriggerConfig):
            config = _with_campaign_policy(node_id, config, step, completed, problems)
        if config is not None:
            configs[node_id] = templates.applied(node_id, config, problems)
    tested = tested_split([s for s in steps.values() if s.node_type == "split"], experiment)
    targets = {
        node_id: targets_of(step, _members(step, steps, experiment if step is tested else None))
        for node_id, step in steps.items()
    }
    ports = assign_ports(canvas, configs, targets, problems)
    message_settings = read_message_settings(completed, steps, configs, problems)
    exits = read_exits(completed.exits, problems)
    return Analysis(
        definition=completed,
        canvas=canvas,
        steps=steps,
        configs=configs,
        ports=ports,
        successors=_successors(canvas, steps, ports),
        experiment=experiment,
        tested_split_id=tested.node_id if tested is not None else None,
        message_settings=message_settings,
        exits=exits,
        problems=without_repeats(problems),
    )


def _with_campaign_policy(
    node_id: str,
    config: TriggerConfig,
    step: StepDefinition,
    definition: CampaignDefinition,
    problems: Problems,
) -> TriggerConfig:
    """Return the trigger with the campaign's re_entry and timezone, which both may set."""
    update: dict[str, object] = {}
    fields = step.trigger_config or {}
    if definition.re_entry is not None:
        if "re_entry" in fields and config.re_entry != definition.re_entry:
            problems.add(
                node_id,
                "re_entry_conflict",
                "the trigger's re_entry differs from the campaign's; keep one",
            )
        update["re_entry"] = definition.re_entry
    if config.trigger == "schedule" and config.timezone is None:
        update["timezone"] = definition.timezone
    return config.model_copy(update=update) if update else config


def _members(
    split: StepDefinition,
    steps: Mapping[str, StepDefinition],
    experiment: ABTestConfig | None,
) -> dict[str, str]:
    """Return node id → variant id by the test's `step_ids`, else by the steps' variant_group."""
    members: dict[str, str] = {}
    if split.node_type != "split" or split.node_id is None:
        return members
    for variant in experiment.variants if experiment is not None else ():
        for node_id in variant.step_ids:
            members.setdefault(node_id, variant.id)
    for step in steps_of_split(list(steps.values()), split.node_id):
        if step.node_id is not None and step.variant_group is not None:
            members.setdefault(step.node_id, step.variant_group)
    return members


def _successors(
    canvas: Canvas,
    steps: Mapping[str, StepDefinition],
    ports: Mapping[str, Mapping[str, Edge]],
) -> dict[str, tuple[str, ...]]:
    successors: dict[str, tuple[str, ...]] = {}
    for node_id in steps:
        if node_id in ports:
            after = [edge.target for edge in ports[node_id].values()]
        else:
            after = [
                edge.target
                for edge in canvas.edges
                if edge.source == node_id and edge.target in steps
            ]
        successors[node_id] = tuple(dict.fromkeys(after))
    return successors
