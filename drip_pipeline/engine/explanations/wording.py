"""Words for times, rules and reasons in explanations; an unknown name is shown as it is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from drip_pipeline.domain.conditions.time_zones import zone_of
from drip_pipeline.domain.graph.frequency_caps import CAP

NOTHING_FOLLOWS: Final = "nothing more follows"
HOLDOUT_OF_SPLIT: Final = "the contact is in the holdout of the split"

_SECOND: Final = timedelta(seconds=1)
_NEAR: Final = timedelta(minutes=2)
_CAP: Final = f"{CAP}:"
_RULES: Final[Mapping[str, str]] = {
    "send_window": "the send window",
    "quiet_hours": "the rule 'quiet hours'",
    "topic_confirmation": "the topic, which the contact has not confirmed,",
}
REASONS: Final[Mapping[str, str]] = {
    "unsubscribed": "the contact has unsubscribed",
    "complained": "the contact has reported spam",
    "bounced": "the address has bounced",
    "soft_bounced": "the address has bounced too often",
    "manual": "an operator has suppressed the address",
    "suppressed": "the address is suppressed",
    "opted_out": "the number has opted out",
    "unreachable": "the number cannot be reached",
    "no_address": "the contact has no address for this channel",
    "no_email": "the contact has no email address",
    "no_phone": "the contact has no phone number",
    "no_consent": "the contact has not consented to this channel",
    "not_confirmed": "the contact has not confirmed the topic",
    "left_topic": "the contact has left the topic",
    "holdout": "the contact is in the workspace's holdout",
    "send_window": "the send window was closed",
    "quiet_hours": "it was in the workspace's quiet hours",
    "removed": "the enrollment was removed",
    "goal": "the goal was reached",
    "campaign_archived": "the campaign was archived",
    "exit_condition": "an exit node was reached",
    "already_in": "its re-entry policy does not let the contact enter again",
    "too_soon": "its re-entry policy does not let the contact enter again yet",
    "same_address": "another contact with the same address is enrolled",
    "other_workspace": "the campaign belongs to another workspace",
    "locked": "another process is changing the contact just now",
    "over_max_people": "the campaign has reached max_people",
    "over_per_day": "the campaign has reached per_day for today",
    "no_entry_key": "there is no key for the run",
}


def when(at: datetime, now: datetime, zone: str | None) -> str:
    """Return `Thu 3 Dec 09:00 (Berlin)`; with the year, if that is not the one of `now`."""
    return f"{clock(at, now, zone)} ({place_of(zone)})"


def clock(at: datetime, now: datetime, zone: str | None) -> str:
    """Return `Thu 3 Dec 09:00`; with the year, if that is not the one of `now`, and with seconds,
    if it is less than two minutes ahead."""
    local, today = at.astimezone(zone_of(zone)), now.astimezone(zone_of(zone))
    year = f" {local.year}" if local.year != today.year else ""
    time = "%H:%M:%S" if _SECOND < at - now < _NEAR else "%H:%M"
    return f"{local:%a} {local.day} {local:%b}{year} {local:{time}}"


def place_of(zone: str | None) -> str:
    """Return the place that a time zone is named after: `Berlin` of Europe/Berlin."""
    return (zone or "UTC").rpartition("/")[2].replace("_", " ")


def rule(name: str) -> str:
    """Return what holds a message, as the subject of a sentence."""
    if name.startswith(_CAP):
        return f"the frequency cap {name.removeprefix(_CAP)!r}"
    return _RULES.get(name, f"the rule {name!r}")


def is_cap(name: str) -> bool:
    """Return whether a rule is a frequency cap."""
    return name.startswith(_CAP)


def reason(name: str | None) -> str:
    """Return the reason why a message was not sent or a run ended."""
    if not name:
        return "no reason is stored"
    if name.startswith(_CAP):
        return f"{rule(name)} was full"
    return REASONS.get(name, name.replace("_", " "))


def value(raw: Any) -> str:
    """Return a compared value: `“pro”`, `55`, `yes`, `nothing`."""
    match raw:
        case None | [] | {}:
            return "nothing"
        case bool():
            return "yes" if raw else "no"
        case str():
            return f"“{raw}”"
        case list():
            return ", ".join(map(value, raw))
        case {"events": number, **rest}:
            others = ", ".join(f"{name} {value(each)}" for name, each in rest.items())
            return f"{number} events" + (f" ({others})" if others else "")
        case Mapping():
            return ", ".join(f"{name} {value(each)}" for name, each in raw.items())
    return str(raw)
