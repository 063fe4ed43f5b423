"""Assign canvas edges to the outgoing ports of their nodes.

Precedence: `sourceHandle`, the edge's type (`conditional-true`, `variant-a`), the targets in the
step, the edge's label, the order of the edges. Targets in steps must agree with the edges; a
contradiction is reported with both sides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from drip_pipeline.domain.definition.campaign_file import StepDefinition
from drip_pipeline.domain.definition.canvas import Canvas, CanvasEdge
from drip_pipeline.domain.definition.problems import (
    Problem,
    Problems,
    did_you_mean,
    from_validation,
    shorten,
)
from drip_pipeline.domain.graph.contact_waits import PORT_MET
from drip_pipeline.domain.graph.graph import (
    PORT_DEFAULT,
    PORT_EVENT,
    PORT_TIMEOUT,
    Edge,
    ports_of,
)
from drip_pipeline.domain.graph.nodes import (
    ConditionConfig,
    ConditionWait,
    Duration,
    EventWait,
    ExitConfig,
    NodeConfig,
    SplitConfig,
)

# Names that React Flow and its builders give to the only handle of a node: they select no port.
_PLAIN_HANDLES: Final = frozenset({"default", "source", "out", "output", "right", "bottom"})
_TRUE: Final = frozenset({"true", "yes", "conditional_true", "if", "match"})
_FALSE: Final = frozenset({"false", "no", "conditional_false", "else", "otherwise", "no_match"})
_PLAIN_TYPES: Final = frozenset(
    {"default", "straight", "step", "smoothstep", "simplebezier", "bezier", "custom"}
)


@dataclass(frozen=True, slots=True)
class NodeTargets:
    """The targets of one node according to the steps.

    `by_port`: port → target node in the step. `members`: node → port, for nodes that belong to a
    variant (variant_group, step_ids).
    """

    by_port: Mapping[str, str]
    members: Mapping[str, str]


def assign_ports(
    canvas: Canvas,
    configs: Mapping[str, NodeConfig],
    targets: Mapping[str, NodeTargets],
    problems: Problems,
) -> dict[str, dict[str, Edge]]:
    """Return node id → port → edge, for every node with a readable configuration."""
    node_ids = set(canvas.node_ids())
    outgoing: dict[str, list[CanvasEdge]] = {}
    for edge in canvas.edges:
        if _is_connected(edge, node_ids, problems):
            outgoing.setdefault(edge.source, []).append(edge)
    return {
        node_id: _ports(
            node_id,
            config,
            outgoing.get(node_id, []),
            targets.get(node_id, NodeTargets({}, {})),
            problems,
        )
        for node_id, config in configs.items()
    }


def targets_of(step: StepDefinition, members: Mapping[str, str] | None = None) -> NodeTargets:
    """Return the targets in `conditional_branches` and `variants` of a completed step."""
    named: dict[str, str] = {}
    for entry in [*(step.conditional_branches or ()), *(step.variants or ())]:
        if isinstance(entry, dict) and entry.get("id") is not None and entry.get("target_node_id"):
            named[str(entry["id"]).strip()] = str(entry["target_node_id"])
    return NodeTargets(named, members or {})


def _is_connected(edge: CanvasEdge, node_ids: set[str], problems: Problems) -> bool:
    is_connected = True
    for end, name in (("source", edge.source), ("target", edge.target)):
        if name not in node_ids:
            is_connected = False
            problems.add(
                edge.source if edge.source in node_ids else None,
                "edge_unknown_node",
                f"edge {edge.edge_id}: its {end} {shorten(name)} is not on the canvas"
                f"{did_you_mean(name, node_ids)}",
            )
    return is_connected


def _ports(
    node_id: str,
    config: NodeConfig,
    edges: Sequence[CanvasEdge],
    targets: NodeTargets,
    problems: Problems,
) -> dict[str, Edge]:
    if isinstance(config, ExitConfig):
        if edges:
            listed = ", ".join(edge.target for edge in edges)
            problems.add(
                node_id,
                "exit_with_edge",
                f"an exit has no outgoing edge, but edges lead to {listed}",
            )
        return {}
    ports = ports_of(config)
    chosen: dict[str, CanvasEdge] = {}
    if ports == (PORT_DEFAULT,):
        for edge in edges:
            _choose(node_id, PORT_DEFAULT, edge, chosen, problems)
    elif (
        isinstance(config, EventWait | ConditionWait)
        and len(edges) == 1
        and _is_plain(edges[0].handle)
    ):
        # The single edge of a wait is taken whether the wait ends by its time or before.
        port_of_type = _typed_port(edges[0], ports[0])
        for port in (port_of_type,) if port_of_type in ports else ports:
            chosen[port] = edges[0]
    else:
        _assign(node_id, config, ports, edges, targets, chosen, problems)
    _compare_with_named(node_id, config, chosen, targets.by_port, problems)
    connected = {}
    for port in ports:
        if port in chosen:
            delay_seconds = _delay_seconds(node_id, chosen[port], problems)
            connected[port] = Edge(chosen[port].target, delay_seconds)
    return connected


def _assign(
    node_id: str,
    config: NodeConfig,
    ports: Sequence[str],
    edges: Sequence[CanvasEdge],
    targets: NodeTargets,
    chosen: dict[str, CanvasEdge],
    problems: Problems,
) -> None:
    """Assign a port to every edge: the strongest sign first for all edges, then the next sign."""
    by_target = {target: port for port, target in reversed(list(targets.by_port.items()))}
    signs: list[Callable[[CanvasEdge], str | None]] = [
        lambda edge: _by_handle(edge, config, ports),
        lambda edge: _by_type(edge, config, ports),
        lambda edge: _unless_taken(by_target.get(edge.target), chosen),
        lambda edge: _unless_taken(targets.members.get(edge.target), chosen),
        lambda edge: _by_label(edge, config, ports, chosen),
    ]
    unassigned = list(edges)
    for sign in signs:
        undecided = []
        for edge in unassigned:
            port = sign(edge)
            if port is None or port not in ports:
                undecided.append(edge)
            else:
                _choose(node_id, port, edge, chosen, problems)
        unassigned = undecided
    for edge in unassigned:
        if not _is_plain(edge.handle):
            listed = ", ".join(ports)
            problems.add(
                node_id,
                "edge_handle_unknown",
                f"edge {edge.edge_id} to {edge.target} has handle {shorten(edge.handle)}, but"
                f" the outgoing ports are {listed}{did_you_mean(edge.handle, ports)}",
            )
            continue
        free = next((port for port in ports if port not in chosen), None)
        if free is None:
            problems.add(
                node_id,
                "edge_surplus",
                f"edge {edge.edge_id} to {edge.target} has no port left: the node's outgoing"
                f" ports are {', '.join(ports)}",
            )
        else:
            chosen[free] = edge


def _choose(
    node_id: str,
    port: str,
    edge: CanvasEdge,
    chosen: dict[str, CanvasEdge],
    problems: Problems,
) -> None:
    other = chosen.setdefault(port, edge)
    if other is edge:
        return
    if other.target == edge.target and other.delay == edge.delay:
        return  # the same edge twice
    which = "the node" if port == PORT_DEFAULT else f"port {port}"
    problems.add(
        node_id,
        "port_twice",
        f"two edges leave {which}, to {other.target} and to {edge.target}; only one is possible",
    )


# --- signs of a port --------------------------------------------------------------------------


def _normalized(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


def _is_plain(handle: str | None) -> bool:
    return handle is None or _normalized(handle) in _PLAIN_HANDLES


def _match(name: str, ports: Sequence[str]) -> str | None:
    """Return the port of this name; case, spaces and dashes may differ."""
    if name in ports:
        return name
    near = [port for port in ports if _normalized(port) == _normalized(name)]
    return near[0] if len(near) == 1 else None


def _by_handle(edge: CanvasEdge, config: NodeConfig, ports: Sequence[str]) -> str | None:
    if edge.handle is None:
        return None
    return _match(edge.handle, ports) or _true_or_false(edge.handle, config)


def _by_type(edge: CanvasEdge, config: NodeConfig, ports: Sequence[str]) -> str | None:
    if edge.edge_type is None or edge.edge_type in _PLAIN_TYPES or not _is_plain(edge.handle):
        return None
    exact = _match(edge.edge_type, ports) or _true_or_false(edge.edge_type, config)
    if exact is not None:
        return exact
    lettered = re.fullmatch(r"variant_([a-z])", _normalized(edge.edge_type))
    if isinstance(config, SplitConfig) and lettered:
        index = ord(lettered[1]) - ord("a")
        return ports[index] if index < len(ports) else None
    return None


def _true_or_false(name: str, config: NodeConfig) -> str | None:
    cleaned = _normalized(name)
    if isinstance(config, ConditionConfig):
        conditional = [b.id for b in config.branches if b.condition is not None]
        otherwise = [b.id for b in config.branches if b.condition is None]
        if cleaned in _TRUE and len(conditional) == 1:
            return conditional[0]
        if cleaned in _FALSE and len(otherwise) == 1:
            return otherwise[0]
    if isinstance(config, EventWait | ConditionWait):
        met = PORT_EVENT if isinstance(config, EventWait) else PORT_MET
        return met if cleaned in _TRUE else PORT_TIMEOUT if cleaned in _FALSE else None
    return None


def _typed_port(edge: CanvasEdge, first: str) -> str | None:
    """Return the port that the type of the edge names: `first`, or that of the timeout."""
    if edge.edge_type is None:
        return None
    cleaned = _normalized(edge.edge_type)
    if cleaned in _TRUE or cleaned in (PORT_EVENT, PORT_MET):
        return PORT_EVENT if cleaned == PORT_EVENT else first
    return PORT_TIMEOUT if cleaned in (PORT_TIMEOUT, *_FALSE) else None


def _by_label(
    edge: CanvasEdge, config: NodeConfig, ports: Sequence[str], chosen: Mapping[str, object]
) -> str | None:
    """Return the port by the edge's label: the name of a branch or a variant."""
    if edge.label is None or not _is_plain(edge.handle):
        return None
    names = {port: port for port in ports}
    if isinstance(config, ConditionConfig):
        names |= {branch.label: branch.id for branch in config.branches if branch.label}
    if isinstance(config, SplitConfig):
        names |= {variant.name: variant.id for variant in config.variants if variant.name}
    name = _match(edge.label, list(names))
    return _unless_taken(names.get(name) if name else None, chosen)


