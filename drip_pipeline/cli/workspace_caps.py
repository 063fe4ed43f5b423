"""`drip workspace caps …`: the frequency caps of a workspace."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import ProgressLine, now_option, reason_option

_LENGTH: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PERIODS: Final = ("calendar_day", "calendar_week")

_workspace = click.option(
    "--workspace", metavar="NAME", help="Workspace; required if there are several."
)
_name = click.argument("name", metavar="NAME")


@click.group()
def caps() -> None:
    """List, set and remove the numbers of marketing messages that a contact gets in a period."""


@command(caps, name="list")
@_workspace
def list_(invocation: Invocation, workspace: str | None) -> CommandResult:
    """List the frequency caps of a workspace."""
    from drip_pipeline.engine.campaigns.frequency_caps import frequency_caps

    listed = frequency_caps(invocation.database, workspace)
    if not listed.caps:
        return CommandResult(listed, "no frequency caps; `drip workspace caps set NAME` sets one")
    return CommandResult(listed, table([_cells(cap) for cap in listed.caps]))


@command(caps, name="set")
@_name
@click.option(
    "--max", "most", type=click.IntRange(min=1), required=True, metavar="N", help="Messages."
)
@click.option(
    "--per",
    required=True,
    metavar="PERIOD",
    help="Period: a length such as 7d or 24h, calendar_day, or calendar_week.",
)
@click.option(
    "--channel",
    "channels",
    type=click.Choice(["email", "sms"]),
    multiple=True,
    help="Channel whose messages count; repeatable. Default: all.",
)
@click.option(
    "--on-cap",
    type=click.Choice(["defer", "skip"]),
    default="defer",
    help="A message above the cap waits (default), or is skipped.",
)
@click.option(
    "--max-defer",
    metavar="LENGTH",
    help="Skip a message that would wait longer than this since it was queued, as 3d.",
)
@_workspace
@reason_option
@now_option
def set_(
    invocation: Invocation,
    name: str,
    most: int,
    per: str,
    channels: tuple[str, ...],
    on_cap: str,
    max_defer: str | None,
    workspace: str | None,
    reason: str | None,
    now: datetime,
) -> CommandResult:
    """Set the frequency cap NAME, or change the one of that name.

    Marketing messages of all campaigns count together, except those with cap_exempt; messages that
    were sent before count too. Days and weeks are those of each contact's clock. Of the messages
    that are due for a contact, those of campaigns with a higher priority go first.
    """
    from drip_pipeline.engine.campaigns.frequency_caps import set_cap

    config: dict[str, object] = {
        "name": name,
        "max": most,
        "per": per if per in _PERIODS else _length(per, "--per"),
        "on_cap": on_cap,
    }
    if channels:
        config["channels"] = sorted(set(channels))
    if max_defer is not None:
        config["max_defer"] = _length(max_defer, "--max-defer")
    with ProgressLine() as progress:
        change = set_cap(
            invocation.database,
            workspace,
            config,
            now=now,
            actor=invocation.actor,
            reason=reason,
            progress=progress,
        )
    assert change.cap is not None
    text = f"{name}: {_text(change.cap)}"
    if not change.is_changed:
        return CommandResult(change, f"{text}; unchanged")
    return CommandResult(
        change,
        f"{text}; {change.counted:,} earlier messages count, {change.rechecked:,} held messages are"
        " checked again",
    )


@command(caps, name="remove")
@_name
@_workspace
@reason_option
@now_option
def remove(
    invocation: Invocation, name: str, workspace: str | None, reason: str | None, now: datetime
) -> CommandResult:
    """Remove the frequency cap NAME; the messages that it holds are checked again."""
    from drip_pipeline.engine.campaigns.frequency_caps import remove_cap

    change = remove_cap(
        invocation.database, workspace, name, now=now, actor=invocation.actor, reason=reason
    )
    if not change.is_changed:
        return CommandResult(change, f"no frequency cap {name!r}")
    return CommandResult(change, f"{name} removed; {change.rechecked:,} messages are checked again")


def _length(text: str, option: str) -> dict[str, object]:
    match = _LENGTH.fullmatch(text.strip().lower())
    if match is None:
        raise click.BadParameter(
            f"{text!r} is neither a length such as 7d or 24h nor {' or '.join(_PERIODS)}"
            if option == "--per"
            else f"{text!r} is not a length such as 3d or 12h",
            param_hint=option,
        )
    number = float(match[1])
    return {
        "value": int(number) if number.is_integer() else number,
        "unit": _UNITS.get(match[2], match[2]),
    }


def _text(cap: Mapping[str, Any]) -> str:
    cells = _cells(cap)
    text = f"at most {cap['max']:,} {cells['channels']} messages per {cells['per']}, else"
    text += f" {cells['above it']}"
    return text + (f", skip after {cells['at most']}" if cells["at most"] else "")


def _cells(cap: Mapping[str, Any]) -> dict[str, object]:
    from drip_pipeline.domain.diff.describe import duration

    per, limit = cap["per"], cap.get("max_defer")
    return {
        "name": cap["name"],
        "max": cap["max"],
        "per": duration(per["value"], per["unit"])
        if isinstance(per, dict)
        else per.replace("_", " "),
        "channels": " and ".join(cap["channels"]),
        "above it": cap["on_cap"],
        "at most": None if limit is None else duration(limit["value"], limit["unit"]),
    }
