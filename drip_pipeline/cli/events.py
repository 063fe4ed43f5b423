"""`drip events …`: what providers and shops report, from files."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drip_pipeline.cli.command import Answer, Invocation, command
from drip_pipeline.cli.options import Progress, counted, now_option

if TYPE_CHECKING:
    from drip_pipeline.engine.ingest import IngestReport


@click.group(help="Events: take in what providers report.")
def events() -> None:
    """Commands of events."""


@command(events)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--provider", metavar="NAME", help="Whose event ids these are.")
@click.option(
    "--workspace", metavar="NAME", help="Whose events these are, where there are several."
)
@now_option
def ingest(
    invocation: Invocation,
    file: Path,
    provider: str | None,
    workspace: str | None,
    now: datetime,
) -> Answer:
    """Take in the events of a FILE (NDJSON, gzipped or not, or Parquet).

    The same event counts once, however often it comes. People who wait for what happened go on;
    lines that cannot be taken are kept in rejected_events with their reasons.
    """
    from drip_pipeline.engine.ingest import DEFAULT_PROVIDER, ingest_file

    with Progress() as progress:
        report = ingest_file(
            invocation.database,
            file,
            now=now,
            provider=provider or DEFAULT_PROVIDER,
            workspace=workspace,
            progress=progress,
        )
    return Answer(report, _told(report))


def _told(report: IngestReport) -> str:
    taken = f"{report.accepted:,} new events, {report.duplicates:,} known already"
    lines = [f"{report.lines:,} lines of {report.source}: {taken}"]
    figures = {
        "people woken": report.woken,
        "runs ended": report.ended,
        "contacts suppressed": report.suppressed,
        "messages no longer in doubt": report.settled,
    }
    if any(figures.values()):
        lines.append(counted({name: count for name, count in figures.items() if count}))
    if report.rejected:
        lines.append("set aside in rejected_events:")
        lines += [f"  {count:,} × {reason}" for reason, count in report.rejected.items()]
    return "\n".join(lines)
