"""`drip events …`: import events from files, and list files and rejected lines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Final

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import (
    ProgressLine,
    format_counts,
    now_option,
    without_zeros,
)

if TYPE_CHECKING:
    from drip_pipeline.db.events.event_names import EventName
    from drip_pipeline.db.events.landed_files import LandedFile
    from drip_pipeline.engine.events.ingest import IngestReport
    from drip_pipeline.engine.events.retry_rejected import RetryReport

SECONDS_BETWEEN_LISTINGS: Final = 1.0
"""A file that changes between two listings of a folder is still being written, and is skipped."""


@click.group()
def events() -> None:
    """Import events from files, and list loaded files and rejected lines."""


@command(events)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--provider", metavar="NAME", help="Provider that assigned the event ids.")
@click.option(
    "--workspace", metavar="NAME", help="Workspace of the events; required if there are several."
)
@now_option
def ingest(
    invocation: Invocation,
    file: Path,
    provider: str | None,
    workspace: str | None,
    now: datetime,
) -> CommandResult:
    """Import the events of a file or folder.

    FILE is NDJSON, optionally gzipped, or Parquet. Events are deduplicated by provider and
    event_id. Enrollments that wait for one of the events resume. Rejected lines are saved to the
    table rejected_events with a reason.

    If FILE is a folder, all files that were not loaded before are imported, as from the landing
    folder (DRIP_LANDING). The names of its subfolders are the providers.
    """
    if file.is_dir():
        if provider is not None:
            raise click.UsageError("--provider cannot be used with a folder: subfolders name it.")
        return _ingest_folder(invocation, file, workspace, now)
    from drip_pipeline.domain.events.soft_bounces import SoftBounceLimit
    from drip_pipeline.engine.events.ingest import DEFAULT_PROVIDER, ingest_file

    with ProgressLine() as progress:
        report = ingest_file(
            invocation.database,
            file,
            now=now,
            provider=provider or DEFAULT_PROVIDER,
            workspace=workspace,
            progress=progress,
            soft_bounces=SoftBounceLimit.of(invocation.settings),
        )
    return CommandResult(report, _describe(report))


def _ingest_folder(
    invocation: Invocation, folder: Path, workspace: str | None, now: datetime
) -> CommandResult:
    from drip_pipeline.domain.events.soft_bounces import SoftBounceLimit
    from drip_pipeline.engine.events.landing_folder import load_files, look, not_loaded, steady

    database = invocation.database
    candidates = {file.path: file.identity for file in not_loaded(database, look(folder))}
    if candidates:
        sleep(SECONDS_BETWEEN_LISTINGS)
    complete = {file.path: file.identity for file in steady(look(folder), candidates)}
    with ProgressLine() as progress:
        loaded = list(
            load_files(
                database,
                folder,
                complete,
                now=now,
                workspace=workspace,
                progress=progress,
                soft_bounces=SoftBounceLimit.of(invocation.settings),
            )
        )
    text = _describe_files(loaded, incomplete=len(candidates) - len(loaded))
    has_failed = any(file.outcome != "loaded" for file in loaded)
    rows = [file._asdict() for file in loaded]
    return CommandResult(rows, text, exit_code=1 if has_failed else 0)


def _describe_files(files: Sequence[LandedFile], *, incomplete: int) -> str:
    lines = [
        f"{file.path}: {file.lines:,} lines, {file.accepted:,} new events,"
        f" {file.duplicates:,} duplicates, {sum(file.rejected.values()):,} rejected"
        + (f"; {file.outcome}: {file.error}" if file.error else "")
        for file in files
    ]
    if incomplete:
        lines.append(f"{incomplete:,} files are still being written: try again")
    return "\n".join(lines) or "no new files"


@command(events)
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=50,
    show_default=True,
    help="Maximum number of files.",
)
def files(invocation: Invocation, limit: int) -> CommandResult:
    """List loaded files with their results, latest first."""
    from drip_pipeline.engine.events.landing_folder import recent_files

    rows = [file._asdict() for file in recent_files(invocation.database, limit)]
    return CommandResult(rows)


@command(events)
@click.option("--workspace", metavar="NAME", help="Only names of this workspace.")
def types(invocation: Invocation, workspace: str | None) -> CommandResult:
    """List the event names that are not in the vocabulary, as events had them.

    A name is registered with its first event: how many events had it, when the first and the latest
    happened, and the names and JSON types of their properties. Values are not registered.
    """
    from drip_pipeline.db.events import event_names as event_names_db
    from drip_pipeline.engine.campaigns.workspaces import existing_workspace

    with invocation.database.transaction() as connection:
        chosen = None if workspace is None else existing_workspace(connection, workspace)
        names = event_names_db.listed(connection, chosen)
    text = "\n".join(map(_describe_name, names)) or "no event with an own name has arrived"
    return CommandResult([name._asdict() for name in names], text)


def _describe_name(name: EventName) -> str:
    first, last = (at.isoformat(" ", "minutes") for at in (name.first_seen_at, name.last_seen_at))
    properties = ", ".join(f"{key} {kind}" for key, kind in name.properties.items())
    return (
        f"{name.event_type} ({name.workspace}): {name.events:,} events, {first} to {last}"
        f"\n    {properties or 'no properties'}"
    )


@command(events)
@click.option("--source", metavar="FILE", help="Only lines of this file.")
@click.option("--reason", metavar="TEXT", help="Only lines rejected for this reason.")
@click.option("--retry", "is_retry", is_flag=True, help="Import the lines again.")
@click.option(
    "--why", metavar="TEXT", help="With --retry: why; `drip audit` shows it. Addresses are masked."
)
@now_option
def rejected(
    invocation: Invocation,
    source: str | None,
    reason: str | None,
    is_retry: bool,
    why: str | None,
    now: datetime,
) -> CommandResult:
    """Count rejected lines by file and reason, or import them again.

    The lines and their numbers are in the table rejected_events. With --retry, accepted lines are
    removed from it; the others stay with their new reason.
    """
    from drip_pipeline.db.events import ingestion as events_db

    if is_retry:
        from drip_pipeline.engine.events.retry_rejected import retry_rejected

        with ProgressLine() as progress:
            report = retry_rejected(
                invocation.database,
                now=now,
                source=source,
                reason=reason,
                progress=progress,
                actor=invocation.actor,
                why=why,
            )
        return CommandResult(report, _describe_retry(report))
    with invocation.database.transaction(is_read_only=True) as connection:
        rows = [
            row._asdict()
            for row in events_db.count_rejected(connection, source)
            if reason in (None, row.reason)
        ]
    return CommandResult(rows, None if rows else "no rejected lines")


def _describe_retry(report: RetryReport) -> str:
    counts = f"{report.accepted:,} new events, {report.duplicates:,} duplicates"
    lines = [f"{report.lines:,} lines retried: {counts}"]
    if report.rejected:
        lines.append("rejected again (kept in rejected_events):")
        lines += [f"  {count:,} × {reason}" for reason, count in report.rejected.items()]
    return "\n".join(lines)


def _describe(report: IngestReport) -> str:
    counts = f"{report.accepted:,} new events, {report.duplicates:,} duplicates"
    lines = [f"{report.lines:,} lines of {report.source}: {counts}"]
    effects = without_zeros(
        {
            "waits resumed": report.resumed,
            "enrollments exited": report.ended,
            "contacts suppressed": report.suppressed,
            "unknown deliveries resolved": report.settled,
            "conversions": report.conversions,
        }
    )
    if effects:
        lines.append(format_counts(effects))
    if report.rejected:
        lines.append("rejected (saved to rejected_events):")
        lines += [f"  {count:,} × {reason}" for reason, count in report.rejected.items()]
    return "\n".join(lines)
