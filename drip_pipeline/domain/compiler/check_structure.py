"""Check the graph: one entry, all nodes reachable, all ports connected, no cycle without a wait.

check_templates.py checks the texts.
"""

from __future__ import annotations

from typing import Final

from drip_pipeline.domain.compiler.analysis import Analysis
from drip_pipeline.domain.compiler.check_ab_test import ab_test_problems
from drip_pipeline.domain.compiler.ports import targets_of
from drip_pipeline.domain.definition.problems import Problem, Problems
from drip_pipeline.domain.graph.contact_waits import PORT_MET, PORT_MISSING, PORT_ON_DATE, PORT_PAST
from drip_pipeline.domain.graph.graph import PORT_EVENT, PORT_TIMEOUT, NodeType, ports_of
from drip_pipeline.domain.graph.nodes import (
    ConditionConfig,
    ConditionWait,
    DateWait,
    DurationWait,
    EventWait,
    NodeConfig,
    SplitConfig,
    TimeWait,
)
from drip_pipeline.domain.graph.traversal import cycles, reachable, reversed_edges

_WITH_PORTS: Final = (DateWait, EventWait, ConditionWait)
_PORT_NAMES: Final = {
    PORT_EVENT: "the event",
    PORT_TIMEOUT: "the timeout",
    PORT_ON_DATE: "the date",
    PORT_PAST: "a past date",
    PORT_MISSING: "a missing date",
    PORT_MET: "the condition",
}


def structure_problems(analysis: Analysis) -> list[Problem]:
    """Return the structural problems of the graph."""
    if not analysis.steps:
        return []  # the missing steps are among the reading problems
    return [
        *_entry_problems(analysis),
        *_type_problems(analysis),
        *_open_ports(analysis),
        *_unreachable(analysis),
        *_cycles_without_wait(analysis),
        *_cycles_without_exit(analysis),
        *ab_test_problems(analysis),
    ]


def _entry_problems(analysis: Analysis) -> list[Problem]:
    triggers = analysis.of_type(NodeType.TRIGGER)
    problems = Problems()
    if not triggers:
        problems.add(
            None, "trigger_missing", "the campaign has no trigger node: no contact can enter"
        )
    elif len(triggers) > 1:
        problems += [
            Problem(
                node_id,
                "trigger_twice",
                f"a campaign has one trigger; this one has {len(triggers)} ({', '.join(triggers)})",
            )
            for node_id in triggers[1:]
        ]
    for source, targets in analysis.successors.items():
        problems += [
            Problem(
                target,
                "trigger_has_input",
                f"an edge leads from {source} to the trigger, which cannot have an incoming edge",
            )
            for target in targets
            if target in triggers
        ]
    return problems


def _type_problems(analysis: Analysis) -> list[Problem]:
    if analysis.definition.campaign_type != "linear":
        return []
    return [
        Problem(
            node_id,
            "linear_with_branch",
            f"a linear campaign has no {node_type.value} node; set campaign_type to"
            f" {'ab_test' if node_type is NodeType.SPLIT else 'branching'}",
        )
        for node_type in (NodeType.CONDITION, NodeType.SPLIT)
        for node_id in analysis.of_type(node_type)
    ]


