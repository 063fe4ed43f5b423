"""`drip events …`: what providers and shops report, from files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Final

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import ProgressLine, format_counts, now_option

if TYPE_CHECKING:
    from drip_pipeline.engine.events.ingest import IngestReport
    from drip_pipeline.engine.events.landing_folder import FileLoaded

SECONDS_BETWEEN_LOOKS: Final = 1.0
"""A file of a folder that changes between two looks is still being written, and left."""


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
) -> CommandResult:
    """Take in the events of a FILE (NDJSON, gzipped or not, or Parquet).

    The same event counts once, however often it comes. People who wait for what happened go on;
    lines that cannot be taken are kept in rejected_events with their reasons.

    FILE may be a folder: what was not loaded yet is, as from the landing folder (DRIP_LANDING),
    with its sub-folders as providers.
    """
    if file.is_dir():
        if provider is not None:
            raise click.UsageError("In a folder, sub-folders name the providers.")
        return _ingest_folder(invocation, file, workspace, now)
    from drip_pipeline.engine.events.ingest import DEFAULT_PROVIDER, ingest_file

    with ProgressLine() as progress:
        report = ingest_file(
            invocation.database,
            file,
            now=now,
            provider=provider or DEFAULT_PROVIDER,
            workspace=workspace,
            progress=progress,
        )
    return CommandResult(report, _told(report))


def _ingest_folder(
    invocation: Invocation, folder: Path, workspace: str | None, now: datetime
) -> CommandResult:
    from drip_pipeline.engine.events.landing_folder import load_files, look, not_loaded, steady

    database = invocation.database
    seen = {file.path: file.identity for file in not_loaded(database, look(folder))}
    if seen:
        sleep(SECONDS_BETWEEN_LOOKS)
    wanted = {file.path: file.identity for file in steady(look(folder), seen)}
    with ProgressLine() as progress:
        done = list(
            load_files(database, folder, wanted, now=now, workspace=workspace, progress=progress)
        )
    is_whole = all(file.outcome == "loaded" for file in done)
    return CommandResult(
        done, _files_told(done, len(seen) - len(done)), exit_code=0 if is_whole else 1
    )


def _files_told(files: Sequence[FileLoaded], left: int) -> str:
    lines = [
        f"{file.path}: {file.lines:,} lines, {file.accepted:,} new events,"
        f" {file.duplicates:,} known already, {sum(file.rejected.values()):,} set aside"
        + (f"; {file.outcome}: {file.error}" if file.error else "")
        for file in files
    ]
    if left:
        lines.append(f"{left:,} files are still being written: try again")
    return "\n".join(lines) or "no file that is not loaded"


@command(events)
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
def files(invocation: Invocation, limit: int) -> CommandResult:
    """List the files loaded from the landing folder, latest first, with what came of each."""
    from drip_pipeline.engine.events.landing_folder import recent_files

    return CommandResult(recent_files(invocation.database, limit))


@command(events)
@click.option("--source", metavar="FILE", help="Only those of this file.")
def rejected(invocation: Invocation, source: str | None) -> CommandResult:
    """Count what could not be taken, by file and reason. The lines themselves, with their numbers,
    stand in the table rejected_events.
    """
    from drip_pipeline.db.events import ingestion as events_db

    with invocation.database.transaction(is_read_only=True) as connection:
        rows = events_db.rejected_by_reason(connection, source)
    return CommandResult(rows, None if rows else "nothing was set aside")


def _told(report: IngestReport) -> str:
    taken = f"{report.accepted:,} new events, {report.duplicates:,} known already"
    lines = [f"{report.lines:,} lines of {report.source}: {taken}"]
    figures = {
        "waits resumed": report.resumed,
        "runs ended": report.ended,
        "contacts suppressed": report.suppressed,
        "messages no longer in doubt": report.settled,
        "conversions": report.conversions,
    }
    if any(figures.values()):
        lines.append(format_counts({name: count for name, count in figures.items() if count}))
    if report.rejected:
        lines.append("set aside in rejected_events:")
        lines += [f"  {count:,} × {reason}" for reason, count in report.rejected.items()]
    return "\n".join(lines)
