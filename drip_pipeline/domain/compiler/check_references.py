"""Check references outside the graph: channels, event types, contact fields, time zones, goals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from drip_pipeline.domain.compiler.analysis import Analysis
from drip_pipeline.domain.conditions.conditions import Condition, needs_of
from drip_pipeline.domain.conditions.event_matcher import GoalEvent
from drip_pipeline.domain.conditions.field_names import field_name
from drip_pipeline.domain.conditions.never_matching import never_matching
from drip_pipeline.domain.conditions.time_zones import find_zone
from drip_pipeline.domain.contact_fields import KNOWN_VARIABLES
from drip_pipeline.domain.definition.problems import Problem, Problems, did_you_mean
from drip_pipeline.domain.events.vocabulary import (
    EVENT_TYPES,
    GOAL_EVENT_TYPES,
    suggest_event_type,
)
from drip_pipeline.domain.graph.actions import WrittenField
from drip_pipeline.domain.graph.nodes import (
    ConditionConfig,
    ConditionWait,
    DateWait,
    EventWait,
    FieldUpdateAction,
    NodeConfig,
    SplitConfig,
    TriggerConfig,
    channel_of,
)
from drip_pipeline.domain.run_variables import variable_of


def reference_problems(
    analysis: Analysis,
    *,
    known_custom_fields: frozenset[str],
    available_channels: frozenset[str],
    own_event_names: frozenset[str],
) -> list[Problem]:
    """Return problems of references to channels, events, contact fields and time zones."""
    problems = Problems(
        [*_campaign_problems(analysis, own_event_names), *_legacy_problems(analysis)]
    )
    known_fields = (
        KNOWN_VARIABLES
        | known_custom_fields
        | {"timezone"}
        | {c.target.name for c in analysis.configs.values() if isinstance(c, FieldUpdateAction)}
    )
    for node_id, config in analysis.configs.items():
        channel = channel_of(config)
        if channel is not None and channel not in available_channels:
            problems.add(
                node_id,
                "channel_missing",
                f"no {channel} channel is configured, and the step needs one",
            )
        problems += _unseen(node_id, _event_types(config), own_event_names)
        for condition in _conditions(config):
            for reason in dict.fromkeys(never_matching(condition)):
                problems.add(node_id, "condition_never_matches", reason, "warning")
        for name in sorted(_fields(config)):
            if variable_of(name) is None and name.split(".")[0] not in known_fields:
                effect = _NO_DATE if isinstance(config, DateWait) else _NO_VALUE
                problems.append(_unknown_field(node_id, name, known_fields, effect))
    problems += _exit_problems(analysis, known_fields, own_event_names)
    return problems


def _campaign_problems(analysis: Analysis, own_event_names: frozenset[str]) -> list[Problem]:
    definition = analysis.definition
    problems = Problems()
    if not definition.name:
        problems.add(None, "name_missing", "the campaign has no name")
    elif len(definition.name) > 200:
        problems.add(None, "name_too_long", "the campaign's name is longer than 200 characters")
    target = definition.goal_target
    if target is not None and round(target, 2) != target:
        problems.add(None, "goal_target_places", f"goal_target {target:g} has more than two places")
    if target is not None and definition.goal_metric is None:
        problems.add(
            None, "goal_metric_missing", "goal_target has no effect without goal_metric", "warning"
        )
    if definition.goal_event is not None:
        problems += _goal_problems(definition.goal_event)
        problems += _unseen(None, [definition.goal_event.event_type], own_event_names)
    elif definition.exit_on_goal is not None:
        problems.add(
            None,
            "exit_on_goal_without_goal",
            "exit_on_goal has no effect without goal_event, which names the event that ends a run",
        )
    zones: list[tuple[str | None, str | None]] = [(None, definition.timezone)]
    zones += [
        (node_id, config.timezone)
        for node_id, config in analysis.configs.items()
        if isinstance(config, TriggerConfig) and config.timezone != definition.timezone
    ]
    zones += [
        (node_id, config.value)
        for node_id, config in analysis.configs.items()
        if isinstance(config, FieldUpdateAction)
        and config.target == WrittenField("custom_field", "timezone")
        and isinstance(config.value, str)
        and "{" not in config.value  # a template
    ]
    problems += [
        Problem(
            node_id,
            "timezone_unknown",
            f'unknown time zone "{zone}"; use an IANA name such as Europe/Berlin',
        )
        for node_id, zone in zones
        if zone is not None and find_zone(zone) is None
    ]
    return problems


def _goal_problems(goal: GoalEvent) -> list[Problem]:
    problems = Problems()
    if goal.event_type in EVENT_TYPES and goal.event_type not in GOAL_EVENT_TYPES:
        problems.add(
            None,
            "goal_event_unknown",
            f"goal_event {goal.event_type} is not an event that a contact causes, such as"
            f" purchase{did_you_mean(goal.event_type, GOAL_EVENT_TYPES)}",
        )
    if not goal.seconds:
        problems.add(None, "goal_event_within", "goal_event.within must be longer than 0")
    return problems


def _exit_problems(
    analysis: Analysis, known_fields: frozenset[str], own_event_names: frozenset[str]
) -> list[Problem]:
    """Return warnings for events and fields of exit rules that do not exist."""
    problems = Problems()
    for rule in analysis.exits:
        needs = rule.needs()
        problems += _unseen(None, sorted(needs.named_events), own_event_names)
        if isinstance(rule.when, Condition):
            for reason in dict.fromkeys(never_matching(rule.when)):
                message = f"exit {rule.id}: {reason}"
                problems.add(None, "condition_never_matches", message, "warning")
        for name in sorted(needs.fields):
            if variable_of(name) is None and name.split(".")[0] not in known_fields:
                problems.append(_unknown_field(None, name, known_fields))
    return problems


def _legacy_problems(analysis: Analysis) -> list[Problem]:
    """Return warnings for columns of earlier campaigns that the engine does not execute."""
    advice = {
        "cta": "put the link into the body",
        "conditional_logic": "add a condition node",
    }
    return [
        Problem(
            node_id,
            "legacy_column_ignored",
            f"{column} is stored but not executed; {instead}",
            "warning",
        )
        for node_id, step in analysis.steps.items()
        for column, instead in advice.items()
        if getattr(step, column)
    ]


def _event_types(config: NodeConfig) -> list[str]:
    names: list[str] = []
    if isinstance(config, EventWait):
        names += config.event_types
    elif isinstance(config, TriggerConfig) and config.event_type is not None:
        names.append(config.event_type)
    for condition in _conditions(config):
        names += sorted(needs_of(condition).named_events)
    return names


def _unseen(
    node_id: str | None, event_types: Iterable[str], own_event_names: frozenset[str]
) -> list[Problem]:
    """Return a warning for each event name that no event has had yet: it may be sent later."""
    problems = Problems()
    for name in dict.fromkeys(event_types):
        if name not in EVENT_TYPES and name not in own_event_names:
            near = suggest_event_type(name, own_event_names)
            hint = f'; did you mean "{near}"?' if near else ""
            problems.add(
                node_id,
                "event_type_unknown",
                f'no event "{name}" has arrived in this workspace yet{hint}',
                "warning",
            )
    return problems


def _conditions(config: NodeConfig) -> Iterator[Condition]:
    if isinstance(config, ConditionConfig):
        for branch in config.branches:
            if branch.condition is not None:
                yield branch.condition
    elif isinstance(config, ConditionWait):
        yield config.condition
    elif (
        isinstance(config, TriggerConfig)
        and config.where is not None
        and config.kind != "event"  # compares properties of the event
    ):
        yield config.where


_NO_VALUE: Final = "comparisons with a missing field are false"
_NO_DATE: Final = "contacts without a date take the port missing"


def _unknown_field(
    node_id: str | None, name: str, known_fields: frozenset[str], effect: str = _NO_VALUE
) -> Problem:
    """Return a warning for a field that no contact has, with what follows from it."""
    return Problem(
        node_id,
        "field_unknown",
        f"no contact has a field {name}{did_you_mean(name, known_fields)}; {effect}",
        "warning",
    )


def _fields(config: NodeConfig) -> set[str]:
    if isinstance(config, SplitConfig):
        return {config.from_field} if config.from_field else set()
    if isinstance(config, DateWait):
        return {field_name(config.field)}
    names: set[str] = set()
    for condition in _conditions(config):
        names |= needs_of(condition).fields
    return names
