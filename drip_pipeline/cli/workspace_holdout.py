"""`drip workspace holdout …`: the global holdout of a workspace, and its report."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import now_option, reason_option

if TYPE_CHECKING:
    from drip_pipeline.engine.campaigns.holdout import HoldoutSetting
    from drip_pipeline.engine.metrics.holdout_report import HoldoutMonth

_workspace = click.option(
    "--workspace", "name", metavar="NAME", help="Workspace; required if there are several."
)


@click.group()
def holdout() -> None:
    """Show, set and clear the contacts that get no marketing, and report the lift over them."""


@command(holdout, name="show")
@_workspace
def show(invocation: Invocation, name: str | None) -> CommandResult:
    """Show the holdout of a workspace."""
    from drip_pipeline.engine.campaigns.holdout import holdout

    stored = holdout(invocation.database, name)
    return CommandResult(stored, _text(stored))


@command(holdout, name="set")
@click.option("--percent", type=float, required=True, metavar="P", help="Share, up to 50.")
@click.option(
    "--salt",
    metavar="NAME",
    help="Name that selects the contacts. Another one selects others; by default it stays.",
)
@_workspace
@reason_option
@now_option
def set_(
    invocation: Invocation,
    percent: float,
    salt: str | None,
    name: str | None,
    reason: str | None,
    now: datetime,
) -> CommandResult:
    """Set the share of contacts that enter no marketing campaign and get no marketing message.

    The choice depends on the salt and the contact's id: a larger share keeps the contacts that are
    in, a smaller one those that are out. Transactional messages are sent.
    """
    from drip_pipeline.engine.campaigns.holdout import set_holdout

    change = set_holdout(
        invocation.database,
        name,
        percent,
        salt=salt,
        now=now,
        actor=invocation.actor,
        reason=reason,
    )
    text = _text(change)
    if change.is_regrouped:
        text += "; another salt: other contacts than before are in"
    return CommandResult(change, text if change.is_changed else f"{text}; unchanged")


@command(holdout, name="clear")
@_workspace
@reason_option
@now_option
def clear(
    invocation: Invocation, name: str | None, reason: str | None, now: datetime
) -> CommandResult:
    """End the holdout: its contacts may be enrolled. The report of earlier months stays."""
    from drip_pipeline.engine.campaigns.holdout import clear_holdout

    change = clear_holdout(
        invocation.database, name, now=now, actor=invocation.actor, reason=reason
    )
    return CommandResult(change, "the holdout has ended" if change.is_changed else _text(change))


@command(holdout, name="report")
@click.option("--event", "event_type", required=True, metavar="NAME", help="Event, as purchase.")
@click.option(
    "--months",
    type=click.IntRange(1, 120),
    default=6,
    show_default=True,
    metavar="N",
    help="Months, the current one included.",
)
@_workspace
@now_option
def report(
    invocation: Invocation, event_type: str, months: int, name: str | None, now: datetime
) -> CommandResult:
    """Show the lift of an event over the holdout, per month.

    The rates are shares of the contacts that existed in the month and had the event in it. The lift
    is in percentage points, with an interval of 95 % that is valid whenever it is looked at.
    """
    from drip_pipeline.domain.events.vocabulary import event_type_named
    from drip_pipeline.engine.metrics.holdout_report import holdout_report

    try:
        event = event_type_named(event_type)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--event") from None
    result = holdout_report(invocation.read_database, name, event, now=now, months=months)
    if not result.months:
        return CommandResult(result, "no holdout in these months")
    return CommandResult(result, table([_cells(month) for month in result.months], None))


def _cells(month: HoldoutMonth) -> dict[str, object]:
    low_high = month.interval
    return {
        "month": f"{month.month:%Y-%m}",
        "holdout": f"{month.held_out_with_event:,} of {month.held_out:,}",
        "others": f"{month.others_with_event:,} of {month.others:,}",
        "holdout %": "-" if month.holdout_rate is None else f"{month.holdout_rate:.2f}",
        "others %": "-" if month.rate is None else f"{month.rate:.2f}",
        "lift": "-" if month.lift is None else f"{month.lift:+.2f}",
        "95 % interval": month.reason or "-"
        if low_high is None
        else f"{low_high[0]:+.2f} to {low_high[1]:+.2f}",
    }


def _text(setting: HoldoutSetting) -> str:
    if not setting.percent:
        return "no holdout"
    return f"{setting.percent:g} % of the contacts are in the holdout (salt {setting.salt!r})"
