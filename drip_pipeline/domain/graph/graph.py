"""The compiled, immutable graph of one campaign version: what the engine reads, and nothing else.

JSON in and out, since it is stored with the version. How a graph comes about (canvas, steps,
checks) is the business of definition.py, validate.py and compile.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Self

from pydantic import TypeAdapter

from drip_pipeline.domain.graph.fields import GoalEvent
from drip_pipeline.domain.graph.nodes import (
    ConditionConfig,
    EventWait,
    NodeConfig,
    SplitConfig,
    TriggerConfig,
)

PORT_DEFAULT: Final = "default"
PORT_EVENT: Final = "event"
PORT_TIMEOUT: Final = "timeout"

GRAPH_FORMAT: Final = 1
"""Raised when stored graphs of earlier releases need translating on the way in."""

_CONFIG: Final[TypeAdapter[NodeConfig]] = TypeAdapter(NodeConfig)


class NodeType(StrEnum):
    """The specification's seven node types."""

    TRIGGER = "trigger"
    EMAIL = "email"
    WAIT = "wait"
    CONDITION = "condition"
    SPLIT = "split"
    ACTION = "action"
    EXIT = "exit"


@dataclass(frozen=True, slots=True)
class Edge:
    """Where a port leads, and how long the way takes."""

    target: str
    delay_seconds: int = 0


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A node with its checked configuration and its ways out.

    A port that is missing in `ports` leads nowhere: the person completes there (a held-out one
    exits with the reason `holdout`). `step_id` is the uuid of the campaign_steps row, `channel_id`
    that of the campaign_channels row when the step names one (otherwise the workspace's default).
    """

    node_id: str
    node_type: NodeType
    step_name: str
    step_id: str | None
    config: NodeConfig
    ports: Mapping[str, Edge]
    channel_id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The node as JSON; `from_dict` reads it back equal."""
        ports: dict[str, dict[str, Any]] = {
            port: {"target": edge.target}
            | ({"delay_seconds": edge.delay_seconds} if edge.delay_seconds else {})
            for port, edge in self.ports.items()
        }
        return {
            "node_id": self.node_id,
            "node_type": self.node_type.value,
            "step_name": self.step_name,
            "step_id": self.step_id,
            "config": self.config.model_dump(mode="json"),
            "ports": ports,
            "channel_id": self.channel_id,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        return cls(
            node_id=data["node_id"],
            node_type=NodeType(data["node_type"]),
            step_name=data["step_name"],
            step_id=data.get("step_id"),
            config=_CONFIG.validate_python(data["config"]),
            ports={
                port: Edge(edge["target"], int(edge.get("delay_seconds", 0)))
                for port, edge in data["ports"].items()
            },
            channel_id=data.get("channel_id"),
        )


def ports_of(config: NodeConfig) -> tuple[str, ...]:
    """The names of the ways out that a node with this configuration has, in order."""
    if isinstance(config, ConditionConfig):
        return tuple(branch.id for branch in config.branches)
    if isinstance(config, SplitConfig):
        return tuple(variant.id for variant in config.variants)
    if isinstance(config, EventWait):
        return (PORT_EVENT, PORT_TIMEOUT)
    if config.type == "exit":
        return ()
    return (PORT_DEFAULT,)


@dataclass(frozen=True, slots=True)
class CampaignGraph:
    """One campaign version, ready to run.

    `variant_of_node` maps a node to (split node id, variant id) when every way to it leads through
    that one variant; where several splits qualify, the innermost does. `goal_event` is what counts
    as converted, None where nothing does by itself.
    """

    entry_node_id: str
    nodes: Mapping[str, GraphNode]
    variant_of_node: Mapping[str, tuple[str, str]]
    goal_event: GoalEvent | None = None
    _waits_for: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Asked for with every batch, so worked out once; frozen, hence object.__setattr__.
        configs = [node.config for node in self.nodes.values()]
        waits_for = frozenset(c.event_type for c in configs if isinstance(c, EventWait))
        object.__setattr__(self, "_waits_for", waits_for)

    def waits_for(self) -> frozenset[str]:
        """Event types that some wait of this graph is for."""
        return self._waits_for

    @property
    def trigger(self) -> TriggerConfig:
        """The configuration of the entry node."""
        config = self.nodes[self.entry_node_id].config
        if not isinstance(config, TriggerConfig):
            raise TypeError(f"entry node {self.entry_node_id} is a {config.type}, not a trigger")
        return config

    def first_node_of_variant(self, split_node_id: str, variant_id: str) -> str | None:
        """The node a variant's port leads to, None when it leads nowhere."""
        edge = self.nodes[split_node_id].ports.get(variant_id)
        return None if edge is None else edge.target

    def to_dict(self) -> dict[str, Any]:
        """The graph as JSON, nodes in a stable order; `from_dict` reads it back equal."""
        # Not there when there is none, so that graphs of before have the hash they had.
        goal = {"goal_event": self.goal_event.model_dump(mode="json")} if self.goal_event else {}
        return goal | {
            "format": GRAPH_FORMAT,
            "entry_node_id": self.entry_node_id,
            "nodes": [self.nodes[node_id].to_dict() for node_id in sorted(self.nodes)],
            "variant_of_node": {
                node_id: list(self.variant_of_node[node_id])
                for node_id in sorted(self.variant_of_node)
            },
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote. A format of a later release is refused with ValueError."""
        if data.get("format", GRAPH_FORMAT) != GRAPH_FORMAT:
            raise ValueError(f"graph format {data['format']} is unknown to this release")
        nodes = [GraphNode.from_dict(node) for node in data["nodes"]]
        goal = data.get("goal_event")
        return cls(
            entry_node_id=data["entry_node_id"],
            nodes={node.node_id: node for node in nodes},
            variant_of_node={
                node_id: (pair[0], pair[1]) for node_id, pair in data["variant_of_node"].items()
            },
            goal_event=GoalEvent.model_validate(goal) if goal else None,
        )
