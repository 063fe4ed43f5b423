"""`drip deliveries …`: list deliveries, and resolve those with an unknown outcome."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import now_option, reason_option

STATUSES = ("unknown", "failed", "pending", "sending", "sent", "skipped")
CHANNELS = ("email", "sms", "social", "webhook")


@click.group()
def deliveries() -> None:
    """List deliveries, and resolve those with an unknown outcome."""


@command(deliveries, name="list")
@click.option(
    "--status",
    type=click.Choice(STATUSES),
    default="unknown",
    show_default=True,
    help="Status to list. `unknown`: the provider may or may not have accepted the message."
    " `failed`: no attempt is left; `drip requeue` retries.",
)
@click.option("--campaign", metavar="C", help="Only deliveries of this campaign (id or name).")
@click.option("--channel", type=click.Choice(CHANNELS), help="Only deliveries of this channel.")
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=100,
    show_default=True,
    help="Maximum number of deliveries.",
)
def list_(
    invocation: Invocation, status: str, campaign: str | None, channel: str | None, limit: int
) -> CommandResult:
    """List deliveries of one status.

    The latest are first, each with the last provider response.
    """
    from drip_pipeline.engine.delivery.list_deliveries import list_deliveries

    rows = list_deliveries(
        invocation.database, status=status, campaign=campaign, channel=channel, limit=limit
    )
    return CommandResult(rows)


@command(deliveries)
@click.argument("ids", type=click.UUID, nargs=-1, metavar="[ID …]")
@click.option(
    "--as",
    "outcome",
    type=click.Choice(("sent", "not-sent", "skip")),
    required=True,
    help="sent: mark as sent. not-sent: send now. skip: do not send, and continue the enrollment.",
)
@click.option("--campaign", metavar="C", help="All unknown deliveries of this campaign.")
@click.option("--channel", type=click.Choice(CHANNELS), help="All unknown deliveries of a channel.")
@reason_option
@now_option
def settle(
    invocation: Invocation,
    ids: tuple[UUID, ...],
    outcome: str,
    campaign: str | None,
    channel: str | None,
    reason: str | None,
    now: datetime,
) -> CommandResult:
    """Set the outcome of deliveries whose status is unknown.

    Select them by ID, by campaign, by channel, or by a combination. Look up the outcome in the
    provider's log first. Message ids do not change, so no event is counted twice.
    """
    if not ids and campaign is None and channel is None:
        raise click.UsageError("Specify an ID, --campaign or --channel.")
    from drip_pipeline.engine.delivery.resolve_unknown import resolve_unknown

    report = resolve_unknown(
        invocation.database,
        outcome,  # type: ignore[arg-type]  # click has checked it
        now=now,
        ids=ids or None,
        campaign=campaign,
        channel=channel,
        actor=invocation.actor,
        reason=reason,
    )
    posts = f" and {report.posts:,} posts" if report.posts else ""
    return CommandResult(
        report, f"{report.deliveries:,} deliveries{posts} resolved as {report.answer}"
    )
