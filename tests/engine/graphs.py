"""Small graphs for tests that need no definition file."""

from __future__ import annotations

from typing import Any

from drip_pipeline.domain.conditions.event_matcher import GoalEvent
from drip_pipeline.domain.conditions.fields import Duration
from drip_pipeline.domain.graph.graph import CampaignGraph, Edge, GraphNode, NodeType
from drip_pipeline.domain.graph.nodes import (
    ConditionConfig,
    DurationWait,
    EmailConfig,
    EventWait,
    ExitConfig,
    NodeConfig,
    SplitConfig,
    TagAction,
    TriggerConfig,
)


def node(node_id: str, node_type: str, config: NodeConfig, /, **ports: str | Edge) -> GraphNode:
    """A node with ports given as `port="target"`; write `else` as `else_`."""
    edges = {
        port.rstrip("_"): edge if isinstance(edge, Edge) else Edge(edge)
        for port, edge in ports.items()
    }
    return GraphNode(node_id, NodeType(node_type), node_id, None, config, edges)


def graph(
    *nodes: GraphNode, variant_of_node: Any = None, goal: GoalEvent | None = None
) -> CampaignGraph:
    """A graph whose entry is the first node."""
    by_id = {n.node_id: n for n in nodes}
    return CampaignGraph(nodes[0].node_id, by_id, variant_of_node or {}, goal)


def goal(event_type: str, hours: float) -> GoalEvent:
    """A goal: an event within some hours after a message."""
    return GoalEvent(event_type=event_type, within=Duration(value=hours, unit="hours"))


def trigger(to: str) -> GraphNode:
    """The node `start`."""
    return node("start", "trigger", TriggerConfig(), default=to)


def email(node_id: str, **ports: str) -> GraphNode:
    """An email node."""
    config = EmailConfig(subject="Hello {{ first_name }}", body="Dear {{ name }} of {{ company }}")
    return node(node_id, "email", config, **ports)


def wait_hours(node_id: str, hours: float, **ports: str) -> GraphNode:
    """A wait of some hours."""
    return node(node_id, "wait", DurationWait(value=hours, unit="hours"), **ports)


def wait_for(node_id: str, event_type: str, **ports: str) -> GraphNode:
    """A wait of at most two days for an event."""
    max_wait: Any = {"value": 2, "unit": "days"}
    return node(node_id, "wait", EventWait(event_type=event_type, max_wait=max_wait), **ports)


def score_at_least(node_id: str, score: int, **ports: str) -> GraphNode:
    """A condition with the branches `yes` and `else`."""
    condition: Any = {"type": "score", "operator": ">=", "value": score}
    branches: Any = [{"id": "yes", "condition": condition}, {"id": "else"}]
    return node(node_id, "condition", ConditionConfig(branches=branches), **ports)


def has_tag(node_id: str, tag: str, **ports: str) -> GraphNode:
    """A condition with the branches `yes` and `else`."""
    condition: Any = {"type": "tag", "operator": "contains", "value": tag}
    branches: Any = [{"id": "yes", "condition": condition}, {"id": "else"}]
    return node(node_id, "condition", ConditionConfig(branches=branches), **ports)


def has_happened(node_id: str, event_type: str, **ports: str) -> GraphNode:
    """A condition with the branches `yes` and `else`."""
    condition: Any = {"type": "event", "event_type": event_type}
    branches: Any = [{"id": "yes", "condition": condition}, {"id": "else"}]
    return node(node_id, "condition", ConditionConfig(branches=branches), **ports)


def add_tag(node_id: str, tag: str, **ports: str) -> GraphNode:
    """An action."""
    return node(node_id, "action", TagAction(add=(tag,)), **ports)


def split(node_id: str, weights: dict[str, float], /, **ports: str) -> GraphNode:
    """A split by weights."""
    variants: Any = [
        {"id": name, "percentage": share, "holdout": name == "holdout"}
        for name, share in weights.items()
    ]
    return node(node_id, "split", SplitConfig(variants=variants), **ports)


def end(node_id: str = "end") -> GraphNode:
    """A completed exit."""
    return node(node_id, "exit", ExitConfig())
