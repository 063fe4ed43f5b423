"""`drip channels …`: the ways out, their state, and setting them up."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import now_option


@click.group(help="Channels: set them up, see how their providers fare, bring them back.")
def channels() -> None:
    """Commands of channels."""


def _json_object(
    _context: click.Context, _parameter: click.Parameter, given: str
) -> dict[str, Any]:
    try:
        found = json.loads(given)
    except ValueError:
        raise click.BadParameter("is not JSON") from None
    if not isinstance(found, dict):
        raise click.BadParameter("must be a JSON object")
    return found


@command(channels, name="set")
@click.argument("slug")
@click.option("--category", type=click.Choice(("email", "sms", "social", "webhook")), required=True)
@click.option("--platform", metavar="NAME", help="Of a social channel: mastodon or webhook.")
@click.option(
    "--config",
    metavar="JSON",
    callback=_json_object,
    default="{}",
    help="Provider, limits and names of secrets, as an object.",
)
@click.option("--workspace", metavar="NAME", help="Whose channel it is.")
@click.option("--off", is_flag=True, help="Switch it off: its messages wait.")
@now_option
def set_(
    invocation: Invocation,
    slug: str,
    category: str,
    platform: str | None,
    config: dict[str, Any],
    workspace: str | None,
    off: bool,
    now: datetime,
) -> CommandResult:
    """Make the channel SLUG, or change it. Secrets stay in the environment; it names them."""
    from drip_pipeline.engine.transports.accounts import set_channel

    report = set_channel(
        invocation.database,
        slug,
        category=category,
        platform=platform,
        config=config,
        now=now,
        is_active=not off,
        workspace=workspace,
    )
    text = f"channel {slug} ({category}) is {'off' if off else 'on'}"
    if report.unread:
        text += f"; nobody reads {', '.join(report.unread)}"
    return CommandResult(report, text)


@command(channels, name="list")
@now_option
def list_(invocation: Invocation, now: datetime) -> CommandResult:
    """List every way out that was used: breaker, last error, messages on their way and in doubt."""
    from drip_pipeline.engine.transports.accounts import list_transports

    rows = list_transports(invocation.database, now=now)
    shown = ("transport", "state", "sending", "unknown", "last_error", "last_error_at")
    listed = [{name: row[name] for name in shown} for row in rows]
    return CommandResult(rows, table(listed) if listed else "none was used yet")


@command(channels)
@click.argument("transport")
@now_option
def reset(invocation: Invocation, transport: str, now: datetime) -> CommandResult:
    """Say that TRANSPORT works again: closes its breaker, and calls an endpoint that was gone."""
    from drip_pipeline.engine.transports.accounts import reset_transport

    reset_transport(invocation.database, transport, now=now)
    return CommandResult({"transport": transport}, f"{transport} is open again")
