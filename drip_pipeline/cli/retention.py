"""`drip retention …`: archive and delete by age."""

from __future__ import annotations

from datetime import datetime

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import ProgressLine, format_counts, now_option


@click.group(help="Data by age: archive events, delete what nobody needs any more.")
def retention() -> None:
    """Commands of retention."""


@command(retention)
@click.option("--dry-run", is_flag=True, help="Say what would go, and change nothing.")
@now_option
def run(invocation: Invocation, dry_run: bool, now: datetime) -> CommandResult:
    """Archive and delete what is older than DRIP_RETENTION says, Dagster's runs included.

    Events that open runs, running tests or days to be counted still need stay, however old.
    """
    from drip_pipeline.engine.operations.run_retention import run_retention

    with ProgressLine() as progress:
        done = run_retention(
            invocation.settings, invocation.database, now=now, dry_run=dry_run, progress=progress
        )
    would = "would go" if dry_run else "went"
    rows = {name: n for name, n in done.engine.deleted.items() if n}
    lines = [f"rows that {would}: {format_counts(rows) if rows else 'none'}"]
    if dry_run and done.engine.months:
        months = ", ".join(f"{month:%Y-%m}" for month in done.engine.months)
        lines.append(f"months of the log that would be archived: {months}")
    lines += [f"archived {rows:,} events in {name}" for name, rows in done.engine.archived.items()]
    if done.engine.months_waiting:
        months = ", ".join(f"{month:%Y-%m}" for month in done.engine.months_waiting)
        lines.append(f"old, and still needed or in use: {months}")
    lines.append(
        f"Dagster: {done.dagster.runs:,} runs and {done.dagster.ticks:,} ticks {would};"
        f" {done.dagster.kept:,} runs stay for the catalog"
    )
    return CommandResult(done, "\n".join(lines))
