"""What becomes of somebody inside an earlier version when they move to another one: rules over two
graphs. Pure: who stands where is counted by db/, moving them is engine/'s business.

People are matched by node id, or by an explicit map. Whoever stands at a place that is the same in
both versions goes on from there; whoever is sent to another place enters that one anew. A message
that may have left is never sent again, and a text that has not left is the new version's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from drip_pipeline.domain.graph.graph import (
    PORT_DEFAULT,
    PORT_EVENT,
    PORT_TIMEOUT,
    CampaignGraph,
    GraphNode,
    NodeType,
)
from drip_pipeline.domain.graph.nodes import DurationWait, EventWait, channel_of

POLICIES: Final = ("pin", "migrate", "exit")
EXIT_REASON: Final = "campaign_changed"


class Situation(StrEnum):
    """How somebody stands at their node; the SQL function `people_in_flight` tells it."""

    TO_ENTER = "to_enter"
    """The node is still to be entered: new, on an edge with a delay, or trying again."""
    WAITING = "waiting"
    """In a wait whose time is not over."""
    LEAVING = "leaving"
    """Done with the node: woken, or the message is out and the campaign was paused."""
    MESSAGE_PENDING = "message_pending"
    """Parked on a message that surely has not left."""
    MESSAGE_OUT = "message_out"
    """Parked on a message that is on its way, in doubt, or may be."""
    MESSAGE_FAILED = "message_failed"
    """Failed on a message that was refused."""
    MESSAGE_BEFORE = "message_before"
    """Enters the node once a message of an earlier one is settled."""


class Step(StrEnum):
    """What a move does with a person."""

    KEEP = "keep"
    """They go on in the new version as they stand."""
    WAIT = "wait"
    """Their wait is measured anew, from when they came to it."""
    ENTER = "enter"
    """They enter the target, at once."""
    ENTER_AFTER = "enter_after"
    """They enter the target once the message that is on its way is settled."""


class Message(StrEnum):
    """What a move does with the message that a person is parked on."""

    NONE = "none"
    UNTOUCHED = "untouched"
    """It stays the old version's: it may have left."""
    RENEWED = "renewed"
    """It goes out under its id, as the new version has it."""
    WITHDRAWN = "withdrawn"
    """It is not sent; the log says so."""


@dataclass(frozen=True, slots=True)
class Move:
    """What becomes of everybody who stands so at this node of this version."""

    version: int
    node_id: str
    situation: Situation
    target: GraphNode
    step: Step
    message: Message = Message.NONE

    @property
    def wait_seconds(self) -> int | None:
        """How long the target waits, None where it does not."""
        config = self.target.config
        if isinstance(config, DurationWait):
            return config.seconds
        return config.max_wait_seconds if isinstance(config, EventWait) else None

    @property
    def wait_for_event(self) -> str | None:
        """The event that the target waits for, None where it waits for none."""
        config = self.target.config
        return config.event_type if isinstance(config, EventWait) else None

    @property
    def resume_port(self) -> str:
        """The way out of the target when its time is over."""
        return PORT_DEFAULT if self.wait_for_event is None else PORT_TIMEOUT

    def told(self) -> str:
        """The move in a few words, for people."""
        return _TOLD[(self.step, self.message)]


_TOLD: Final[Mapping[tuple[Step, Message], str]] = {
    (Step.KEEP, Message.NONE): "go on from there",
    (Step.KEEP, Message.UNTOUCHED): "go on once the message that is on its way is settled",
    (Step.KEEP, Message.RENEWED): "their message goes out as the new version has it",
    (Step.WAIT, Message.NONE): "wait, measured anew from when they came",
    (Step.ENTER, Message.NONE): "enter it at once",
    (Step.ENTER, Message.WITHDRAWN): "their unsent message is withdrawn, and they enter it at once",
    (Step.ENTER_AFTER, Message.UNTOUCHED): (
        "enter it once the message that is on its way is settled"
    ),
}


def target_of(node_id: str, graph: CampaignGraph, node_map: Mapping[str, str]) -> GraphNode | None:
    """Where people of a node go: where the map says, else the node of the same id, else nowhere."""
    return graph.nodes.get(node_map.get(node_id, node_id))


def moves_of(
    version: int,
    node_id: str,
    node: GraphNode | None,
    target: GraphNode,
) -> list[Move]:
    """What becomes of people at a node, for each situation they may be in. `node` is the node in
    the version they leave, None where that version does not have it.
    """
    return [
        Move(version, node_id, situation, target, *_rule(situation, node, target))
        for situation in Situation
    ]


def _rule(situation: Situation, node: GraphNode | None, target: GraphNode) -> tuple[Step, Message]:
    match situation:
        case Situation.TO_ENTER:
            return Step.KEEP, Message.NONE
        case Situation.MESSAGE_BEFORE:
            return Step.KEEP, Message.UNTOUCHED
        case Situation.WAITING:
            return _waiting(node, target), Message.NONE
        case Situation.LEAVING:
            return _leaving(node, target), Message.NONE
        case Situation.MESSAGE_OUT:
            is_same = _is_same_message(node, target)
            return (Step.KEEP if is_same else Step.ENTER_AFTER), Message.UNTOUCHED
    # Not out: what is sent may still become another text, but not another channel's.
    if _is_same_message(node, target) and node is not None:
        channel = channel_of(node.config)
        if channel == "social":  # its post is the old version's, and is posted once
            return Step.KEEP, Message.UNTOUCHED
        if channel == channel_of(target.config):
            return Step.KEEP, Message.RENEWED
    if situation is Situation.MESSAGE_PENDING:
        return Step.ENTER, Message.WITHDRAWN
    return Step.ENTER, Message.NONE


def _waiting(node: GraphNode | None, target: GraphNode) -> Step:
    if target.node_type is not NodeType.WAIT:
        return Step.ENTER
    return Step.KEEP if node is not None and node.config == target.config else Step.WAIT


def _leaving(node: GraphNode | None, target: GraphNode) -> Step:
    if node is None:
        return Step.ENTER
    if node.node_type is NodeType.WAIT and target.node_type is NodeType.WAIT:
        # Woken by the event that the wait was for, a wait of another shape looks again.
        return Step.KEEP if _ways_out(node) == _ways_out(target) else Step.WAIT
    return Step.KEEP if _is_same_message(node, target) else Step.ENTER


def _ways_out(node: GraphNode) -> tuple[str, ...]:
    if isinstance(node.config, EventWait):
        return (PORT_EVENT, PORT_TIMEOUT)
    return (PORT_DEFAULT,)


def _is_same_message(node: GraphNode | None, target: GraphNode) -> bool:
    """Whether the target is the same message: the node itself, or the node under another id."""
    if node is None or channel_of(node.config) is None or channel_of(target.config) is None:
        return False
    return node.node_id == target.node_id or node.config == target.config


def wrong_in_map(
    node_map: Mapping[str, str], graph: CampaignGraph, known: Iterable[str]
) -> list[str]:
    """What is wrong with an explicit map: sources that no earlier version has, targets that the
    new one has not."""
    earlier = set(known)
    wrong = [
        f"{source}={target}: no earlier version has a node {source!r}"
        for source, target in sorted(node_map.items())
        if source not in earlier
    ]
    return wrong + [
        f"{source}={target}: the new version has no node {target!r}"
        for source, target in sorted(node_map.items())
        if target not in graph.nodes
    ]
