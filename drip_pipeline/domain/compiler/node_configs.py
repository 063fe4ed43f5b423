"""Read the configuration of a node from its step, and report every problem.

One node at a time. splits.py reads splits, which take their weights from several places;
check_templates.py checks the variables of texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from drip_pipeline.domain.definition.campaign_file import NODE_TYPES, StepDefinition
from drip_pipeline.domain.definition.normalize_steps import CONFIG_KEYS
from drip_pipeline.domain.definition.problems import (
    Problem,
    Problems,
    did_you_mean,
    from_validation,
    shorten,
)
from drip_pipeline.domain.definition.text_formats import JsonObject
from drip_pipeline.domain.graph.nodes import (
    ActionConfig,
    ConditionConfig,
    ConditionWait,
    DateWait,
    DurationWait,
    EmailConfig,
    EventWait,
    ExitConfig,
    FieldUpdateAction,
    NodeConfig,
    ScoreAction,
    SmsAction,
    SocialAction,
    TagAction,
    TimeWait,
    TriggerConfig,
    VariableAction,
    WebhookAction,
)

Config = TypeVar("Config", bound=BaseModel)

ACTIONS: Final[Mapping[str, type[ActionConfig]]] = {
    "tag": TagAction,
    "score": ScoreAction,
    "field_update": FieldUpdateAction,
    "variable": VariableAction,
    "webhook": WebhookAction,
    "sms": SmsAction,
    "social": SocialAction,
}
_TRIGGER_KINDS: Final = ("manual", "tag", "score", "webhook", "schedule", "scheduled", "event")


def read_config(step: StepDefinition, problems: Problems) -> NodeConfig | None:
    """Return the node's configuration; None if it cannot be read or the step is a split."""
    reader = _READERS.get(step.node_type or "")
    if reader is not None:
        _report_foreign_configs(step, problems)
        return reader(step, problems)
    if step.node_type is None:
        types = ", ".join(NODE_TYPES)
        problems.add(step.node_id, "node_type_missing", f"the node has no type; types are {types}")
    elif step.node_type != "split":
        message = f"{shorten(step.node_type)} is not a node type"
        hint = did_you_mean(step.node_type, NODE_TYPES) or f"; types are {', '.join(NODE_TYPES)}"
        problems.add(step.node_id, "node_type_unknown", message + hint)
    return None


def build(
    model: type[Config],
    fields: Mapping[str, object],
    step: StepDefinition,
    where: str,
    problems: Problems,
) -> Config | None:
    """Return an instance of `model`; None, with the reasons in `problems`, if it is invalid."""
    try:
        return model.model_validate(dict(fields))
    except ValidationError as error:
        problems += from_validation(error, node_id=step.node_id, where=where, model=model)
        return None


def _report_foreign_configs(step: StepDefinition, problems: Problems) -> None:
    """Report configurations of another node type: an `email` node would ignore a `wait_config`."""
    own: dict[str, tuple[str, ...]] = {
        "trigger": ("trigger_config",),
        "email": ("channel_config",),
        "wait": ("wait_config",),
        "condition": ("conditional_branches",),
        "action": ("action_config", "channel_config"),
        "exit": ("exit_config",),
    }
    problems += [
        Problem(
            step.node_id,
            "config_misplaced",
            f"{key} does not belong to a node of type {step.node_type}",
        )
        for key in CONFIG_KEYS
        if key not in own[step.node_type or ""] and getattr(step, key)
    ]


def _trigger(step: StepDefinition, problems: Problems) -> NodeConfig | None:
    fields = dict(step.trigger_config or {})
    # `{"type": "tag"}` is a common mistake: actions are written that way.
    if "trigger" not in fields and fields.get("type") in _TRIGGER_KINDS:
        fields["trigger"] = fields.pop("type")
    return build(TriggerConfig, {**fields, "type": "trigger"}, step, "trigger", problems)


def _email(step: StepDefinition, problems: Problems) -> NodeConfig | None:
    channels = dict(step.channel_config or {})
    email = channels.pop("email", None)
    problems += [
        Problem(
            step.node_id,
            "config_unknown_key",
            f"channel_config.{key} does not belong to an email node",
        )
        for key in channels
    ]
    if not isinstance(email, dict):
        problems.add(
            step.node_id,
            "config_missing",
            "an email node needs channel_config.email with subject and body",
        )
        return None
    return build(EmailConfig, {**email, "type": "email"}, step, "email", problems)


