"""Find the nodes that a state can reach in one batch, and the data that these nodes read.

Nodes behind a wait, a message or a delayed edge belong to a later batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drip_pipeline.domain.conditions.conditions import Needs, needs_of, needs_of_names
from drip_pipeline.domain.graph.graph import CampaignGraph, GraphNode
from drip_pipeline.domain.graph.local_times import depends_on_contact
from drip_pipeline.domain.graph.nodes import (
    ConditionConfig,
    ConditionWait,
    DateWait,
    DurationWait,
    EventWait,
    SplitConfig,
    TimeWait,
    channel_of,
)
from drip_pipeline.domain.graph.template_texts import values_need


@dataclass(frozen=True, slots=True)
class Reachability:
    """The reachable nodes, and the data that their conditions, splits and waits and the exit rules
    of the campaign read.

    `reads_zones`: a wait ends at a time in the contact's time zone.
    `waits_for`: event types of waits that ask for nothing else; `needs` has those of the others.
    `follows`: a wait follows the contact; `follows_events`: and one of these reads events.
    """

    nodes: frozenset[str]
    needs: Needs
    waits_for: frozenset[str]
    has_split: bool
    reads_zones: bool
    follows: bool = False
    follows_events: bool = False


def reachability(graph: CampaignGraph, node_id: str, resume_port: str | None) -> Reachability:
    """Return what is reachable from entering a node, or from leaving it through `resume_port`.

    Nothing is reachable from a node that the graph does not have.
    """
    visited: set[str] = set()
    node = graph.nodes.get(node_id)
    if node is None:
        todo = []
    elif resume_port is None:
        todo = [node_id]
    else:
        todo = _targets(node, (resume_port,))
    while todo:
        current = todo.pop()
        if current not in visited:
            visited.add(current)
            if not _ends_batch(graph.nodes[current]):
                todo += _targets(graph.nodes[current], graph.nodes[current].ports)
    return _with_needs(graph, frozenset(visited))


def needs_of_graph(graph: CampaignGraph) -> Needs:
    """Return what the nodes of a graph read, all of them together."""
    reach = _with_needs(graph, frozenset(graph.nodes))
    return reach.needs | Needs(event_types=reach.waits_for)


def _targets(node: GraphNode, ports: Iterable[str]) -> list[str]:
    edges = [node.ports[port] for port in ports if port in node.ports]
    return [edge.target for edge in edges if not edge.delay_seconds]


def _ends_batch(node: GraphNode) -> bool:
    # A wait for an event does not end the batch, because the event may have happened already; nor
    # does one that follows the contact, because its date may be past or its condition hold.
    if isinstance(node.config, DurationWait):
        return node.config.seconds > 0
    return isinstance(node.config, TimeWait) or channel_of(node.config) is not None


def _with_needs(graph: CampaignGraph, nodes: frozenset[str]) -> Reachability:
    needs = graph.exit_needs()
    waits_for: set[str] = set()
    has_split = reads_zones = follows = follows_events = False
    for node_id in nodes:
        config = graph.nodes[node_id].config
        if isinstance(config, SplitConfig):
            has_split = True
            if config.from_field:
                needs |= needs_of_names((config.from_field,))
        elif isinstance(config, ConditionConfig):
            for branch in config.branches:
                if branch.condition is not None:
                    needs |= needs_of(branch.condition)
        elif isinstance(config, EventWait):
            if graph.judges_events(config):
                for _, matcher in config.matchers():
                    needs |= matcher.needs()
            else:
                waits_for |= set(config.event_types)
        elif isinstance(config, DateWait | ConditionWait):
            follows = True
            follows_events |= bool(config.needs().named_events)
            needs |= config.needs()
        elif isinstance(config, DurationWait | TimeWait):
            reads_zones |= depends_on_contact(config.timezone)
        else:
            needs |= values_need(config)
    return Reachability(
        nodes, needs, frozenset(waits_for), has_split, reads_zones, follows, follows_events
    )