def _unless_taken(port: str | None, chosen: Mapping[str, object]) -> str | None:
    return None if port in chosen else port


# --- contradictions ---------------------------------------------------------------------------


def _compare_with_named(
    node_id: str,
    config: NodeConfig,
    chosen: Mapping[str, CanvasEdge],
    named: Mapping[str, str],
    problems: Problems,
) -> None:
    kind = "variant" if isinstance(config, SplitConfig) else "branch"
    for port, target in named.items():
        edge = chosen.get(port)
        if edge is None:
            problems.add(
                node_id,
                "edge_missing",
                f"{kind} {port} names {target} as its target, but the canvas has no edge for it",
            )
        elif edge.target != target:
            problems.add(
                node_id,
                "target_conflict",
                f"{kind} {port} names {target} as its target, but on the canvas edge"
                f" {edge.edge_id} leads to {edge.target}",
            )


def _delay_seconds(node_id: str, edge: CanvasEdge, problems: Problems) -> int:
    if edge.delay is None:
        return 0
    try:
        return Duration.model_validate(edge.delay).seconds
    except ValidationError as error:
        problems += [
            Problem(node_id, "edge_delay", problem.message)
            for problem in from_validation(
                error,
                node_id=node_id,
                where=f"edge {edge.edge_id}: data.delay",
                model=Duration,
            )
        ]
        return 0
