"""`drip inbox …`: import, list and retry the payloads received over HTTP."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import (
    ProgressLine,
    format_counts,
    now_option,
    reason_option,
    without_zeros,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from drip_pipeline.engine.events.drain_inbox import DrainReport

_DAYS_SHOWN = 7


@click.group()
def inbox() -> None:
    """Import the payloads received over HTTP, and inspect and retry rejected ones."""


@command(inbox)
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Stop after the batch during which this time has passed; the rest stays pending.",
)
@now_option
def drain(invocation: Invocation, max_seconds: float | None, now: datetime) -> CommandResult:
    """Import the events of all pending payloads.

    A payload that cannot be parsed, or that contains an invalid event, is kept with a reason; see
    `drip inbox status`. Safe to run beside Dagster.
    """
    from drip_pipeline.domain.events.soft_bounces import SoftBounceLimit
    from drip_pipeline.engine.events.drain_inbox import drain_inbox

    with ProgressLine() as progress:
        report = drain_inbox(
            invocation.database,
            now=now,
            max_seconds=max_seconds,
            progress=progress,
            soft_bounces=SoftBounceLimit.of(invocation.settings),
        )
    return CommandResult(report, describe_drain(report))


@command(inbox)
@click.option("--provider", metavar="NAME", help="Only rejected payloads of this provider.")
@click.option(
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="Maximum number of rejected payloads.",
)
@now_option
def status(
    invocation: Invocation, provider: str | None, limit: int, now: datetime
) -> CommandResult:
    """Show pending and rejected payloads, and recent responses."""
    from drip_pipeline.db.events import inbox as inbox_db

    with invocation.database.transaction(is_read_only=True) as connection:
        waiting = [row._asdict() for row in inbox_db.count_by_status(connection)]
        rejected = [row._asdict() for row in inbox_db.rejected(connection, provider, limit)]
        since = (now - timedelta(days=_DAYS_SHOWN)).date()
        requests = [row._asdict() for row in inbox_db.request_counts_since(connection, since)]
    data = {"rows": waiting, "rejected": rejected, "requests": requests}
    tables = {
        "in the inbox": waiting,
        "rejected": rejected,
        f"requests of the last {_DAYS_SHOWN} days": requests,
    }
    return CommandResult(data, _tables(tables))


@command(inbox)
@click.argument("ids", type=int, nargs=-1)
@click.option("--provider", metavar="NAME", help="Only payloads of this provider.")
@reason_option
@now_option
def retry(
    invocation: Invocation,
    ids: tuple[int, ...],
    provider: str | None,
    reason: str | None,
    now: datetime,
) -> CommandResult:
    """Make rejected payloads pending again: those with IDS, or all.

    Events that were imported before are not counted twice.
    """
    from drip_pipeline.engine.events.inbox_payloads import retry_payloads

    rows = retry_payloads(
        invocation.database,
        now=now,
        ids=ids or None,
        provider=provider,
        actor=invocation.actor,
        reason=reason,
    )
    return CommandResult({"rows": rows}, f"{rows:,} payloads are pending again")


@command(inbox)
@click.argument("ids", type=int, nargs=-1, required=True)
@reason_option
@now_option
def discard(
    invocation: Invocation, ids: tuple[int, ...], reason: str | None, now: datetime
) -> CommandResult:
    """Give up payloads by their IDS, pending or rejected.

    Their events are not imported. The payloads stay in the table, with the reason, until they are
    pruned.
    """
    from drip_pipeline.engine.events.inbox_payloads import discard_payloads

    rows = discard_payloads(
        invocation.database, ids, now=now, actor=invocation.actor, reason=reason
    )
    return CommandResult({"rows": rows}, f"{rows:,} payloads discarded")


@command(inbox)
@click.option(
    "--older-than-days",
    type=click.IntRange(1, 36_500),
    default=90,
    show_default=True,
    help="Minimum age of the payloads.",
)
@now_option
def prune(invocation: Invocation, older_than_days: int, now: datetime) -> CommandResult:
    """Delete old imported payloads. Their events stay in the event log."""
    from drip_pipeline.db.events import inbox as inbox_db

    with invocation.database.transaction() as connection:
        rows = inbox_db.prune(connection, now - timedelta(days=older_than_days))
    return CommandResult({"rows": rows}, f"{rows:,} payloads deleted")


def describe_drain(report: DrainReport) -> str:
    """Return the result of `drain_inbox` as text for a terminal."""
    counts = {
        "new events": report.accepted,
        "duplicates": report.duplicates,
        "ignored": report.ignored,
        "waits resumed": report.resumed,
        "enrollments exited": report.ended,
        "contacts suppressed": report.suppressed,
        "unknown deliveries resolved": report.settled,
    }
    lines = [f"{report.rows:,} payloads imported: {format_counts(without_zeros(counts))}"]
    if report.again:
        lines.append(f"{report.again:,} name an unknown message and will be retried")
    if report.reasons:
        lines.append("rejected (kept in event_inbox):")
        lines += [f"  {count:,} × {reason}" for reason, count in report.reasons.items()]
    return "\n".join(lines)


def _tables(tables: Mapping[str, Sequence[object]]) -> RenderableType:
    from rich.console import Group

    parts = [table(rows, title=title) for title, rows in tables.items() if rows]
    return Group(*parts) if parts else "the inbox is empty"