def _open_ports(analysis: Analysis) -> list[Problem]:
    """Return problems of outgoing ports without an edge."""
    problems = Problems()
    for node_id, config in analysis.configs.items():
        ports = analysis.ports[node_id]
        open_ports = [port for port in ports_of(config) if port not in ports]
        if not open_ports:
            continue
        named = targets_of(analysis.steps[node_id]).by_port
        if isinstance(config, ConditionConfig):
            problems += [
                Problem(
                    node_id,
                    "branch_without_target",
                    f"branch {port} has no target: add an edge with sourceHandle {port}",
                )
                for port in open_ports
                if port not in named  # the missing edge has been reported
            ]
        elif isinstance(config, SplitConfig):
            held_out = {variant.id for variant in config.variants if variant.holdout}
            problems += [
                Problem(
                    node_id,
                    "variant_without_target",
                    f"variant {port} has no target: add an edge with sourceHandle {port}",
                )
                for port in open_ports
                if port not in named and port not in held_out
            ]
        elif isinstance(config, _WITH_PORTS) and len(open_ports) < len(ports_of(config)):
            problems.add(
                node_id,
                "port_open",
                f"nothing follows {' and '.join(map(_describe_port, open_ports))}: these contacts"
                " complete the campaign here",
                "warning",
            )
        else:
            problems.add(
                node_id,
                "dead_end",
                "nothing follows this node: contacts complete the campaign here",
                "warning",
            )
    return problems


def _describe_port(port: str) -> str:
    return _PORT_NAMES.get(port, f"the event {port}")


def _unreachable(analysis: Analysis) -> list[Problem]:
    triggers = analysis.of_type(NodeType.TRIGGER)
    if not triggers:
        return []
    reached = reachable(triggers, analysis.successors)
    return [
        Problem(node_id, "unreachable", "the node is unreachable from the trigger")
        for node_id in analysis.steps
        if node_id not in reached
    ]


def _cycles_without_wait(analysis: Analysis) -> list[Problem]:
    """Return cycles without a wait: they would send messages, or occupy the engine, endlessly."""
    instant: dict[str, list[str]] = {}
    for node_id in analysis.steps:
        config = analysis.configs.get(node_id)
        if config is not None and _takes_time(config):
            instant[node_id] = []
        elif isinstance(config, DateWait | ConditionWait) and node_id in analysis.ports:
            # Left at once if the date is past or missing, or if the condition holds.
            instant[node_id] = [
                edge.target
                for port, edge in analysis.ports[node_id].items()
                if not edge.delay_seconds and not _takes_time_to(config, port)
            ]
        elif node_id in analysis.ports:
            instant[node_id] = [
                edge.target for edge in analysis.ports[node_id].values() if not edge.delay_seconds
            ]
        else:
            instant[node_id] = list(analysis.successors[node_id])
    return [
        Problem(
            cycle[0],
            "cycle_without_wait",
            f"the cycle {' → '.join([*cycle, cycle[0]])} has no wait",
        )
        for cycle in cycles(instant)
    ]


def _takes_time(config: NodeConfig) -> bool:
    if isinstance(config, DurationWait):
        return config.seconds > 0
    if isinstance(config, TimeWait):
        return True
    return isinstance(config, EventWait) and config.max_wait_seconds > 0


def _takes_time_to(config: DateWait | ConditionWait, port: str) -> bool:
    if isinstance(config, DateWait):
        return port == PORT_ON_DATE
    return port == PORT_TIMEOUT and config.max_wait_seconds > 0


def _cycles_without_exit(analysis: Analysis) -> list[Problem]:
    """Return warnings for cycles that contacts never leave."""
    ends = [
        node_id
        for node_id, config in analysis.configs.items()
        if config.type == "exit"
        or any(port not in analysis.ports[node_id] for port in ports_of(config))
    ]
    unreadable = [node_id for node_id in analysis.steps if node_id not in analysis.configs]
    leads_out = reachable([*ends, *unreadable], reversed_edges(analysis.successors))
    entered = reachable(analysis.of_type(NodeType.TRIGGER), analysis.successors)
    trapped = entered - leads_out
    inside = {
        node_id: [after for after in analysis.successors[node_id] if after in trapped]
        for node_id in analysis.steps
        if node_id in trapped
    }
    return [
        Problem(
            cycle[0],
            "endless",
            f"no edge leaves the cycle {' → '.join([*cycle, cycle[0]])}: contacts repeat it until"
            " they unsubscribe or the campaign is archived",
            "warning",
        )
        for cycle in cycles(inside)
    ]
