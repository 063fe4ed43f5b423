"""`drip contacts erase`: all that is stored of one person."""

from __future__ import annotations

from datetime import datetime

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
