"""`drip suppressions …`: import addresses excluded from sending."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import (
    format_counts,
    now_option,
    parse_mappings,
    reason_option,
    region_hint,
)


@click.group()
def suppressions() -> None:
    """Manage the suppression list: addresses excluded from sending."""


@command(suppressions, name="import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--workspace", metavar="NAME", help="Workspace of the list; created if it does not exist."
)
@click.option(
    "--map",
    "renames",
    metavar="COLUMN=FIELD",
    multiple=True,
    callback=parse_mappings,
    help="Read a column as this field (address, email, phone, reason, channel, campaign or note);"
    " `COLUMN=` skips the column. Can be repeated.",
)
@reason_option
@now_option
def import_(
    invocation: Invocation,
    file: Path,
    workspace: str | None,
    renames: dict[str, list[str]],
    reason: str | None,
    now: datetime,
) -> CommandResult:
    """Add addresses from FILE to the suppression list.

    FILE is CSV or Parquet (`-` is standard input), for example what SendGrid, Mailchimp, Postmark,
    Mailgun, Brevo or SES export. Columns are read by their meaning: address (or email, phone);
    reason: unsubscribed, bounced, complained or manual, or the words of these tools (any other text
    becomes manual, and is kept as the note); channel: email or sms (default: all); campaign: name
    or id (default: all). Existing entries are kept. The exit code is 1 if no row could be taken.
    """
    from drip_pipeline.engine.contacts.import_suppressions import import_suppressions

    report = import_suppressions(
        invocation.database,
        file,
        now=now,
        workspace=workspace,
        renames={column: fields[-1] for column, fields in renames.items()},
        actor=invocation.actor,
        why=reason,
    )
    changes = f"{report.added:,} addresses added, {report.already:,} already on the list"
    lines = [f"{report.rows:,} rows of {report.source}: {changes}"]
    read = "; ".join(f"{field} from {columns}" for field, columns in report.columns.items())
    lines.append(f"read: {read}")
    if report.reasons:
        lines.append(f"reasons: {format_counts(report.reasons)}")
    if report.rejected:
        lines.append(f"rejected: {format_counts(report.rejected)}")
        lines += [f"  line {line}: {reason}" for line, reason in report.first_rejected]
        lines += region_hint(report.rejected)
    return CommandResult(report, "\n".join(lines), exit_code=1 if report.took_nothing else 0)
