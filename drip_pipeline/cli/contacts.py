"""`drip contacts …`: import contacts from files, suppress and resubscribe contacts; one contact
(`show`, `set`, `erase`, `export`) is in person/.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import (
    ProgressLine,
    format_counts,
    now_option,
    parse_mappings,
    parse_types,
    region_hint,
)
from drip_pipeline.cli.person import commands, privacy

if TYPE_CHECKING:
    from drip_pipeline.engine.contacts.contact_file import LineCounts
    from drip_pipeline.engine.contacts.import_contacts import ImportReport


@click.group()
def contacts() -> None:
    """Import contacts from files; show, change, suppress, export and erase one contact."""


@command(contacts, name="import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--workspace", metavar="NAME", help="Workspace of the contacts; created if it does not exist."
)
@click.option(
    "--map",
    "renames",
    metavar="COLUMN=FIELD",
    multiple=True,
    callback=parse_mappings,
    help="Import a column as this field; `COLUMN=` skips the column. Can be repeated, also for"
    " several columns of one name, in their order.",
)
@click.option(
    "--types",
    metavar="COLUMN=TYPE",
    multiple=True,
    callback=parse_types,
    help="Store a column as text, integer, number, boolean or date (date:dmy and date:mdy read"
    " 12.03.2024 and 3/12/2024). Default: text, unless each cell prints back as it is written.",
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
    renames: dict[str, list[str]],
    types: dict[str, str],
    email_template: str | None,
    now: datetime,
) -> CommandResult:
    """Import contacts from a CSV or Parquet FILE; `-` is standard input, and .csv.gz is unpacked.

    Columns are matched by name: email, name, company, phone, job_title, ai_score, status, tags
    (separated by comma, semicolon or bar) and last_interaction, also in the spellings of other
    tools' exports. Every other column becomes a custom field.

    A yes, a date, or anything that cannot be read in the column `unsubscribed` (or UNSUB_TIME,
    EMAIL_BLACKLISTED, donotemail …) adds the address to the suppression list, and so does a no in
    `Email Marketing Consent` and a status such as bounced or complained.

    Importing a file again updates contacts by workspace and address. Rejected lines are saved to
    the table rejected_contacts with a reason, cells that cannot be read to rejected_cells. The exit
    code is 1 if all rows were rejected.
    """
    from drip_pipeline.engine.contacts.import_contacts import import_contacts
    from drip_pipeline.engine.erased_addresses import ErasureKeys

    with ProgressLine() as progress:
        report = import_contacts(
            invocation.database,
            file,
            now=now,
            workspace=workspace,
            renames=renames,
            types=types,
            email_template=email_template,
            keys=ErasureKeys.of(invocation.settings),
            progress=progress,
        )
    return CommandResult(report, _describe(report), exit_code=int(report.is_all_rejected))


def _describe(report: ImportReport) -> str:
    changes = (
        f"{report.inserted:,} contacts added, {report.updated:,} updated,"
        f" {report.unchanged:,} unchanged"
    )
    lines = [f"{report.rows:,} rows of {report.source}: {changes}"]
    if report.line_counts is not None:
        lines.append(_describe_lines(report.line_counts))
    for column, count in report.refusals.items():
        lines.append(f"column {column!r} says who must not get messages: {count:,} contacts")
    if report.unsubscribed:
        lines.append(f"added to the suppression list: {report.unsubscribed:,}")
    if report.rejected:
        lines.append(f"rejected (saved to rejected_contacts): {format_counts(report.rejected)}")
        lines += [f"  line {line}: {reason}" for line, reason in report.first_rejected]
    if report.set_aside:
        count = sum(report.set_aside.values())
        lines.append(f"cells that cannot be read (saved to rejected_cells): {count:,}")
        lines += [f"  {what}: {count:,}" for what, count in report.set_aside.items()]
        lines += [
            f"  line {line}: {column}: {reason}" for line, column, reason in report.first_set_aside
        ]
        lines += region_hint(report.set_aside)
    if report.custom_fields:
        lines.append(f"custom fields: {', '.join(report.custom_fields)}")
    by_kind: dict[str, list[str]] = {}
    for name, kind in report.custom_fields.items():
        if kind not in ("text", "as in the file"):
            by_kind.setdefault(kind, []).append(name)
    lines += [f"  {kind}: {', '.join(names)}" for kind, names in by_kind.items()]
    return "\n".join([*lines, *(f"warning: {warning}" for warning in report.warnings)])


def _describe_lines(counts: LineCounts) -> str:
    parts = [f"{counts.rows:,} rows", f"{counts.before_rows:,} header"]
    if counts.blank:
        parts.append(f"{counts.blank:,} blank")
    if counts.inside_cells:
        parts.append(f"{counts.inside_cells:,} inside cells")
    return f"{counts.lines:,} lines: {', '.join(parts)}"


_who = click.argument("who", metavar="EMAIL|ID")
_reason = click.option(
    "--reason", required=True, metavar="TEXT", help="Why; it is logged with the contact."
)
_channel = click.option(
    "--channel", type=click.Choice(["email", "sms"]), help="Only this channel (default: all)."
)
_topic = click.option("--topic", metavar="NAME", help="Only this topic, on all channels.")
_workspace = click.option(
    "--workspace", metavar="NAME", help="Workspace; required if there are several."
)


@command(contacts)
@_who
@_reason
@_channel
@_topic
@_workspace
@now_option
def suppress(
    invocation: Invocation,
    who: str,
    reason: str,
    channel: str | None,
    topic: str | None,
    workspace: str | None,
    now: datetime,
) -> CommandResult:
    """Send a contact or an address nothing more, or nothing of a channel or a topic.

    Its runs end, except for --channel sms. The entry belongs to the address: another address that
    the contact gets is free. The contact itself cannot lift it.
    """
    from drip_pipeline.engine.operations import operator_consents as use_case

    result = use_case.suppress(
        invocation.database,
        who,
        reason=reason,
        now=now,
        channel=channel,
        topic=topic,
        workspace=workspace,
        actor=invocation.actor,
    )
    return CommandResult(
        result, f"{result.suppressed:,} addresses suppressed; {result.ended:,} runs ended"
    )


@command(contacts)
@_who
@_reason
@_channel
@_topic
@_workspace
@now_option
def resubscribe(
    invocation: Invocation,
    who: str,
    reason: str,
    channel: str | None,
    topic: str | None,
    workspace: str | None,
    now: datetime,
) -> CommandResult:
    """Lift the suppressions of a contact, so that it can enter campaigns again.

    All suppressions of the contact and its addresses are removed: unsubscriptions, complaints,
    bounces and manual entries. Its ended runs stay ended. With --topic, only its no to that topic
    is lifted; if the topic asks for a confirmation, the contact gets it.
    """
    from drip_pipeline.engine.contacts import resubscribe as use_case
    from drip_pipeline.engine.erased_addresses import ErasureKeys
    from drip_pipeline.engine.operations import operator_consents

    if topic is not None:
        joined = operator_consents.rejoin(
            invocation.database,
            who,
            topic,
            reason=reason,
            now=now,
            channel=channel,
            workspace=workspace,
            actor=invocation.actor,
        )
        state = "are asked to confirm" if joined.needs_confirmation else "get messages of"
        return CommandResult(joined, f"{joined.lifted:,} addresses {state} topic {topic!r}")
    result = use_case.resubscribe(
        invocation.database,
        who,
        reason=reason,
        now=now,
        channel=channel,
        workspace=workspace,
        keys=ErasureKeys.of(invocation.settings),
        actor=invocation.actor,
    )
    return CommandResult(
        result,
        f"{result.lifted:,} suppressions lifted;"
        f" {result.reopened:,} campaigns that the contact left can be entered again",
    )


commands.register(contacts)
privacy.register(contacts)
