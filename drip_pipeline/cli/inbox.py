"""`drip inbox …`: what came in over HTTP: take it in, look at it, bring back what could not be
taken.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import ProgressLine, format_counts, now_option

if TYPE_CHECKING:
    from drip_pipeline.engine.events.drain_inbox import DrainReport

_DAYS_SHOWN = 7


@click.group(help="The inbox of the receiver: drain it, look at it, retry what was not taken.")
def inbox() -> None:
    """Commands of the inbox."""


@command(inbox)
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Stop between two batches after this time; what is left stays due.",
)
@now_option
def drain(invocation: Invocation, max_seconds: float | None, now: datetime) -> CommandResult:
    """Take in the events of everything that came in.

    A payload that cannot be read, or holds events that cannot be taken, is kept with its reason
    (`drip inbox status`). Safe to run beside Dagster.
    """
    from drip_pipeline.engine.events.drain_inbox import drain_inbox

    with ProgressLine() as progress:
        report = drain_inbox(
            invocation.database, now=now, max_seconds=max_seconds, progress=progress
        )
    return CommandResult(report, told(report))


@command(inbox)
@click.option("--provider", metavar="NAME", help="Only what this one sent.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@now_option
def status(
    invocation: Invocation, provider: str | None, limit: int, now: datetime
) -> CommandResult:
    """Say what waits, what could not be taken and why, and how the receiver answered lately."""
    from drip_pipeline.db.events import inbox as inbox_db

    with invocation.database.transaction(is_read_only=True) as connection:
        waiting = inbox_db.by_status(connection)
        rejected = inbox_db.rejected(connection, provider, limit)
        since = (now - timedelta(days=_DAYS_SHOWN)).date()
        requests = inbox_db.counts_since(connection, since)
    data = {"rows": waiting, "rejected": rejected, "requests": requests}
    return CommandResult(data, _shown(waiting, rejected, requests))


@command(inbox)
@click.argument("ids", type=int, nargs=-1)
@click.option("--provider", metavar="NAME", help="Only what this one sent.")
@now_option
def retry(
    invocation: Invocation, ids: tuple[int, ...], provider: str | None, now: datetime
) -> CommandResult:
    """Put what could not be taken back to due: these IDS, or all.

    What was taken of it counts once all the same.
    """
    from drip_pipeline.db.events import inbox as inbox_db

    with invocation.database.transaction() as connection:
        rows = inbox_db.retry(connection, ids=ids or None, provider=provider, now=now)
    return CommandResult({"rows": rows}, f"{rows:,} payloads are due again")


@command(inbox)
@click.option("--older-than-days", type=click.IntRange(1, 36_500), default=90, show_default=True)
@now_option
def prune(invocation: Invocation, older_than_days: int, now: datetime) -> CommandResult:
    """Remove payloads that were taken long ago; their events stay in the log."""
    from drip_pipeline.db.events import inbox as inbox_db

    with invocation.database.transaction() as connection:
        rows = inbox_db.prune(connection, now - timedelta(days=older_than_days))
    return CommandResult({"rows": rows}, f"{rows:,} payloads removed")


def told(report: DrainReport) -> str:
    """What draining did, for people."""
    figures = {
        "new events": report.accepted,
        "known already": report.duplicates,
        "of no concern": report.ignored,
        "waits resumed": report.resumed,
        "runs ended": report.ended,
        "contacts suppressed": report.suppressed,
        "messages no longer in doubt": report.settled,
    }
    found = format_counts({name: count for name, count in figures.items() if count})
    lines = [f"{report.rows:,} payloads from the inbox: {found}"]
    if report.again:
        lines.append(f"{report.again:,} name a message that is not known yet; tried again later")
    if report.reasons:
        lines.append("kept aside in event_inbox:")
        lines += [f"  {count:,} × {reason}" for reason, count in report.reasons.items()]
    return "\n".join(lines)


def _shown(
    waiting: list[dict[str, Any]], rejected: list[dict[str, Any]], requests: list[dict[str, Any]]
) -> Any:
    from rich.console import Group

    from drip_pipeline.cli.framework.command import table

    parts = [
        table(rows, title=title)
        for title, rows in (
            ("in the inbox", waiting),
            ("not taken", rejected),
            (f"requests of the last {_DAYS_SHOWN} days", requests),
        )
        if rows
    ]
    return Group(*parts) if parts else "nothing came in yet"
