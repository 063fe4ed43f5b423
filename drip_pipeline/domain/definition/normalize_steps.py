"""Normalize a step: convert every accepted form to the specification's.

Flat email columns, configurations inside the canvas node, the general-purpose columns of a database
row, branches without ids. One step at a time; complete.py handles several steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from drip_pipeline.domain.definition.campaign_file import StepDefinition
from drip_pipeline.domain.definition.problems import Problems
from drip_pipeline.domain.definition.text_formats import JsonObject

CONFIG_KEYS: Final = (
    "channel_config",
    "wait_config",
    "conditional_branches",
    "action_config",
    "trigger_config",
    "exit_config",
    "variants",
    "assignment",
)
MESSAGE_KEYS: Final = ("kind", "send_window")
"""Keys of a step that sends a message; a database row has them in `node_config`."""
ELSE_BRANCH_ID: Final = "else"

_INLINE_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "trigger": frozenset({"trigger", "tag", "at_least", "cron", "event_type", "backfill"}),
    "email": frozenset({"email", "subject", "body", "body_html", "preheader"}),
    "wait": frozenset(
        {"type", "value", "unit", "event_type", "events", "max_wait", "time", "field", "offset"}
        | {"condition"}
    ),
    "condition": frozenset({"branches"}),
    "split": frozenset({"variants", "assignment"}),
    "action": frozenset({"type", "config", "webhook", "sms", "social"}),
    "exit": frozenset({"status", "reason"}),
}
"""Keys that mark a canvas node's `data.config` as a configuration. Without one of them it contains
only the builder's display data (an icon, a color)."""


def normalize_step(step: StepDefinition, problems: Problems) -> StepDefinition:
    """Return the step with its type, branch ids, and its configuration in the specified keys."""
    step = step.model_copy(update={"node_type": _node_type(step)})
    step = _without_catch_alls(step)
    step = _without_flat_columns(step, problems)
    if step.conditional_branches is not None:
        branches = _with_ids(step.conditional_branches)
        step = step.model_copy(update={"conditional_branches": branches})
    return step


def has_config(step: StepDefinition) -> bool:
    """Return whether the step has a configuration."""
    return any(getattr(step, key) is not None for key in CONFIG_KEYS)


def inline_config(node_type: str | None, config: Mapping[str, object]) -> JsonObject:
    """Return the step fields in a canvas node's `data.config`; {} if it has none."""
    fields = {key: config[key] for key in CONFIG_KEYS if config.get(key) is not None}
    if fields:
        return fields
    if not _INLINE_KEYS.get(node_type or "", frozenset()) & config.keys():
        return {}
    own = dict(config)
    match node_type:
        case "trigger" | "wait" | "exit":
            return {f"{node_type}_config": own}
        case "email":
            return {"channel_config": own if "email" in own else {"email": own}}
        case "condition":
            return {"conditional_branches": own["branches"]}
        case "split":
            return {key: own[key] for key in ("variants", "assignment") if key in own}
        case _:
            messages = own.keys() & {"sms", "social"}
            return {"channel_config" if messages else "action_config": own}


def _node_type(step: StepDefinition) -> str | None:
    if step.node_type is not None:
        return step.node_type.lower()
    channels = step.channel_config or {}
    if "email" in channels or step.subject_line is not None or step.email_body is not None:
        return "email"
    if step.wait_config is not None:
        return "wait"
    if step.conditional_branches is not None:
        return "condition"
    if step.variants is not None:
        return "split"
    if step.action_config is not None or channels.keys() & {"sms", "social"}:
        return "action"
    if step.trigger_config is not None:
        return "trigger"
    return "exit" if step.exit_config is not None else None


def _without_catch_alls(step: StepDefinition) -> StepDefinition:
    """Move `node_config`, and `action_config` of trigger, split and exit nodes, to their keys."""
    extra = step.node_config
    update: JsonObject = {"node_config": None}
    if step.node_type in ("trigger", "exit", "split") and step.action_config is not None:
        extra = extra if extra is not None else step.action_config
        update["action_config"] = None
    if extra is not None:
        if step.node_type in ("trigger", "exit"):
            key = f"{step.node_type}_config"
            update[key] = getattr(step, key) if getattr(step, key) is not None else extra
        else:
            keys = ("variants", "assignment") if step.node_type == "split" else MESSAGE_KEYS
            for key in keys:
                current = getattr(step, key)
                update[key] = current if current is not None else extra.get(key)
    if not isinstance(update.get("variants"), list | None):
        update["variants"] = [update["variants"]]  # reported where variants are read
    return step.model_copy(update=update)


def _without_flat_columns(step: StepDefinition, problems: Problems) -> StepDefinition:
    """Move `subject_line` … `email_body_html` to channel_config.email unless it exists."""
    flat = {
        "subject": step.subject_line,
        "preheader": step.preheader_text,
        "body": step.email_body,
        "body_html": step.email_body_html,
    }
    email_fields = {key: value for key, value in flat.items() if value is not None}
    update: JsonObject = {
        "subject_line": None,
        "preheader_text": None,
        "email_body": None,
        "email_body_html": None,
    }
    channels = step.channel_config or {}
    email = channels.get("email")
    if step.node_type == "email" and email_fields and email is None:
        update["channel_config"] = {**channels, "email": email_fields}
    elif email_fields and isinstance(email, dict):
        differing = sorted(
            key
            for key, value in email_fields.items()
            if (value or None) != (email.get(key) or None)
        )
        if differing:
            problems.add(
                step.node_id,
                "legacy_columns_ignored",
                f"the flat columns differ from channel_config.email in {', '.join(differing)};"
                " channel_config is used",
                "warning",
            )
    elif email_fields and any(value.strip() for value in email_fields.values()):
        problems.add(
            step.node_id,
            "legacy_columns_ignored",
            f"email columns have no effect on a node of type {step.node_type}",
            "warning",
        )
    return step.model_copy(update=update)


def _with_ids(branches: list[object]) -> list[object]:
    """Give every branch an id: `else` without a condition, otherwise `branch_1`, `branch_2` ….

    Builders write `condition: {}` for no condition.
    """
    taken = {str(branch["id"]) for branch in branches if isinstance(branch, dict) and _id(branch)}
    named: list[object] = []
    for index, branch in enumerate(branches, 1):
        if not isinstance(branch, dict):
            named.append(branch)
            continue
        copy = {key: value for key, value in branch.items() if value not in (None, {})}
        if _id(branch):
            copy["id"] = _id(branch)
        else:
            name = f"branch_{index}" if "condition" in copy else ELSE_BRANCH_ID
            copy["id"] = name if name not in taken else f"{name}_{index}"
            taken.add(copy["id"])
        named.append(copy)
    return named


def _id(entry: Mapping[str, object]) -> str:
    value = entry.get("id")
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value).strip()
