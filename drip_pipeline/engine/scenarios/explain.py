"""Say why a run took a way at a node: which branches were evaluated, on which values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from drip_pipeline.domain.conditions.conditions import (
    Condition,
    ConditionType,
    ContactAttributes,
    compile_condition,
)
from drip_pipeline.domain.conditions.field_names import field_name, read_field
from drip_pipeline.domain.definition.problems import shorten
from drip_pipeline.domain.graph.graph import CampaignGraph, GraphNode, NodeType
from drip_pipeline.domain.graph.nodes import ConditionConfig
from drip_pipeline.engine.scenarios.recorder import BRANCH_EVENTS, LoggedNote
from drip_pipeline.engine.scenarios.walk import Walk

_MOST_EVENTS = 6


def why_left(graph: CampaignGraph, walk: Walk, position: int) -> Iterator[str]:
    """Yield lines on the way by which a run left the node at a position of its path."""
    path = walk.record.path
    node = graph.nodes[path[position]]
    visit = path[: position + 1].count(node.node_id)
    note = _note_of_visit(walk, node, visit)
    port = None if note is None else str(note.note.data[BRANCH_EVENTS[note.note.event_type]])
    entered = time_text(walk.record.entered_at[position])
    if node.node_type is NodeType.CONDITION:
        yield f"at {node.node_id}: took the branch {port!r} at {entered}"
        facts = walk.record.evaluations.get((node.node_id, visit))
        if facts is not None and isinstance(node.config, ConditionConfig):
            yield from _branches(node.config, facts, port)
    elif node.node_type is NodeType.SPLIT:
        yield f"at {node.node_id}: got the variant {port!r}"
        yield f"  `variants: {{{node.node_id}: …}}` of the person sets another one"
    elif node.node_type is NodeType.WAIT and note is not None:
        yield f"at {node.node_id}: waited from {entered} to {time_text(note.at)}, left by {port!r}"
        yield from _events(walk)
    else:
        yield f"at {node.node_id}: entered at {entered}"


def _note_of_visit(walk: Walk, node: GraphNode, visit: int) -> LoggedNote | None:
    notes = [
        each
        for each in walk.record.notes
        if each.note.node_id == node.node_id and each.note.event_type in BRANCH_EVENTS
    ]
    return notes[visit - 1] if visit <= len(notes) else None


def _events(walk: Walk) -> Iterator[str]:
    if not walk.occurred:
        yield "  no event happened"
    for event, at in walk.occurred[:_MOST_EVENTS]:
        of = f" of {event.of}" if event.of else ""
        data = f" {shorten(event.data, 60)}" if event.data else ""
        machine = " by a machine" if event.machine else ""
        yield f"  {event.event_type}{of}{data}{machine} at {time_text(at)}"
    if len(walk.occurred) > _MOST_EVENTS:
        yield f"  … and {len(walk.occurred) - _MOST_EVENTS} more events"


def _branches(
    config: ConditionConfig, facts: ContactAttributes, taken: str | None
) -> Iterator[str]:
    for branch in config.branches:
        if branch.condition is not None:
            holds = compile_condition(branch.condition)(facts)
            yield f"  branch {branch.id!r}: {_yes(holds)}"
            yield from (f"    {line}" for line in condition_lines(branch.condition, facts))
        if branch.id == taken:
            return


def condition_lines(condition: Condition, facts: ContactAttributes) -> Iterator[str]:
    """Yield a line for each part of a condition: what it asks, the value, and whether it holds."""
    if condition.type is ConditionType.COMPOSITE:
        holds = compile_condition(condition)(facts)
        yield f"{'any' if condition.logic == 'OR' else 'all'} of: {_yes(holds)}"
        for part in condition.sub_conditions or ():
            yield from (f"  {line}" for line in condition_lines(part, facts))
        return
    holds = compile_condition(condition)(facts)
    yield f"{_asked(condition)}: {_yes(holds)}; {_value(condition, facts)}"


def _asked(condition: Condition) -> str:
    operator = "" if condition.operator is None else f" {condition.operator.value}"
    value = "" if condition.value is None else f" {shorten(_plain(condition.value), 40)}"
    if condition.type is ConditionType.EVENT:
        window = "" if condition.time_window is None else f" within {condition.time_window:g} h"
        negated = " not" if operator == " !=" or condition.value is False else ""
        keys = {key: getattr(condition, key) for key in sorted(condition.matcher_keys())}
        return f"event{negated} {condition.event_type}{window}{_keys(keys)}"
    if condition.type is ConditionType.FIELD:
        return f"{field_name(condition.field or '')}{operator}{value}"
    subject = condition.field if condition.type is ConditionType.TIME else condition.type.value
    return f"{subject}{operator}{value}"


def _keys(keys: Mapping[str, object]) -> str:
    return f" narrowed by {', '.join(keys)}" if keys else ""


def _value(condition: Condition, facts: ContactAttributes) -> str:
    match condition.type:
        case ConditionType.TAG:
            return f"tags are {shorten(sorted(facts.tags), 60)}"
        case ConditionType.SCORE:
            return f"score is {_missing(facts.fields.get('ai_score'))}"
        case ConditionType.TIME:
            return f"it is {time_text(facts.now)} UTC, time zone {facts.timezone}"
        case ConditionType.EVENT:
            return _happened(condition.event_type or "", facts)
        case _:
            name = field_name(condition.field or "")
            if name == "tags":
                return f"tags are {shorten(sorted(facts.tags), 60)}"
            return f"{name} is {_missing(read_field(facts.fields, name))}"


def _happened(event_type: str, facts: ContactAttributes) -> str:
    times = [event.occurred_at for event in facts.occurrences.get(event_type, ())]
    if event_type in facts.events:
        times.append(facts.events[event_type])
    if not times:
        return f"no {event_type} counts"
    return f"{event_type} at {time_text(max(times))}"


def _missing(value: object) -> str:
    return "missing" if value is None else shorten(_plain(value), 60)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def time_text(time: datetime) -> str:
    """Return a time to the minute, with seconds if it has some."""
    return f"{time:%Y-%m-%d %H:%M:%S}" if time.second else f"{time:%Y-%m-%d %H:%M}"
