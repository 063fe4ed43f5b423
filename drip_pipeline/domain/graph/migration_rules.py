"""Rules of migrating a workflow state from an earlier version to another one, over two graphs.

Nodes are matched by id or by an explicit map. A state at a node that is the same in both versions
continues there; a state that is sent to another node enters it. A message that may have been sent
is never sent again; a message that was not sent gets the texts of the new version. Counting and
moving states are in db/publishing/in_flight.py and engine/publishing/in_flight_policy.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from drip_pipeline.domain.graph.graph import (
    PORT_DEFAULT,
    PORT_TIMEOUT,
    CampaignGraph,
    GraphNode,
    NodeType,
    ports_of,
)
from drip_pipeline.domain.graph.nodes import (
    ConditionWait,
    DateWait,
    DurationWait,
    EventWait,
    TimedWait,
    TimeWait,
    channel_of,
)

EXIT_REASON: Final = "campaign_changed"


class Situation(StrEnum):
    """The situation of a state at its node; the SQL function `people_in_flight` returns it."""

    TO_ENTER = "to_enter"
    """Enters the node next: new, on an edge with a delay, or before a retry."""
    WAITING = "waiting"
    """In a wait that has not ended."""
    LEAVING = "leaving"
    """Leaves the node next: its event happened, or its message was sent and the campaign paused."""
    MESSAGE_PENDING = "message_pending"
    """Suspended until a message that was surely not sent."""
    MESSAGE_OUT = "message_out"
    """Suspended until a message that was or may have been sent, or is being sent."""
    MESSAGE_FAILED = "message_failed"
    """Failed with a message that was rejected."""
    MESSAGE_BEFORE = "message_before"
    """Enters the node once a message of an earlier node is settled."""


class MoveAction(StrEnum):
    """What a move does with a state."""

    KEEP = "keep"
    """The state continues in the new version unchanged."""
    WAIT = "wait"
    """The wait restarts, counted from the arrival at the node."""
    ENTER = "enter"
    """The state enters the target at once."""
    ENTER_AFTER = "enter_after"
    """The state enters the target once its message is settled."""


class MessageEffect(StrEnum):
    """What a move does with the message that a state is suspended on."""

    NONE = "none"
    UNTOUCHED = "untouched"
    """It stays a message of the old version, because it may have been sent."""
    RENEWED = "renewed"
    """It keeps its id and is sent with the texts of the new version."""
    WITHDRAWN = "withdrawn"
    """It is not sent; the log records that."""


@dataclass(frozen=True, slots=True)
class Move:
    """What happens to all states with this situation at this node of this version."""

    version: int
    node_id: str
    situation: Situation
    target: GraphNode
    action: MoveAction
    message: MessageEffect = MessageEffect.NONE
    judges_events: bool = False
    """The target is a wait whose events are judged one by one, see `CampaignGraph`."""

    @property
    def wait_seconds(self) -> int | None:
        """How long the target waits, in seconds; None if it is not a wait, or if that depends on
        the contact."""
        config = self.target.config
        if isinstance(config, DurationWait):
            return None if config.timezone else config.seconds
        return config.max_wait_seconds if isinstance(config, EventWait | ConditionWait) else None

    @property
    def zoned_wait(self) -> TimedWait | None:
        """The wait of the target if its end depends on a time zone, else None."""
        config = self.target.config
        return config if isinstance(config, DurationWait | TimeWait) and config.timezone else None

    @property
    def date_wait(self) -> DateWait | None:
        """The wait of the target if it ends at a date of the contact, else None."""
        config = self.target.config
        return config if isinstance(config, DateWait) else None

    @property
    def wait_for_event(self) -> str | None:
        """What the state of the target waits for, or None."""
        config = self.target.config
        if isinstance(config, DateWait | ConditionWait):
            return config.waited_for
        if not isinstance(config, EventWait):
            return None
        return config.judged_for if self.judges_events else config.waited_for

    @property
    def resume_port(self) -> str:
        """The port by which the target is left when its time ends."""
        is_limited = isinstance(self.target.config, EventWait | ConditionWait)
        return PORT_TIMEOUT if is_limited else PORT_DEFAULT

    def describe(self) -> str:
        """Return the move as a short text."""
        return _DESCRIPTIONS[(self.action, self.message)]


_DESCRIPTIONS: Final[Mapping[tuple[MoveAction, MessageEffect], str]] = {
    (MoveAction.KEEP, MessageEffect.NONE): "continue there",
    (MoveAction.KEEP, MessageEffect.UNTOUCHED): "continue once their message is settled",
    (MoveAction.KEEP, MessageEffect.RENEWED): "their message is sent as in the new version",
    (MoveAction.WAIT, MessageEffect.NONE): "the wait restarts, counted from their arrival",
    (MoveAction.ENTER, MessageEffect.NONE): "enter it at once",
    (MoveAction.ENTER, MessageEffect.WITHDRAWN): (
        "their unsent message is withdrawn, and they enter it at once"
    ),
    (MoveAction.ENTER_AFTER, MessageEffect.UNTOUCHED): "enter it once their message is settled",
}


def target_of(node_id: str, graph: CampaignGraph, node_map: Mapping[str, str]) -> GraphNode | None:
    """Return the target of a node: the mapped node, else the node of the same id, else None."""
    return graph.nodes.get(node_map.get(node_id, node_id))


def moves_of(
    version: int,
    node_id: str,
    node: GraphNode | None,
    target: GraphNode,
    *,
    judges_events: bool = False,
) -> list[Move]:
    """Return the moves of a node for each situation.

    `node` is the node in the earlier version, None if that version does not have it.
    """
    return [
        Move(version, node_id, situation, target, *_rule(situation, node, target), judges_events)
        for situation in Situation
    ]


def _rule(
    situation: Situation, node: GraphNode | None, target: GraphNode
) -> tuple[MoveAction, MessageEffect]:
    match situation:
        case Situation.TO_ENTER:
            return MoveAction.KEEP, MessageEffect.NONE
        case Situation.MESSAGE_BEFORE:
            return MoveAction.KEEP, MessageEffect.UNTOUCHED
        case Situation.WAITING:
            return _waiting(node, target), MessageEffect.NONE
        case Situation.LEAVING:
            return _leaving(node, target), MessageEffect.NONE
        case Situation.MESSAGE_OUT:
            is_same = _is_same_message(node, target)
            return (MoveAction.KEEP if is_same else MoveAction.ENTER_AFTER), MessageEffect.UNTOUCHED
    # Not sent: the message may get other texts, but not another channel.
    if _is_same_message(node, target) and node is not None:
        channel = channel_of(node.config)
        if channel == "social":  # the post of the old version is published once
            return MoveAction.KEEP, MessageEffect.UNTOUCHED
        if channel == channel_of(target.config):
            return MoveAction.KEEP, MessageEffect.RENEWED
    if situation is Situation.MESSAGE_PENDING:
        return MoveAction.ENTER, MessageEffect.WITHDRAWN
    return MoveAction.ENTER, MessageEffect.NONE


def _waiting(node: GraphNode | None, target: GraphNode) -> MoveAction:
    if target.node_type is not NodeType.WAIT:
        return MoveAction.ENTER
    return MoveAction.KEEP if node is not None and node.config == target.config else MoveAction.WAIT


def _leaving(node: GraphNode | None, target: GraphNode) -> MoveAction:
    if node is None:
        return MoveAction.ENTER
    if node.node_type is NodeType.WAIT and target.node_type is NodeType.WAIT:
        # A wait with other ports must check again whether its event has happened.
        has_same_ports = ports_of(node.config) == ports_of(target.config)
        return MoveAction.KEEP if has_same_ports else MoveAction.WAIT
    return MoveAction.KEEP if _is_same_message(node, target) else MoveAction.ENTER


def _is_same_message(node: GraphNode | None, target: GraphNode) -> bool:
    """Return whether the target is the same message: the same node id or the same configuration."""
    if node is None or channel_of(node.config) is None or channel_of(target.config) is None:
        return False
    return node.node_id == target.node_id or node.config == target.config


def invalid_mappings(
    node_map: Mapping[str, str], graph: CampaignGraph, earlier_nodes: Iterable[str]
) -> list[str]:
    """Return the problems of a node map: unknown sources and unknown targets."""
    sources = set(earlier_nodes)
    problems = [
        f"{source}={target}: no earlier version has a node {source!r}"
        for source, target in sorted(node_map.items())
        if source not in sources
    ]
    return problems + [
        f"{source}={target}: the new version has no node {target!r}"
        for source, target in sorted(node_map.items())
        if target not in graph.nodes
    ]
