"""`drip channels …`: configure channels, and show and reset the state of their transports."""

from __future__ import annotations

import json
from datetime import datetime

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import now_option, reason_option

_COLUMNS = ("transport", "state", "sending", "unknown", "last_error", "last_error_at")


@click.group()
def channels() -> None:
    """Configure channels, show provider health, and re-enable transports."""


def _json_object(
    _context: click.Context, _parameter: click.Parameter, text: str
) -> dict[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise click.BadParameter("is not JSON") from None
    if not isinstance(value, dict):
        raise click.BadParameter("must be a JSON object")
    return value


@command(channels, name="set")
@click.argument("slug")
@click.option(
    "--category",
    type=click.Choice(("email", "sms", "social", "webhook")),
    required=True,
    help="Kind of messages that the channel sends.",
)
@click.option("--platform", metavar="NAME", help="Platform of a social channel: mastodon, webhook.")
@click.option(
    "--config",
    metavar="JSON",
    callback=_json_object,
    default="{}",
    help="Provider, limits and names of secrets, as a JSON object.",
)
@click.option("--workspace", metavar="NAME", help="Workspace of the channel.")
@click.option("--off", is_flag=True, help="Disable the channel; its messages wait.")
@reason_option
@now_option
def set_(
    invocation: Invocation,
    slug: str,
    category: str,
    platform: str | None,
    config: dict[str, object],
    workspace: str | None,
    off: bool,
    reason: str | None,
    now: datetime,
) -> CommandResult:
    """Create or change the channel SLUG.

    The configuration names the environment variables that hold secrets; it never contains the
    secrets.
    """
    from drip_pipeline.db.delivery.channel_accounts import ChannelDefinition
    from drip_pipeline.engine.transports.accounts import set_channel

    channel = ChannelDefinition(slug, category, platform, config, is_active=not off)
    report = set_channel(
        invocation.database,
        channel,
        now=now,
        workspace=workspace,
        actor=invocation.actor,
        reason=reason,
    )
    text = f"channel {slug} ({category}) is {'off' if off else 'on'}"
    if report.unread:
        text += f"; ignored unknown keys: {', '.join(report.unread)}"
    return CommandResult(report, text)


@command(channels, name="list")
@now_option
def list_(invocation: Invocation, now: datetime) -> CommandResult:
    """List the transports that were used, and their health.

    Shows the circuit breaker, the last error, and the deliveries in progress and unknown.
    """
    from drip_pipeline.engine.transports.accounts import list_transports

    rows = list_transports(invocation.database, now=now)
    return CommandResult(rows, table(rows, _COLUMNS) if rows else "no transport has been used")


@command(channels)
@click.argument("transport")
@reason_option
@now_option
def reset(
    invocation: Invocation, transport: str, reason: str | None, now: datetime
) -> CommandResult:
    """Re-enable TRANSPORT.

    Closes its circuit breaker, and enables an endpoint that was disabled by 410 Gone.
    """
    from drip_pipeline.engine.transports.accounts import reset_transport

    reset_transport(invocation.database, transport, now=now, actor=invocation.actor, reason=reason)
    return CommandResult({"transport": transport}, f"{transport} is enabled")
