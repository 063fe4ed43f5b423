"""Describe configurations as text: a wait is `3 days`, a condition `score is at least 60`.

Used in pages, terminals and metadata; no decision depends on these texts. A configuration that is
not valid is returned as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from pydantic import ValidationError

from drip_pipeline.domain.conditions.conditions import Condition, ConditionType
from drip_pipeline.domain.conditions.matcher_keys import MatcherKeys, NodeReach
from drip_pipeline.domain.conditions.relative_days import DaysAgo, DaysAhead
from drip_pipeline.domain.graph.event_waits import DEFAULT_MAX_WAIT_DAYS
from drip_pipeline.domain.graph.local_times import CONTACT_ZONE, DAYS
from drip_pipeline.domain.graph.nodes import (
    AfterDays,
    ConditionConfig,
    ConditionWait,
    DateWait,
    DurationWait,
    EmailConfig,
    EventWait,
    ExitConfig,
    FieldUpdateAction,
    NodeConfig,
    PerKey,
    ScoreAction,
    SmsAction,
    SocialAction,
    SplitConfig,
    TagAction,
    TimeWait,
    TriggerConfig,
    VariableAction,
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

_REACHES: Final[Mapping[str, str]] = {
    "run": " of this run",
    "last_message": " of the last message",
    "any": " at any time",
}
_TIMES: Final[Mapping[str, str]] = {
    "==": "",
    "!=": "not ",
    ">": "more than ",
    "<": "fewer than ",
    ">=": "at least ",
    "<=": "at most ",
}


def number(value: object) -> str:
    """Return `3` for 3.0 and `1.5` for 1.5."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,.10g}" if abs(value) < 1e15 else str(value)


def value(raw: object) -> str:
    """Return a JSON value as text: strings in quotes, lists with commas, booleans as on and off."""
    match raw:
        case None:
            return "nothing"
        case DaysAgo(days_ago=days) | {"days_ago": days}:
            return f"{duration(days, 'days')} ago"
        case DaysAhead(days_ahead=days) | {"days_ahead": days}:
            return f"{duration(days, 'days')} ahead"
        case bool():
            return "on" if raw else "off"
        case int() | float():
            return number(raw)
        case str():
            return f"“{raw}”"
        case list() | tuple() if all(not isinstance(item, dict | list) for item in raw):
            return ", ".join(str(item) for item in raw) or "nothing"
    return json.dumps(raw, ensure_ascii=False, sort_keys=True, default=str)


def percentage(raw: object) -> str:
    """Return `50 %`, or `no own weight` for None."""
    return "no own weight" if raw is None else f"{number(raw)} %"


def duration(length: object, unit: object) -> str:
    """Return `3 days`, or `1 day`."""
    name = str(unit or "hours").strip().lower().removesuffix("s")
    return f"{number(length)} {name}{'' if length == 1 else 's'}"


