"""`drip deliveries …`: messages that need an eye, and an operator's word on those in doubt."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import now_option

STATUSES = ("unknown", "failed", "pending", "sending", "sent", "skipped")
CHANNELS = ("email", "sms", "social", "webhook")


@click.group(help="Messages: list them, and settle those whose fate is unknown.")
def deliveries() -> None:
    """Commands of deliveries."""


@command(deliveries, name="list")
@click.option(
    "--status",
    type=click.Choice(STATUSES),
    default="unknown",
    show_default=True,
    help="unknown: in doubt; failed: dead letters, which `drip requeue` brings back.",
)
@click.option("--campaign", metavar="C", help="Only of this campaign.")
@click.option("--channel", type=click.Choice(CHANNELS), help="Only of this channel.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
def list_(
    invocation: Invocation, status: str, campaign: str | None, channel: str | None, limit: int
) -> CommandResult:
    """List deliveries of a status, latest first, with the provider's last words."""
    from drip_pipeline.engine.delivery.list_deliveries import list_deliveries

    rows = list_deliveries(
        invocation.database, status=status, campaign=campaign, channel=channel, limit=limit
    )
    return CommandResult(rows)


@command(deliveries)
@click.argument("ids", type=click.UUID, nargs=-1, metavar="[ID …]")
@click.option(
    "--as",
    "answer",
    type=click.Choice(("sent", "not-sent", "skip")),
    required=True,
    help="sent: they went out. not-sent: they did not, and go out now. skip: people go on without.",
)
@click.option("--campaign", metavar="C", help="All that are in doubt in this campaign.")
@click.option("--channel", type=click.Choice(CHANNELS), help="All that are in doubt there.")
@now_option
def settle(
    invocation: Invocation,
    ids: tuple[UUID, ...],
    answer: str,
    campaign: str | None,
    channel: str | None,
    now: datetime,
) -> CommandResult:
    """Say what became of messages whose fate is unknown: some by ID, or all of a campaign, channel.

    The provider's own log knows. Messages keep their ids, so nothing is counted twice.
    """
    if not ids and campaign is None and channel is None:
        raise click.UsageError("Name ids, --campaign or --channel.")
    from drip_pipeline.engine.delivery.resolve_unknown import settle_doubts

    report = settle_doubts(
        invocation.database,
        answer,  # type: ignore[arg-type]  # click has checked it
        now=now,
        ids=ids or None,
        campaign=campaign,
        channel=channel,
    )
    posts = f" and {report.posts:,} posts" if report.posts else ""
    return CommandResult(
        report, f"{report.deliveries:,} messages{posts} settled as {report.answer}"
    )
