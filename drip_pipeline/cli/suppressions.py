"""`drip suppressions …`: import addresses excluded from sending."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import format_counts, now_option


@click.group()
def suppressions() -> None:
    """Manage the suppression list: addresses excluded from sending."""


@command(suppressions, name="import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--workspace", metavar="NAME", help="Workspace of the list; created if it does not exist."
)
@now_option
def import_(
    invocation: Invocation, file: Path, workspace: str | None, now: datetime
) -> CommandResult:
    """Add addresses from FILE to the suppression list.

    FILE is CSV or Parquet. Columns: address (or email, phone); reason: unsubscribed, bounced,
    complained or manual (default: manual); channel: email or sms (default: all); campaign: name or
    id (default: all). Existing entries are kept.
    """
    from drip_pipeline.engine.contacts.import_suppressions import import_suppressions

    report = import_suppressions(invocation.database, file, now=now, workspace=workspace)
    changes = f"{report.added:,} addresses added, {report.already:,} already on the list"
    lines = [f"{report.rows:,} rows of {report.source}: {changes}"]
    if report.rejected:
        lines.append(f"rejected: {format_counts(report.rejected)}")
        lines += [f"  line {line}: {reason}" for line, reason in report.first_rejected]
    return CommandResult(report, "\n".join(lines))