def _wait(step: StepDefinition, problems: Problems) -> NodeConfig | None:
    if not step.wait_config:
        problems.add(
            step.node_id,
            "config_missing",
            'a wait node needs wait_config: {"type": "duration", "value", "unit"},'
            ' {"type": "until_time", "time", "days"}, {"type": "until_date", "field", "offset"},'
            ' {"type": "until_event", "event_type", "max_wait"} or'
            ' {"type": "until_condition", "condition", "max_wait"}',
        )
        return None
    fields = dict(step.wait_config)
    is_for_event = "event_type" in fields or "events" in fields
    kind = fields.setdefault("type", "until_event" if is_for_event else "duration")
    models: dict[str, type[DurationWait | TimeWait | DateWait | EventWait | ConditionWait]] = {
        "duration": DurationWait,
        "until_time": TimeWait,
        "until_date": DateWait,
        "until_event": EventWait,
        "until_condition": ConditionWait,
    }
    if not isinstance(kind, str) or kind not in models:
        problems.add(
            step.node_id,
            "wait_type_unknown",
            f"unknown wait_config.type {shorten(kind)}{did_you_mean(kind, models)}",
        )
        return None
    return build(models[kind], fields, step, "wait_config", problems)


def _condition(step: StepDefinition, problems: Problems) -> NodeConfig | None:
    entries = step.conditional_branches
    if not isinstance(entries, list) or not entries:
        problems.add(
            step.node_id,
            "config_missing",
            "a condition node needs conditional_branches: [{id, condition, target_node_id}, …,"
            " {id, target_node_id}]; the last one, without a condition, is the else-branch",
        )
        return None
    # The target belongs to the edges, not to the configuration.
    branches = [
        {key: value for key, value in entry.items() if key != "target_node_id"}
        if isinstance(entry, dict)
        else entry
        for entry in entries
    ]
    otherwise = [b for b in branches if isinstance(b, dict) and "condition" not in b]
    if not otherwise:
        problems.add(
            step.node_id,
            "else_missing",
            "the else-branch is missing: one branch must have no condition, for contacts that"
            " match no other branch",
        )
    elif len(otherwise) > 1:
        listed = ", ".join(str(branch.get("id")) for branch in otherwise)
        problems.add(
            step.node_id,
            "else_twice",
            f"branches {listed} have no condition; only one can be the else-branch",
        )
    # Evaluated in order, the else-branch last regardless of its position in the file.
    ordered = [b for b in branches if b not in otherwise] + otherwise
    return build(ConditionConfig, {"branches": ordered}, step, "conditional_branches", problems)


def _action(step: StepDefinition, problems: Problems) -> NodeConfig | None:
    requested: list[tuple[str, object, str]] = []  # action type, its fields, their path in the step
    for channel, fields in (step.channel_config or {}).items():
        if channel in ("sms", "social"):
            requested.append((channel, fields, f"channel_config.{channel}"))
        else:
            hint = (
                "; an email needs a node of type email"
                if channel == "email"
                else did_you_mean(channel, ("sms", "social"))
            )
            problems.add(
                step.node_id,
                "config_unknown_key",
                f"channel_config.{channel} does not belong to an action node{hint}",
            )
    action = dict(step.action_config or {})
    kind = action.pop("type", None)
    # `{type: "sms"}` beside channel_config.sms only repeats the type.
    if kind is not None and not (not action and any(kind == name for name, _, _ in requested)):
        requested.append((str(kind), _action_fields(str(kind), action), f"action_config ({kind})"))
    elif kind is None and action:
        problems.add(step.node_id, "config_missing", "action_config.type is missing")
        return None
    if len(requested) != 1:
        what = "has several actions" if requested else "needs action_config or channel_config"
        code = "action_ambiguous" if requested else "config_missing"
        problems.add(step.node_id, code, f"an action node has exactly one action; this node {what}")
        return None
    name, fields, where = requested[0]
    if name not in ACTIONS:
        problems.add(
            step.node_id,
            "action_unknown",
            f"{shorten(name)} is not an action"
            + (did_you_mean(name, ACTIONS) or f"; actions are {', '.join(ACTIONS)}"),
        )
        return None
    if not isinstance(fields, dict):
        problems.add(step.node_id, "config_invalid", f"{where} must be an object")
        return None
    return build(ACTIONS[name], {**fields, "type": name}, step, where, problems)


def _action_fields(kind: str, action: JsonObject) -> object:
    """Return the fields of `{config: {…}}`, `{webhook: {…}}` or a flat action.

    Keys beside the nested object are kept, so that they are reported as unknown.
    """
    for key in ("config", kind):
        nested = action.get(key)
        if isinstance(nested, dict):
            rest = {name: value for name, value in action.items() if name != key}
            return {**rest, **nested}
        if nested is not None and key == "config":
            return nested
    return action


def _exit(step: StepDefinition, problems: Problems) -> NodeConfig | None:
    return build(ExitConfig, {**(step.exit_config or {}), "type": "exit"}, step, "exit", problems)


_READERS: Final[Mapping[str, Callable[[StepDefinition, Problems], NodeConfig | None]]] = {
    "trigger": _trigger,
    "email": _email,
    "wait": _wait,
    "condition": _condition,
    "action": _action,
    "exit": _exit,
}
