"""`drip contacts …`: import contacts from files."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import ProgressLine, format_counts, now_option

if TYPE_CHECKING:
    from drip_pipeline.engine.contacts.import_contacts import ImportReport


@click.group()
def contacts() -> None:
    """Import contacts from files."""


def _parse_mappings(
    _context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, str]:
    renames = {}
    for text in texts:
        column, separator, field = text.partition("=")
        if not separator or not column.strip():
            raise click.BadParameter(f"{text!r} is not COLUMN=FIELD")
        renames[column.strip()] = field.strip()
    return renames


@command(contacts, name="import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--workspace", metavar="NAME", help="Workspace of the contacts; created if it does not exist."
)
@click.option(
    "--map",
    "renames",
    metavar="COLUMN=FIELD",
    multiple=True,
    callback=_parse_mappings,
    help="Import a column as this field; `COLUMN=` skips the column. Can be repeated.",
)
@click.option(
    "--email-template",
    metavar="TEMPLATE",
    help="Generate addresses for a file without them, for example 'customer{row}@example.com':"
    " {row} is the row number, starting at 1; {column} is the value of a column.",
)
@now_option
def import_(
    invocation: Invocation,
    file: Path,
    workspace: str | None,
    renames: dict[str, str],
    email_template: str | None,
    now: datetime,
) -> CommandResult:
    """Import contacts from a CSV or Parquet FILE.

    Columns are matched by name: email, name, company, phone, job_title, ai_score, status, tags
    (separated by commas) and last_interaction. A true value in the column `unsubscribed` adds the
    address to the suppression list. Every other column becomes a custom field.

    Importing a file again updates contacts by workspace and address. Rejected lines are saved to
    the table rejected_contacts with a reason.
    """
    from drip_pipeline.engine.contacts.import_contacts import import_contacts

    with ProgressLine() as progress:
        report = import_contacts(
            invocation.database,
            file,
            now=now,
            workspace=workspace,
            renames=renames,
            email_template=email_template,
            progress=progress,
        )
    return CommandResult(report, _describe(report))


def _describe(report: ImportReport) -> str:
    changes = (
        f"{report.inserted:,} contacts added, {report.updated:,} updated,"
        f" {report.unchanged:,} unchanged"
    )
    lines = [f"{report.rows:,} rows of {report.source}: {changes}"]
    if report.unsubscribed:
        lines.append(f"added to the suppression list: {report.unsubscribed:,}")
    if report.rejected:
        lines.append(f"rejected (saved to rejected_contacts): {format_counts(report.rejected)}")
        lines += [f"  line {line}: {reason}" for line, reason in report.first_rejected]
    if report.custom_fields:
        lines.append(f"custom fields: {', '.join(report.custom_fields)}")
    return "\n".join([*lines, *(f"warning: {warning}" for warning in report.warnings)])
