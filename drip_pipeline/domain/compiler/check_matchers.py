"""Check matchers of events: what can never match, and references to nodes and entry data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from drip_pipeline.domain.compiler.analysis import Analysis
from drip_pipeline.domain.conditions.conditions import Condition
from drip_pipeline.domain.conditions.matcher_keys import MatcherKeys, NodeReach
from drip_pipeline.domain.conditions.never_matching import never_matching
from drip_pipeline.domain.definition.problems import Problem, Problems, did_you_mean
from drip_pipeline.domain.events.vocabulary import MESSAGE_EVENT_CHANNELS
from drip_pipeline.domain.graph.graph import NodeType
from drip_pipeline.domain.graph.nodes import (
    ConditionConfig,
    ConditionWait,
    EventWait,
    NodeConfig,
    TriggerConfig,
    channel_of,
)

_MESSAGES: Final = ("email", "sms")


def matcher_problems(analysis: Analysis) -> list[Problem]:
    """Return problems of the matchers in waits, conditions, event triggers, exits and the goal."""
    problems = Problems()
    goal = analysis.definition.goal_event
    if goal is not None and goal.where is not None:
        problems += _never(None, goal.where)
    senders = {
        node_id: channel
        for node_id, config in analysis.configs.items()
        if (channel := channel_of(config)) in _MESSAGES
    }
    triggers = [analysis.configs.get(node_id) for node_id in analysis.of_type(NodeType.TRIGGER)]
    has_no_entry = all(
        isinstance(t, TriggerConfig) and t.kind in ("tag", "score") for t in triggers
    )
    if goal is not None and goal.match and has_no_entry:
        problems += _no_entry(None, goal.event_type)
    for node_id, config in analysis.configs.items():
        if isinstance(config, TriggerConfig) and config.kind == "event" and config.where:
            problems += _never(node_id, config.where)
    for where, event_type, keys in _all_matchers(analysis):
        if keys.where is not None:
            problems += _never(where, keys.where)
        if isinstance(keys.of, NodeReach):
            problems += _node(where, event_type, keys.of.node, senders)
        if keys.match and has_no_entry:
            problems += _no_entry(where, event_type)
    return problems


def _no_entry(node_id: str | None, event_type: str) -> list[Problem]:
    reason = "runs that a tag or a score starts have no entry data"
    return [Problem(node_id, "matcher_match", f"{event_type} can never match: {reason}", "warning")]


def _never(node_id: str | None, where: Condition) -> list[Problem]:
    return [
        Problem(node_id, "condition_never_matches", reason, "warning")
        for reason in dict.fromkeys(never_matching(where, of_properties=True))
    ]


def _node(
    node_id: str | None, event_type: str, sender: str, senders: Mapping[str, str]
) -> Problems:
    problems = Problems()
    channel = MESSAGE_EVENT_CHANNELS.get(event_type)
    if sender not in senders:
        problems.add(
            node_id,
            "matcher_of",
            f"of.node {sender} is not a node that sends a message{did_you_mean(sender, senders)}",
        )
    elif channel is not None and senders[sender] != channel:
        problems.add(
            node_id,
            "matcher_of",
            f"of.node {sender} sends by {senders[sender]}, and {event_type} is about {channel}",
        )
    return problems


def _all_matchers(analysis: Analysis) -> Iterator[tuple[str | None, str, MatcherKeys]]:
    """Yield the matchers of waits, conditions and exit rules, each with its node."""
    for node_id, config in analysis.configs.items():
        for event_type, keys in _matchers(config):
            yield node_id, event_type, keys
    for rule in analysis.exits:
        if isinstance(rule.when, Condition):
            for event_type, keys in _of_condition(rule.when):
                yield None, event_type, keys
        else:
            yield None, rule.when.event_type, rule.when


def _matchers(config: NodeConfig) -> Iterator[tuple[str, MatcherKeys]]:
    if isinstance(config, EventWait):
        for _, matcher in config.matchers():
            yield matcher.event_type, matcher
    elif isinstance(config, ConditionWait):
        yield from _of_condition(config.condition)
    elif isinstance(config, ConditionConfig):
        for branch in config.branches:
            if branch.condition is not None:
                yield from _of_condition(branch.condition)


def _of_condition(condition: Condition) -> Iterator[tuple[str, MatcherKeys]]:
    if condition.event_type is not None:
        yield condition.event_type, condition
    for part in condition.sub_conditions or ():
        yield from _of_condition(part)
