"""`drip retention …`: archive and delete old data."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import (
    ProgressLine,
    format_counts,
    now_option,
    without_zeros,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


@click.group()
def retention() -> None:
    """Archive events, and delete data that is no longer needed."""


@command(retention)
@click.option("--dry-run", is_flag=True, help="Show what would be deleted, and change nothing.")
@now_option
def run(invocation: Invocation, dry_run: bool, now: datetime) -> CommandResult:
    """Archive and delete old data.

    Applies DRIP_RETENTION to the engine's data and to Dagster's runs and ticks. Events that active
    enrollments, running tests or days to be recomputed still need are kept, regardless of their
    age.
    """
    from drip_pipeline.engine.operations.run_retention import run_retention

    with ProgressLine() as progress:
        report = run_retention(
            invocation.settings, invocation.database, now=now, dry_run=dry_run, progress=progress
        )
    engine, dagster = report.engine, report.dagster
    action = "to delete" if dry_run else "deleted"
    rows = without_zeros(engine.deleted)
    lines = [f"rows {action}: {format_counts(rows) if rows else 'none'}"]
    if dry_run and engine.months:
        lines.append(f"months of the event log to archive: {_format_months(engine.months)}")
    lines += [f"archived {count:,} events to {file}" for file, count in engine.archived.items()]
    if engine.months_waiting:
        lines.append(f"old months that are still needed: {_format_months(engine.months_waiting)}")
    lines.append(
        f"Dagster: {dagster.runs:,} runs and {dagster.ticks:,} ticks {action};"
        f" {dagster.kept:,} old runs kept for the asset catalog"
    )
    return CommandResult(report, "\n".join(lines))


def _format_months(months: Iterable[date]) -> str:
    return ", ".join(f"{month:%Y-%m}" for month in months)
