"""The action node: tags, score and fields at once; webhooks, text messages and posts through the
outbox."""

from __future__ import annotations

from typing import Any

from drip_pipeline.domain.graph.graph import PORT_DEFAULT
from drip_pipeline.domain.graph.nodes import (
    UPDATABLE_COLUMNS,
    FieldUpdateAction,
    ScoreAction,
    TagAction,
    channel_of,
)
from drip_pipeline.engine.execution.operators.protocol import Leave, NodeOutcome, NodeVisit, Send
from drip_pipeline.engine.execution.transitions import ChangeKind, ContactChange, EventNote


def act(visit: NodeVisit) -> list[NodeOutcome]:
    """Everybody is changed and goes on, or everybody gets a delivery."""
    config = visit.node.config
    channel = channel_of(config)
    if channel is not None:
        return [NodeOutcome(visit.people, Send(channel))]
    change, events = _change(visit, config)
    visit.facts.apply(change, visit.people)
    return [NodeOutcome(visit.people, Leave(PORT_DEFAULT), events, changes=(change,))]


def _change(visit: NodeVisit, config: Any) -> tuple[ContactChange, tuple[EventNote, ...]]:
    if isinstance(config, TagAction):
        added = tuple(visit.note("tag_added", tag=tag) for tag in config.add)
        removed = tuple(visit.note("tag_removed", tag=tag) for tag in config.remove)
        return ContactChange("tags", add=config.add, remove=config.remove), added + removed
    if isinstance(config, ScoreAction):
        if config.set is not None:
            return ContactChange("score_set", value=config.set), (
                visit.note("score_updated", set=config.set),
            )
        return ContactChange("score_delta", value=config.delta), (
            visit.note("score_updated", delta=config.delta),
        )
    assert isinstance(config, FieldUpdateAction)
    kind: ChangeKind = "column" if config.field in UPDATABLE_COLUMNS else "custom_field"
    change = ContactChange(kind, name=config.field, value=config.value)
    # The value stays out of the log: it may be personal.
    return change, (visit.note("field_updated", field=config.field),)
