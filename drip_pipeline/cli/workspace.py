"""`drip workspace …`: list workspaces, set the time zone of their days and the country of their
phone numbers.
"""

from __future__ import annotations

from datetime import datetime

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import now_option, reason_option


@click.group()
def workspace() -> None:
    """List workspaces, and set their time zone and country."""


@command(workspace, name="list")
def list_(invocation: Invocation) -> CommandResult:
    """List all workspaces with their time zones and countries."""
    from drip_pipeline.db.campaigns import workspaces as workspaces_db

    with invocation.database.transaction(is_read_only=True) as connection:
        rows = workspaces_db.listed(connection)
    if not rows:
        return CommandResult(rows, "no workspaces; importing contacts creates one")
    return CommandResult(
        rows, table(rows, ["workspace", "time_zone", "region", "campaigns", "contacts"])
    )


@command(workspace)
@click.argument("time_zone", metavar="ZONE")
@click.option(
    "--workspace", "name", metavar="NAME", help="Workspace; required if there are several."
)
@reason_option
@now_option
def zone(
    invocation: Invocation, time_zone: str, name: str | None, reason: str | None, now: datetime
) -> CommandResult:
    """Set the time zone of a workspace to ZONE.

    It defines the days of the daily metrics; an example is Europe/Berlin.
    The next `drip metrics refresh`, or the Dagster sensor, recomputes the existing days.
    """
    from drip_pipeline.engine.campaigns.workspaces import set_time_zone

    change = set_time_zone(
        invocation.database, name, time_zone, now=now, actor=invocation.actor, reason=reason
    )
    if change.before == change.time_zone:
        return CommandResult(change, f"{change.workspace!r} already uses {change.time_zone}")
    return CommandResult(
        change,
        f"{change.workspace!r}: time zone changed from {change.before} to {change.time_zone};"
        f" {change.stale_days:,} days will be recomputed",
    )


@command(workspace)
@click.argument("code", metavar="CODE")
@click.option(
    "--workspace", "name", metavar="NAME", help="Workspace; required if there are several."
)
@reason_option
@now_option
def region(
    invocation: Invocation, code: str, name: str | None, reason: str | None, now: datetime
) -> CommandResult:
    """Set the country of a workspace's phone numbers to CODE (ISO 3166, for example DE).

    Numbers without a country code belong to it, in files and in contacts that applications write.
    Without a country such numbers are refused, and contacts with them get no SMS.
    """
    from drip_pipeline.engine.campaigns.workspaces import set_region

    country = set_region(
        invocation.database, name, code, now=now, actor=invocation.actor, reason=reason
    )
    return CommandResult({"region": country}, f"phone numbers without a country code: {country}")
