"""`drip workspace …`: the workspaces there are, and the time zone of their days."""

from __future__ import annotations

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table


@click.group(help="Workspaces: list them, set their time zone.")
def workspace() -> None:
    """Commands of workspaces."""


@command(workspace, name="list")
def list_(invocation: Invocation) -> CommandResult:
    """Show all workspaces with their time zones."""
    from drip_pipeline.db.campaigns import workspaces as workspaces_db

    with invocation.database.transaction(is_read_only=True) as connection:
        rows = workspaces_db.listed(connection)
    if not rows:
        return CommandResult(rows, "there is no workspace yet; importing people makes one")
    return CommandResult(rows, table(rows, ["workspace", "time_zone", "campaigns", "contacts"]))


@command(workspace)
@click.argument("time_zone", metavar="ZONE")
@click.option("--workspace", "name", metavar="NAME", help="Which, where there are several.")
def zone(invocation: Invocation, time_zone: str, name: str | None) -> CommandResult:
    """Set the time zone by which a workspace's days are counted: ZONE as in Europe/Berlin. Its days
    are counted anew by the next `drip metrics refresh`, or by Dagster's sensor.
    """
    from drip_pipeline.engine.campaigns.workspaces import set_time_zone

    moved = set_time_zone(invocation.database, name, time_zone)
    if moved.before == moved.time_zone:
        return CommandResult(moved, f"{moved.workspace!r} is in {moved.time_zone} already")
    return CommandResult(
        moved,
        f"{moved.workspace!r} moved from {moved.before} to {moved.time_zone};"
        f" {moved.days_to_count:,} days are to be counted anew",
    )
