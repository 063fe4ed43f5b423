"""`drip workspace seeds …`: the lists of addresses that get test messages."""

from __future__ import annotations

from datetime import datetime

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import now_option, reason_option

_workspace = click.option(
    "--workspace", metavar="NAME", help="Workspace; required if there are several."
)
_name = click.argument("name", metavar="NAME")


@click.group()
def seeds() -> None:
    """List, set and remove seed lists: addresses that get test messages."""


@command(seeds, name="list")
@_workspace
def list_(invocation: Invocation, workspace: str | None) -> CommandResult:
    """List the seed lists of a workspace with their addresses."""
    from drip_pipeline.engine.campaigns.seeds import seed_lists

    lists = seed_lists(invocation.database, workspace)
    data = [{"name": each.name, "addresses": each.addresses} for each in lists]
    if not data:
        return CommandResult(data, "no seed lists; `drip workspace seeds set` creates one")
    rows = [{"name": each.name, "addresses": ", ".join(each.addresses)} for each in lists]
    return CommandResult(data, table(rows, ["name", "addresses"]))


@command(seeds, name="set")
@_name
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@_workspace
@reason_option
@now_option
def set_(
    invocation: Invocation,
    name: str,
    addresses: tuple[str, ...],
    workspace: str | None,
    reason: str | None,
    now: datetime,
) -> CommandResult:
    """Create the seed list NAME, or replace its addresses.

    An ADDRESS is an email address or a phone number; up to 50 of them. They are no contacts.
    """
    from drip_pipeline.engine.campaigns.seeds import set_seeds

    change = set_seeds(
        invocation.database,
        workspace,
        name,
        addresses,
        now=now,
        actor=invocation.actor,
        reason=reason,
    )
    text = f"seed list {change.name!r}: {len(change.addresses)} addresses"
    return CommandResult(change, text if change.is_changed else f"{text}; unchanged")


@command(seeds, name="remove")
@_name
@_workspace
@reason_option
@now_option
def remove(
    invocation: Invocation,
    name: str,
    workspace: str | None,
    reason: str | None,
    now: datetime,
) -> CommandResult:
    """Remove the seed list NAME."""
    from drip_pipeline.engine.campaigns.seeds import remove_seeds

    change = remove_seeds(
        invocation.database, workspace, name, now=now, actor=invocation.actor, reason=reason
    )
    return CommandResult(
        change,
        f"seed list {name!r} removed" if change.is_changed else f"there is no seed list {name!r}",
    )
