"""`drip requeue`: retry what has failed permanently."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import now_option, parse_time, reason_option


@command()
@click.option("--batch", type=click.UUID, metavar="ID", help="Failures of this batch.")
@click.option("--campaign", metavar="C", help="Failures of this campaign (id or exact name).")
@click.option("--node", metavar="N", help="Only failures at this node.")
@click.option(
    "--since",
    metavar="ISO",
    callback=parse_time,
    help="Only failures at or after this time. Without --batch and --campaign: in all campaigns.",
)
@reason_option
@now_option
def requeue(
    invocation: Invocation,
    batch: UUID | None,
    campaign: str | None,
    node: str | None,
    since: datetime | None,
    reason: str | None,
    now: datetime,
) -> CommandResult:
    """Make failed enrollments and deliveries due again, with all their retries.

    A delivery keeps its message id, so a provider that supports idempotency does not send it
    twice.
    """
    if batch is not None and campaign is not None:
        raise click.UsageError("--batch and --campaign cannot be combined.")
    if batch is None and campaign is None and since is None:
        raise click.UsageError("Specify --batch, --campaign or --since.")
    from drip_pipeline.engine.operations.requeue import requeue as requeue_failed

    report = requeue_failed(
        invocation.database,
        now=now,
        campaign=campaign,
        batch_id=batch,
        node_id=node,
        since=since,
        actor=invocation.actor,
        reason=reason,
    )
    text = f"{report.states:,} enrollments and {report.deliveries:,} deliveries are due again"
    return CommandResult(report, f"{text}; {report.note}" if report.note else text)
