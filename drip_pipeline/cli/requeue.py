"""`drip requeue`: bring back what failed for good."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import now_option, parse_time


@command()
@click.option("--batch", type=click.UUID, metavar="ID", help="What this batch of the ledger left.")
@click.option("--campaign", metavar="C", help="Everything that failed in this campaign.")
@click.option("--node", metavar="N", help="Only what failed at this node.")
@click.option(
    "--since",
    metavar="ISO",
    callback=parse_time,
    help="Only what failed at this time or later; alone, in every campaign.",
)
@now_option
def requeue(
    invocation: Invocation,
    batch: UUID | None,
    campaign: str | None,
    node: str | None,
    since: datetime | None,
    now: datetime,
) -> CommandResult:
    """Put failed people and deliveries back to due, with fresh retries.

    A delivery keeps its id: a provider that took it after all recognizes it.
    """
    if batch is not None and campaign is not None:
        raise click.UsageError("Name either --batch or --campaign.")
    if batch is None and campaign is None and since is None:
        raise click.UsageError("Name --batch, --campaign or --since.")
    from drip_pipeline.engine.operations.requeue import requeue as requeue_failed

    report = requeue_failed(
        invocation.database,
        now=now,
        campaign=campaign,
        batch_id=batch,
        node_id=node,
        since=since,
    )
    text = f"{report.states:,} people and {report.deliveries:,} deliveries are due again"
    return CommandResult(report, f"{text}; {report.note}" if report.note else text)
