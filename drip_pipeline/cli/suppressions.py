"""`drip suppressions …`: who must not be written to, from files."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import format_counts, now_option


@click.group(help="The suppression list: import addresses that must not be written to.")
def suppressions() -> None:
    """Commands of the suppression list."""


@command(suppressions, name="import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--workspace", metavar="NAME", help="Whose list it is; made if it is missing.")
@now_option
def import_(
    invocation: Invocation, file: Path, workspace: str | None, now: datetime
) -> CommandResult:
    """Put the addresses of a CSV or Parquet FILE on the suppression list.

    Columns: address (or email, phone); reason: unsubscribed, bounced, complained or manual (the
    default); channel: email or sms, empty for every one; campaign: name or id, empty for all.
    Nobody is taken off the list.
    """
    from drip_pipeline.engine.contacts.import_suppressions import import_suppressions

    report = import_suppressions(invocation.database, file, now=now, workspace=workspace)
    added = f"{report.added:,} new on the suppression list, {report.already:,} on it already"
    lines = [f"{report.rows:,} rows of {report.source}: {added}"]
    if report.rejected:
        lines.append(f"not taken: {format_counts(report.rejected)}")
        lines += [f"  line {line}: {reason}" for line, reason in report.first_rejected]
    return CommandResult(report, "\n".join(lines))
