"""`drip contacts erase` and `drip contacts export`: all that is stored of one person."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import ProgressLine, now_option, reason_option

_who = click.argument("who", metavar="EMAIL|ID")
_workspace = click.option(
    "--workspace", metavar="NAME", help="Workspace; required if there are several."
)


def register(group: click.Group) -> None:
    """Add the commands to `drip contacts`."""
    group.add_command(erase)
    group.add_command(export)


@command()
@_who
@reason_option
@_workspace
@click.option(
    "--archives-gone",
    is_flag=True,
    help="Archive files that are not in DRIP_HOME/archive were deleted: do not wait for them.",
)
@now_option
def erase(
    invocation: Invocation,
    who: str,
    reason: str | None,
    workspace: str | None,
    archives_gone: bool,
    now: datetime,
) -> CommandResult:
    """Erase a person: the contact, and every copy of what identifies it.

    Its runs end. Addresses, names, fields, properties of events, network addresses and bodies of
    messages are deleted from all tables, from payloads and event files, the archive, logs and
    Dagster's storage. Counts stay, under a random id: metrics and results stay the same. If the
    address was suppressed, a keyed hash of it stays, and a later import of the address is
    suppressed again.

    An interrupted erasure is continued by the next tick, or by the same command. The exit code is 1
    if a copy could not be erased yet. docs/privacy.md lists what is stored where.
    """
    from drip_pipeline.engine.privacy.erase import ErasureScope
    from drip_pipeline.engine.privacy.request import erase as use_case

    with ProgressLine() as progress:
        result = use_case(
            invocation.database,
            who,
            ErasureScope.of(invocation.settings),
            now=now,
            reason=reason,
            workspace=workspace,
            accepts_missing=archives_gone,
            actor=invocation.actor,
            progress=progress,
        )
    lines = [f"{result.contacts:,} contacts erased"]
    if result.files:
        lines.append(f"files rewritten: {', '.join(result.files)}")
    lines += [f"waiting: {why}" for why in result.reasons]
    if result.reasons:
        lines.append("The next ticks try again; so does this command.")
    return CommandResult(result, "\n".join(lines), exit_code=int(not result.is_complete))


@command()
@_who
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The ZIP file; an existing one is replaced.",
)
@reason_option
@_workspace
@now_option
def export(
    invocation: Invocation,
    who: str,
    out: Path,
    reason: str | None,
    workspace: str | None,
    now: datetime,
) -> CommandResult:
    """Export all that is stored of a person, as a ZIP file that only its owner can read.

    It has index.html, a page to read in a browser, and the rows of each table as JSON, with those
    of archived months.
    """
    from drip_pipeline.engine.privacy.erase import ErasureScope
    from drip_pipeline.engine.privacy.export import person_data
    from drip_pipeline.reports.person_export import write_export

    with ProgressLine() as progress:
        person = person_data(
            invocation.database,
            who,
            ErasureScope.of(invocation.settings),
            now=now,
            reason=reason,
            workspace=workspace,
            actor=invocation.actor,
            progress=progress,
        )
        write_export(out, person)
    rows = {name: len(each) for name, each in person.tables.items()}
    data: dict[str, object] = {"file": str(out), "rows": rows}
    lines = [f"{sum(rows.values()):,} rows of {len(rows)} tables and files written to {out}"]
    if person.missing:
        data["missing"] = person.missing
        lines.append(f"archive files that are not here: {', '.join(person.missing)}")
    return CommandResult(data, "\n".join(lines))
