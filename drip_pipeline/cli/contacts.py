"""`drip contacts …`: people coming in from files."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import ProgressLine, format_counts, now_option

if TYPE_CHECKING:
    from drip_pipeline.engine.contacts.import_contacts import ImportReport


@click.group(help="People: import them from a file.")
def contacts() -> None:
    """Commands of contacts."""


def _renames(
    _context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    renames = {}
    for text in given:
        column, separator, field = text.partition("=")
        if not separator or not column.strip():
            raise click.BadParameter(f"{text!r} is not COLUMN=FIELD")
        renames[column.strip()] = field.strip()
    return renames


@command(contacts, name="import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--workspace", metavar="NAME", help="Where they belong; made if it is missing.")
@click.option(
    "--map",
    "renames",
    metavar="COLUMN=FIELD",
    multiple=True,
    callback=_renames,
    help="Take a column of the file as this field; `COLUMN=` leaves it out. May be repeated.",
)
@click.option(
    "--email-template",
    metavar="TEMPLATE",
    help="For files without addresses: makes them, as in 'customer{row}@example.com' ({row} is"
    " the number of the row, from 1 on; {column} is that row's cell).",
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
    """Import people from a CSV or Parquet FILE.

    Columns of contacts go by name (email, name, company, phone, job_title, ai_score, status, tags
    separated by commas, last_interaction); `unsubscribed` puts people on the suppression list;
    every other column becomes a custom field. Importing again updates by workspace and address.
    Lines that cannot be taken are kept in rejected_contacts with their reasons.
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
    return CommandResult(report, _told(report))


def _told(report: ImportReport) -> str:
    people = (
        f"{report.inserted:,} people new, {report.updated:,} updated,"
        f" {report.unchanged:,} unchanged"
    )
    lines = [f"{report.rows:,} rows of {report.source}: {people}"]
    if report.unsubscribed:
        lines.append(f"{report.unsubscribed:,} newly on the suppression list")
    if report.rejected:
        lines.append(f"set aside in rejected_contacts: {format_counts(report.rejected)}")
        lines += [f"  line {line}: {reason}" for line, reason in report.first_rejected]
    if report.custom_fields:
        lines.append(f"custom fields: {', '.join(report.custom_fields)}")
    return "\n".join([*lines, *(f"note: {warning}" for warning in report.warnings)])