def seconds(length: int) -> str:
    """Return a number of seconds in the largest unit that divides it."""
    for name, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if length and length % size == 0:
            return duration(length // size, name)
    return duration(length, "second")


def condition(raw: object) -> str:
    """Return a condition (JSON or parsed) as text; None is `all others`."""
    if raw is None:
        return "all others"
    if isinstance(raw, Condition):
        return _condition(raw)
    try:
        return _condition(Condition.model_validate(raw))
    except ValidationError:
        return value(raw)


def _condition(parsed: Condition, *, is_inner: bool = False) -> str:
    operator = parsed.operator.value if parsed.operator is not None else None
    match parsed.type:
        case ConditionType.COMPOSITE:
            joined = f" {(parsed.logic or 'AND').lower()} ".join(
                _condition(part, is_inner=True) for part in parsed.sub_conditions or ()
            )
            many = len(parsed.sub_conditions or ()) > 1
            return f"({joined})" if is_inner and many else joined
        case ConditionType.TAG:
            if operator == "in":
                return f"has one of the tags {value(parsed.value)}"
            has = "does not have" if operator == "!=" else "has"
            return f"{has} the tag {parsed.value}"
        case ConditionType.EVENT:
            within = (
                f" within {duration(parsed.time_window, 'hours')}" if parsed.time_window else ""
            )
            no = "no " if operator == "!=" else ""
            return f"{no}{narrowed_event(parsed.event_type, parsed)}{within}"
        case ConditionType.SCORE:
            return f"score {_OPERATORS[operator or '==']} {value(parsed.value)}"
    subject = f"the {parsed.field}" if parsed.type is ConditionType.TIME else str(parsed.field)
    if operator in ("is empty", "is not empty"):
        return f"{subject} {operator}"
    return f"{subject} {_OPERATORS[operator or '==']} {value(parsed.value)}"


def time_of_day(time: object, days: object, timezone: object) -> str:
    """Return `until 09:00 on mon, tue (Europe/Berlin)`, without what is the default."""
    names = days if isinstance(days, list | tuple) and len(days) < len(DAYS) else ()
    on = f" on {', '.join(map(str, names))}" if names else ""
    where = "" if timezone in (None, CONTACT_ZONE) else f" ({timezone})"
    return f"until {time}{on}{where}"


def local_range(raw: Mapping[str, object]) -> str:
    """Return a send window or quiet hours as text: `09:00 to 20:00 on mon, tue, else skip`."""
    days = raw.get("days")
    names = days if isinstance(days, list | tuple) and len(days) < len(DAYS) else ()
    text = f"{raw.get('from')} to {raw.get('to')}"
    if names:
        text += f" on {', '.join(map(str, names))}"
    if raw.get("timezone") not in (None, CONTACT_ZONE):
        text += f" ({raw['timezone']})"
    if raw.get("otherwise") == "skip":
        return f"{text}, else skip"
    limit = raw.get("max_delay")
    if isinstance(limit, Mapping):
        text += f", skip after {duration(limit.get('value'), limit.get('unit'))}"
    return text


def wait(raw: object) -> str:
    """Return a wait_config as text."""
    if not isinstance(raw, Mapping):
        return value(raw)
    if raw.get("type") == "until_time":
        return time_of_day(raw.get("time"), raw.get("days"), raw.get("timezone"))
    if raw.get("type") == "until_date":
        return _until_date(raw)
    if raw.get("type") == "until_condition":
        most = raw.get("max_wait")
        limit = (
            duration(most.get("value"), most.get("unit"))
            if isinstance(most, Mapping)
            else duration(DEFAULT_MAX_WAIT_DAYS, "days")
        )
        return f"until {condition(raw.get('condition'))}, {limit} at most"
    if raw.get("event_type") is None and raw.get("events") is None:
        return duration(raw.get("value"), raw.get("unit"))
    try:
        awaited = _awaited(EventWait.model_validate({"type": "until_event", **raw}))
    except ValidationError:
        return value(raw)
    longest = raw.get("max_wait")
    if not isinstance(longest, Mapping):
        return f"until {awaited}"
    limit = duration(longest.get("value"), longest.get("unit"))
    return f"until {awaited}, {limit} at most"


def _until_date(raw: Mapping[str, object]) -> str:
    """Return `until 3 days before renews_on at 09:00`."""
    text = str(raw.get("field"))
    offset = raw.get("offset")
    if isinstance(offset, Mapping):
        length = offset.get("value")
        is_before = isinstance(length, int | float) and length < 0
        size = abs(length) if isinstance(length, int | float) else length
        side = "before" if is_before else "after"
        text = f"{duration(size, offset.get('unit', 'days'))} {side} {text}"
    at = f" at {raw['time']}" if raw.get("time") else ""
    return f"until {text}{at}"


def _awaited(config: EventWait) -> str:
    return " or ".join(narrowed_event(event.event_type, event) for _, event in config.matchers())


def narrowed_event(event_type: str | None, keys: MatcherKeys) -> str:
    """Return an event with what narrows it: `purchase where value is more than 100`."""
    parts = []
    if keys.where is not None:
        parts.append(f" where {_condition(keys.where)}")
    if keys.match:
        parts.append(f" with {' and '.join(f'{path} as {name}' for path, name in keys.match)}")
    if keys.url is not None:
        parts.append(f" on {keys.url}")
    if isinstance(keys.of, NodeReach):
        parts.append(f" of {keys.of.node}")
    elif keys.of is not None:
        parts.append(_REACHES[keys.of])
    if keys.count is not None:
        parts.append(f", {_TIMES[keys.count.operator]}{keys.count.value} times")
    if keys.within is not None:
        parts.append(f" within {duration(keys.within.value, keys.within.unit)}")
    if keys.machines:
        parts.append(", also by machines")
    return f"{event_type}{''.join(parts)}"


def re_entry(raw: object) -> str:
    """Return the re-entry rule as text."""
    days = raw.after_days if isinstance(raw, AfterDays) else None
    path = raw.per_key if isinstance(raw, PerKey) else None
    if isinstance(raw, Mapping):
        days, path = raw.get("after_days"), raw.get("per_key")
    if path is not None:
        return f"once per {path} of the entry data"
    if days is not None:
        return f"again {duration(days, 'days')} after the end"
    names = {
        None: "once",
        "once": "once",
        "after_exit": "again after the end",
        "per_key": "once per key",
    }
    return names.get(raw, value(raw)) if isinstance(raw, str | None) else value(raw)


def detail(config: NodeConfig | None) -> str:
    """Return a short description of a node for its box in a flow diagram; may be empty."""
    match config:
        case DurationWait():
            return duration(config.value, config.unit)
        case TimeWait():
            return time_of_day(config.time, config.days, config.timezone)
        case DateWait() | ConditionWait():
            return wait(config.model_dump(mode="json"))
        case EventWait():
            longest = duration(config.max_wait.value, config.max_wait.unit)
            return f"until {_awaited(config)}, {longest} at most"
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
            where = f" where {condition(config.where)}" if config.where is not None else ""
            count = f" {config.count.operator} {config.count.value} times" if config.count else ""
            within = (
                f" within {duration(config.within.value, config.within.unit)}"
                if config.within
                else ""
            )
            return f"event {config.event_type}{where}{count}{within}"
    return "" if config.trigger == "manual" else config.trigger


def _action(config: object) -> str:
    match config:
        case TagAction():
            parts = [f"+{tag}" for tag in config.add] + [f"-{tag}" for tag in config.remove]
            return "tags " + ", ".join(parts)
        case ScoreAction():
            return f"score {config.delta:+d}" if config.set is None else f"score = {config.set}"
        case FieldUpdateAction():
            return f"{config.field} = {value(config.value)}"
        case VariableAction():
            return ", ".join(f"{name} = {value(raw)}" for name, raw in config.set.items())
        case WebhookAction():
            url = urlsplit(config.url)  # user, password and query may contain a secret
            return f"{config.method} {url.scheme}://{url.hostname}{url.path}"
    return ""
