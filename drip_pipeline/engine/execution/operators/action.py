"""The action node: change tags, score, fields and variables; queue webhooks, SMS and posts."""

from __future__ import annotations

from drip_pipeline.domain.graph.graph import PORT_DEFAULT
from drip_pipeline.domain.graph.nodes import (
    FieldUpdateAction,
    NodeConfig,
    ScoreAction,
    TagAction,
    VariableAction,
    channel_of,
)
from drip_pipeline.domain.templates.value_templates import has_templates
from drip_pipeline.engine.execution.operators.protocol import Leave, NodeOutcome, NodeVisit, Send
from drip_pipeline.engine.execution.operators.rendered_values import set_variables, update_field
from drip_pipeline.engine.execution.transitions import ContactChange, EventNote


def act(visit: NodeVisit) -> list[NodeOutcome]:
    """Change all contacts and continue, or queue a delivery for each."""
    config = visit.node.config
    channel = channel_of(config)
    if channel is not None:
        return [NodeOutcome(visit.states, Send(channel))]
    if isinstance(config, VariableAction):
        return set_variables(visit, config)
    if isinstance(config, FieldUpdateAction) and has_templates(config.value):
        return update_field(visit, config)
    change, events = _change(visit, config)
    visit.context.apply(change, visit.states)
    return [NodeOutcome(visit.states, Leave(PORT_DEFAULT), events, changes=(change,))]


def _change(visit: NodeVisit, config: NodeConfig) -> tuple[ContactChange, tuple[EventNote, ...]]:
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
    kind, name = config.target
    change = ContactChange(kind, name=name, value=config.value)
    # The value is not logged: it may be personal data.
    return change, (visit.note("field_updated", field=config.field),)
