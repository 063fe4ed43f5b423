"""`drip workspace …`: list workspaces, set the time zone of their days, the country of their phone
numbers, their quiet hours, frequency caps, guard, holdout and seed lists.
"""

from __future__ import annotations

from datetime import datetime

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import now_option, reason_option
from drip_pipeline.cli.workspace_caps import caps
from drip_pipeline.cli.workspace_holdout import holdout
from drip_pipeline.cli.workspace_seeds import seeds

workspace_option = click.option(
    "--workspace", "name", metavar="NAME", help="Workspace; required if there are several."
)


@click.group()
def workspace() -> None:
    """List workspaces, and set zone, country, quiet hours, caps, guard, holdout and seeds."""


workspace.add_command(caps)
workspace.add_command(holdout)
workspace.add_command(seeds)


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
@workspace_option
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
@workspace_option
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


@workspace.group(name="quiet-hours")
def quiet_hours() -> None:
    """Show, set and clear the hours without marketing messages."""


@command(quiet_hours, name="show")
@workspace_option
def show_quiet_hours(invocation: Invocation, name: str | None) -> CommandResult:
    """Show the quiet hours of a workspace."""
    from drip_pipeline.domain.diff.describe import local_range
    from drip_pipeline.engine.campaigns.workspace_rules import quiet_hours

    stored = quiet_hours(invocation.database, name)
    if stored.quiet_hours is None:
        return CommandResult(stored, "no quiet hours")
    return CommandResult(stored, f"quiet hours: {local_range(stored.quiet_hours)}")


@command(quiet_hours, name="set")
@click.option("--from", "start", required=True, metavar="HH:MM", help="Start, as 21:00.")
@click.option("--to", "end", required=True, metavar="HH:MM", help="End, as 08:00 or 24:00.")
@click.option("--days", metavar="DAYS", help="Days on which they start, as mon,tue. Default: all.")
@click.option(
    "--timezone",
    default="contact",
    metavar="ZONE",
    help="contact (default), workspace, or an IANA name.",
)
@click.option(
    "--otherwise",
    type=click.Choice(["wait", "skip"]),
    default="wait",
    help="Messages wait for the end (default), or are skipped.",
)
@click.option(
    "--max-delay-hours",
    type=click.FloatRange(min=0),
    metavar="H",
    help="Skip a message that would wait longer than this since it was queued.",
)
@workspace_option
@reason_option
@now_option
def set_hours(
    invocation: Invocation,
    start: str,
    end: str,
    days: str | None,
    timezone: str,
    otherwise: str,
    max_delay_hours: float | None,
    name: str | None,
    reason: str | None,
    now: datetime,
) -> CommandResult:
    """Set the hours in which a workspace sends no marketing message.

    Emails and SMS of the kind marketing wait until they end, by the clock of each contact (its
    field timezone, else the workspace's). Transactional messages are sent at any time. They hold
    for messages in the outbox too; engines that run notice the change within half a minute.
    """
    from drip_pipeline.domain.diff.describe import local_range
    from drip_pipeline.engine.campaigns.workspace_rules import set_quiet_hours

    config: dict[str, object] = {
        "from": start,
        "to": end,
        "timezone": timezone,
        "otherwise": otherwise,
    }
    if days is not None:
        config["days"] = [day for day in days.replace(",", " ").split() if day]
    if max_delay_hours is not None:
        config["max_delay"] = {"value": max_delay_hours, "unit": "hours"}
    change = set_quiet_hours(
        invocation.database, name, config, now=now, actor=invocation.actor, reason=reason
    )
    assert change.quiet_hours is not None
    text = f"quiet hours: {local_range(change.quiet_hours)}"
    if not change.is_changed:
        return CommandResult(change, f"{text}; unchanged")
    return CommandResult(change, f"{text}; {change.rechecked:,} held messages are checked again")


@command(quiet_hours, name="clear")
@workspace_option
@reason_option
@now_option
def clear_hours(
    invocation: Invocation, name: str | None, reason: str | None, now: datetime
) -> CommandResult:
    """Remove the quiet hours of a workspace; the messages that they hold become due."""
    from drip_pipeline.engine.campaigns.workspace_rules import clear_quiet_hours

    change = clear_quiet_hours(
        invocation.database, name, now=now, actor=invocation.actor, reason=reason
    )
    if not change.is_changed:
        return CommandResult(change, "no quiet hours")
    return CommandResult(change, f"quiet hours removed; {change.rechecked:,} messages are due")


@workspace.group()
def guard() -> None:
    """Show and set the size above which enrollments have to be confirmed."""


@command(guard, name="show")
@workspace_option
def show_guard(invocation: Invocation, name: str | None) -> CommandResult:
    """Show the agreed size of a workspace."""
    from drip_pipeline.engine.campaigns.volume_guards import workspace_guard

    stored = workspace_guard(invocation.database, name)
    return CommandResult(stored, _agreed_text(stored.confirm_above))


@command(guard, name="set")
@click.option(
    "--confirm-above",
    type=click.IntRange(min=1),
    metavar="N",
    help="More enrollments than this at once, or by one trigger a day, have to be confirmed.",
)
@click.option("--off", "is_off", is_flag=True, help="Ask for no confirmation.")
@workspace_option
@reason_option
@now_option
def set_guard(
    invocation: Invocation,
    confirm_above: int | None,
    is_off: bool,
    name: str | None,
    reason: str | None,
    now: datetime,
) -> CommandResult:
    """Set the agreed size of a workspace (10,000 by default).

    `drip enroll` of more contacts enrolls nobody without --confirm; an entry trigger that would
    enroll more on a day stops until `drip campaign confirm-entry`.
    """
    from drip_pipeline.engine.campaigns.volume_guards import set_workspace_guard

    if is_off == (confirm_above is not None):
        raise click.UsageError("Specify exactly one of --confirm-above and --off.")
    change = set_workspace_guard(
        invocation.database, name, confirm_above, now=now, actor=invocation.actor, reason=reason
    )
    text = _agreed_text(change.confirm_above)
    return CommandResult(change, text if change.is_changed else f"{text}; unchanged")


def _agreed_text(size: int | None) -> str:
    if size is None:
        return "enrollments are not confirmed, whatever their number"
    return f"more than {size:,} enrollments have to be confirmed"
