"""Configurations as people say them: a wait is `3 days`, a condition `score is at least 60`. For
pages, terminals and metadata; nothing is decided by these words.

What cannot be read (a draft, an edit of another application) is shown as the JSON it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import ValidationError

from drip_pipeline.domain.conditions.conditions import Condition, ConditionType
from drip_pipeline.domain.graph.nodes import (
    AfterDays,
    ConditionConfig,
    DurationWait,
    EmailConfig,
    EventWait,
    ExitConfig,
    FieldUpdateAction,
    NodeConfig,
    ScoreAction,
    SmsAction,
    SocialAction,
    SplitConfig,
    TagAction,
    TriggerConfig,
    WebhookAction,
)

_OPERATORS: Final[Mapping[str, str]] = {
    "==": "is",
    "!=": "is not",
    ">": "is more than",
    "<": "is less than",
    ">=": "is at least",
    "<=": "is at most",
    "contains": "contains",
    "in": "is one of",
}


def number(value: Any) -> str:
    """`3` for 3.0, `1.5` for 1.5."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,.10g}" if abs(value) < 1e15 else str(value)


def value(told: Any) -> str:
    """A value of a file: texts in quotes, lists with commas, switches on and off."""
    match told:
        case None:
            return "nothing"
        case bool():
            return "on" if told else "off"
        case int() | float():
            return number(told)
        case str():
            return f"“{told}”"
        case list() | tuple() if all(not isinstance(item, dict | list) for item in told):
            return ", ".join(str(item) for item in told) or "nothing"
    return json.dumps(told, ensure_ascii=False, sort_keys=True, default=str)


def percentage(told: Any) -> str:
    """`50 %`; `no share of its own` where none is given."""
    return "no share of its own" if told is None else f"{number(told)} %"


def duration(length: Any, unit: Any) -> str:
    """`3 days`, `1 day`."""
    name = str(unit or "hours").strip().lower().removesuffix("s")
    return f"{number(length)} {name}{'' if length == 1 else 's'}"


def seconds(length: int) -> str:
    """A number of seconds in the largest unit that divides it."""
    for name, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if length and length % size == 0:
            return duration(length // size, name)
    return duration(length, "second")


def condition(told: Any) -> str:
    """A condition (as parsed JSON, or read); None is everybody else."""
    if told is None:
        return "everybody else"
    if not isinstance(told, Condition):
        try:
            told = Condition.model_validate(told)
        except ValidationError:
            return value(told)
    return _condition(told)


def _condition(told: Condition, *, is_inner: bool = False) -> str:
    operator = told.operator.value if told.operator is not None else None
    match told.type:
        case ConditionType.COMPOSITE:
            joined = f" {(told.logic or 'AND').lower()} ".join(
                _condition(part, is_inner=True) for part in told.sub_conditions or ()
            )
            many = len(told.sub_conditions or ()) > 1
            return f"({joined})" if is_inner and many else joined
        case ConditionType.TAG:
            if operator == "in":
                return f"has one of the tags {value(told.value)}"
            verb = "has not" if operator == "!=" else "has"
            return f"{verb} the tag {told.value}"
        case ConditionType.EVENT:
            within = f" within {duration(told.time_window, 'hours')}" if told.time_window else ""
            verb = "no " if operator == "!=" else ""
            return f"{verb}{told.event_type}{within}"
        case ConditionType.SCORE:
            return f"score {_OPERATORS[operator or '==']} {value(told.value)}"
    subject = f"the {told.field}" if told.type is ConditionType.TIME else str(told.field)
    return f"{subject} {_OPERATORS[operator or '==']} {value(told.value)}"


def wait(told: Any) -> str:
    """A wait_config."""
    if not isinstance(told, Mapping):
        return value(told)
    if told.get("event_type") is None:
        return duration(told.get("value"), told.get("unit"))
    longest = told.get("max_wait")
    if not isinstance(longest, Mapping):
        return f"until {told['event_type']}"
    most = duration(longest.get("value"), longest.get("unit"))
    return f"until {told['event_type']}, {most} at most"


def re_entry(told: Any) -> str:
    """Whether people may come again."""
    days = told.after_days if isinstance(told, AfterDays) else None
    if isinstance(told, Mapping):
        days = told.get("after_days")
    if days is not None:
        return f"again {duration(days, 'days')} after the end"
    names = {
        None: "once",
        "once": "once",
        "after_exit": "again after the end",
        "per_key": "once per key",
    }
    return names.get(told, value(told)) if isinstance(told, str | None) else value(told)


def detail(config: NodeConfig | None) -> str:
    """What a node does, in a few words for its box in a drawing; may be empty."""
    match config:
        case DurationWait():
            return duration(config.value, config.unit)
        case EventWait():
            longest = duration(config.max_wait.value, config.max_wait.unit)
            return f"until {config.event_type}, {longest} at most"
        case EmailConfig():
            return config.subject
        case SmsAction():
            return config.body
        case SocialAction():
            return f"{config.platform}: {config.content}"
        case SplitConfig():
            return " · ".join(percentage(variant.percentage) for variant in config.variants)
        case ConditionConfig():
            first = config.branches[0]
            return f"if {condition(first.condition)}" if first.condition is not None else ""
        case TriggerConfig():
            return _trigger(config)
        case ExitConfig():
            return config.reason or ""
    return _action(config)


def _trigger(config: TriggerConfig) -> str:
    match config.trigger:
        case "tag":
            return f"tag {config.tag}"
        case "score":
            return f"score reaches {number(config.at_least)}"
        case "schedule":
            return f"schedule {config.cron}"
        case "event":
            return f"event {config.event_type}"
    return "" if config.trigger == "manual" else config.trigger


def _action(config: Any) -> str:
    match config:
        case TagAction():
            parts = [f"+{tag}" for tag in config.add] + [f"-{tag}" for tag in config.remove]
            return "tags " + ", ".join(parts)
        case ScoreAction():
            return f"score {config.delta:+d}" if config.set is None else f"score = {config.set}"
        case FieldUpdateAction():
            return f"{config.field} = {value(config.value)}"
        case WebhookAction():
            url = urlsplit(config.url)  # user, password and query may hold a key
            return f"{config.method} {url.scheme}://{url.hostname}{url.path}"
    return ""
