"""The compiled, immutable graph of one campaign version, which the engine executes.

It is stored with the version as JSON. Building it from a definition is in domain/compiler/.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Self

from pydantic import TypeAdapter

from drip_pipeline.domain.conditions.conditions import NO_NEEDS, Needs
from drip_pipeline.domain.conditions.event_matcher import GoalEvent
from drip_pipeline.domain.graph.contact_waits import followed_fields, followed_names
from drip_pipeline.domain.graph.event_waits import PORT_EVENT, PORT_TIMEOUT
from drip_pipeline.domain.graph.exits import ExitRule
from drip_pipeline.domain.graph.link_parameters import UtmParameters
from drip_pipeline.domain.graph.nodes import (
    ConditionConfig,
    ConditionWait,
    DateWait,
    EventWait,
    NodeConfig,
    SplitConfig,
    TriggerConfig,
    sends_to_person,
)
from drip_pipeline.domain.graph.re_entry import PerKey
from drip_pipeline.domain.graph.template_texts import variables_read
from drip_pipeline.domain.graph.volume import NO_GUARDS, VolumeGuards
from drip_pipeline.domain.graph.windows import MessageKind, QuietHours, SendRules, SendWindow
from drip_pipeline.domain.run_variables import ENTRY, EVENT

__all__ = [
    "GRAPH_FORMAT",
    "PORT_DEFAULT",
    "PORT_EVENT",
    "PORT_TIMEOUT",
    "CampaignGraph",
    "Edge",
    "GraphNode",
    "NodeType",
    "ports_of",
]

PORT_DEFAULT: Final = "default"

NO_SEND_RULES: Final = SendRules()
GRAPH_FORMAT: Final = 1
"""Increased when stored graphs of earlier releases have to be converted on reading."""

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
    """The target of a port, and the delay on the way to it in seconds."""

    target: str
    delay_seconds: int = 0


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A node with its validated configuration and its outgoing edges by port.

    A port that is missing in `ports` ends the flow: the enrollment completes there (in a holdout
    variant it exits with the reason `holdout`). `step_id` is the id of the campaign_steps row,
    `channel_id` that of the campaign_channels row; without one the workspace's default channel
    applies. `kind` and `send_window` are those of a message to a person (see `sends_to_person`).
    """

    node_id: str
    node_type: NodeType
    step_name: str
    step_id: str | None
    config: NodeConfig
    ports: Mapping[str, Edge]
    channel_id: str | None = None
    kind: MessageKind = "marketing"
    send_window: SendWindow | None = None

    def rules(self, quiet_hours: QuietHours | None) -> SendRules:
        """Return the rules of time for this node's messages; none if it sends no person one.

        `quiet_hours` are those of the workspace; transactional messages ignore them.
        """
        if not sends_to_person(self.config):
            return NO_SEND_RULES
        return SendRules(self.send_window, quiet_hours if self.kind == "marketing" else None)

    def to_dict(self) -> dict[str, Any]:
        """Return the node as JSON; `from_dict` restores an equal node."""
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
            **self._settings_of_messages(),
        }

    def _settings_of_messages(self) -> dict[str, Any]:
        # Left out by default, so that graphs of earlier releases keep their hash.
        kind = {} if self.kind == "marketing" else {"kind": self.kind}
        if self.send_window is None:
            return kind
        return kind | {"send_window": self.send_window.model_dump(mode="json", by_alias=True)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Restore a node from the JSON of `to_dict`."""
        window = data.get("send_window")
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
            kind=data.get("kind", "marketing"),
            send_window=SendWindow.model_validate(window) if window else None,
        )


def ports_of(config: NodeConfig) -> tuple[str, ...]:
    """Return the names of the outgoing ports of a configuration, in order."""
    if isinstance(config, ConditionConfig):
        return tuple(branch.id for branch in config.branches)
    if isinstance(config, SplitConfig):
        return tuple(variant.id for variant in config.variants)
    if isinstance(config, EventWait | DateWait | ConditionWait):
        return config.ports()
    if config.type == "exit":
        return ()
    return (PORT_DEFAULT,)


@dataclass(frozen=True, slots=True)
class CampaignGraph:
    """One campaign version, ready for execution.

    `variant_of_node` maps a node to (split node id, variant id) if every path to it leads through
    this variant; of several splits, the innermost one. `goal_event` is the event that counts as a
    conversion, None without one; `exits_at_goal` says whether it ends the run, too. `topic` is the
    workspace's topic that the messages belong to, `guards` limit their volume. Under the
    workspace's frequency caps messages of a higher `priority` go first; `cap_exempt` ignores them.
    `exits` are the rules that end a run wherever it is; the first that holds counts.
    `utm` is added to the links of emails.
    """

    entry_node_id: str
    nodes: Mapping[str, GraphNode]
    variant_of_node: Mapping[str, tuple[str, str]]
    goal_event: GoalEvent | None = None
    topic: str | None = None
    guards: VolumeGuards = NO_GUARDS
    exits_at_goal: bool = False
    priority: int = 0
    cap_exempt: bool = False
    exits: tuple[ExitRule, ...] = ()
    _exit_needs: Needs = field(default=NO_NEEDS, init=False, repr=False, compare=False)
    utm: UtmParameters | None = None
    _waits_for: frozenset[str] = field(init=False, repr=False, compare=False)
    _has_messages: bool = field(init=False, repr=False, compare=False)
    _variables: frozenset[str] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Read in every batch, therefore computed once; the class is frozen, hence __setattr__.
        configs = [node.config for node in self.nodes.values()]
        waits = [config for config in configs if isinstance(config, EventWait)]
        waits_for = frozenset(name for config in waits for name in config.waited_names())
        if self.exits:
            waits_for |= self.exit_events()
            needs = functools.reduce(Needs.__or__, (rule.needs() for rule in self.exits))
            object.__setattr__(self, "_exit_needs", needs)
        object.__setattr__(self, "_waits_for", waits_for)
        has_messages = any(sends_to_person(c) for c in configs)
        object.__setattr__(self, "_has_messages", has_messages)

    def waits_for(self) -> frozenset[str]:
        """Return the events that any wait or exit rule of this graph waits for, as
        `waited_names`."""
        return self._waits_for

    def exit_events(self) -> frozenset[str]:
        """Return the events on whose arrival exit rules are evaluated, as `waited_names`."""
        return frozenset(name for rule in self.exits for name in rule.event_names())

    def exits_follow_contacts(self) -> bool:
        """Return whether exit rules read fields of the contact, so that its changes matter."""
        return any(rule.reads_contact() for rule in self.exits)

    def exit_needs(self) -> Needs:
        """Return what the exit rules read."""
        return self._exit_needs

    def for_exits(self) -> Self:
        """Return the part of the graph that evaluating the exit rules takes: no node is entered."""
        entry = self.nodes.get(self.entry_node_id)
        nodes = {} if entry is None else {entry.node_id: replace(entry, ports={})}
        return replace(self, nodes=nodes, variant_of_node={})

    def follows(self) -> frozenset[str]:
        """Return the fields and events of the contact that waits and exit rules follow, as
        `followed_names`."""
        configs = [node.config for node in self.nodes.values()]
        waits = [c for c in configs if isinstance(c, DateWait | ConditionWait)]
        of_waits = frozenset(name for config in waits for name in followed_names(config))
        needs = [rule.needs() for rule in self.exits if rule.reads_contact()]
        return of_waits | {f"field:{name}" for each in needs for name in followed_fields(each)}

    def has_messages(self) -> bool:
        """Return whether any node sends a message to a person, which rules may hold."""
        return self._has_messages

    def has_marketing(self) -> bool:
        """Return whether any node sends a person a marketing message."""
        return any(
            node.kind == "marketing" and sends_to_person(node.config)
            for node in self.nodes.values()
        )

    def cap_priority(self, node_id: str) -> int | None:
        """Return the priority of a node's messages under frequency caps; None if these neither
        limit nor count them."""
        node = self.nodes.get(node_id)
        if self.cap_exempt or node is None or node.kind != "marketing":
            return None
        return self.priority if sends_to_person(node.config) else None

    @property
    def trigger(self) -> TriggerConfig:
        """The configuration of the entry node. Raises TypeError if that is not a trigger."""
        config = self.nodes[self.entry_node_id].config
        if not isinstance(config, TriggerConfig):
            raise TypeError(f"entry node {self.entry_node_id} is a {config.type}, not a trigger")
        return config

    def reads_event(self) -> bool:
        """Return whether any node reads `event`: the event that ended the latest wait."""
        return EVENT in self._variables_read()

    def judges_events(self, wait: EventWait) -> bool:
        """Return whether the events of a wait are read with their properties, one by one: because
        it asks for them, or because the event that ends it is read later."""
        return not wait.is_plain or self.reads_event()

    def reads_entry(self) -> bool:
        """Return whether entry data is read: by a node, by the goal, or for the key of a run."""
        variables = self._variables_read()
        return (
            ENTRY in variables
            or (EVENT in variables and self.is_entered_by_event)
            or bool(self.goal_event and self.goal_event.match)
            or isinstance(self.trigger.re_entry, PerKey)
        )

    def _variables_read(self) -> frozenset[str]:
        if self._variables is None:  # parses every template: only once, and only if it is needed
            read = (variables_read(node.config) for node in self.nodes.values())
            of_exits = self._exit_needs.variables
            object.__setattr__(self, "_variables", of_exits.union(*read))
        return self._variables or frozenset()

    @property
    def is_entered_by_event(self) -> bool:
        """Whether an event trigger enrolls contacts; its event's properties are the entry data."""
        entry = self.nodes.get(self.entry_node_id)
        return (
            entry is not None
            and isinstance(entry.config, TriggerConfig)
            and entry.config.kind == "event"
        )

    def first_node_of_variant(self, split_node_id: str, variant_id: str) -> str | None:
        """Return the node that a variant's port leads to, or None."""
        edge = self.nodes[split_node_id].ports.get(variant_id)
        return None if edge is None else edge.target

    def to_dict(self) -> dict[str, Any]:
        """Return the graph as JSON, nodes by id; `from_dict` restores an equal graph."""
        # Left out without a goal or a topic, so that graphs of earlier releases keep their hash.
        goal: dict[str, Any] = {}
        if self.goal_event:
            goal["goal_event"] = self.goal_event.model_dump(mode="json")
        if self.exits_at_goal:
            goal["exits_at_goal"] = True
        of_messages: dict[str, Any] = {"topic": self.topic} if self.topic else {}
        if self.priority:
            of_messages["priority"] = self.priority
        if self.cap_exempt:
            of_messages["cap_exempt"] = True
        exits = [rule.model_dump(mode="json", exclude_none=True) for rule in self.exits]
        if exits:
            goal["exits"] = exits
        if self.utm:
            of_messages["utm"] = self.utm.model_dump(mode="json", exclude_none=True)
        guards = self.guards.to_dict()
        follows = sorted(self.follows())
        return (
            goal
            | of_messages
            | ({"guards": guards} if guards else {})
            # Read by the database: sql/functions/followed_waits.sql.
            | ({"follows": follows} if follows else {})
            | {
                "format": GRAPH_FORMAT,
                "entry_node_id": self.entry_node_id,
                "nodes": [self.nodes[node_id].to_dict() for node_id in sorted(self.nodes)],
                "variant_of_node": {
                    node_id: list(self.variant_of_node[node_id])
                    for node_id in sorted(self.variant_of_node)
                },
            }
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Restore a graph from the JSON of `to_dict`. Raises ValueError for an unknown format."""
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
            topic=data.get("topic"),
            guards=VolumeGuards.from_dict(data.get("guards", {})),
            exits_at_goal=bool(data.get("exits_at_goal")),
            priority=int(data.get("priority", 0)),
            cap_exempt=bool(data.get("cap_exempt")),
            exits=tuple(ExitRule.model_validate(rule) for rule in data.get("exits", ())),
            utm=UtmParameters.model_validate(data["utm"]) if data.get("utm") else None,
        )
