"""`drip metrics …`: the daily figures, counting them anew, whether the laws hold, and what
a monitor draws."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import ProgressLine, now_option

_BREAKDOWNS = ("version", "node", "variant", "day")
# What fits on a terminal; --json has all of it.
_SHOWN = (
    "campaign", "metric_date", "campaign_version", "node_id", "variant_group", "sent", "opened",
    "clicked", "converted", "skipped", "open_rate", "click_rate",
)  # fmt: skip


def _day(context: click.Context, parameter: click.Parameter, given: str | None) -> date | None:
    if given is None:
        return None
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise click.BadParameter(
            f"{given!r} is not a day like 2026-03-02", param=parameter
        ) from None


@click.group()
def metrics() -> None:
    """Figures of messages by day of sending (of the workspace's zone)."""


@command(metrics)
@click.argument("campaign", required=False)
@click.option("--by", type=click.Choice(_BREAKDOWNS), multiple=True, help="Break down; repeatable.")
@click.option("--from", "first_day", callback=_day, metavar="DAY", help="From this day of sending.")
@click.option("--to", "last_day", callback=_day, metavar="DAY", help="To this day of sending.")
def show(
    invocation: Invocation,
    campaign: str | None,
    by: tuple[Any, ...],
    first_day: date | None,
    last_day: date | None,
) -> CommandResult:
    """Show the counted figures of all campaigns, or of one (id or exact name)."""
    from drip_pipeline.engine.campaigns.campaign import find_campaign
    from drip_pipeline.engine.metrics.daily_metrics import campaign_summary

    campaign_id = None
    if campaign is not None:
        with invocation.database.transaction(is_read_only=True) as connection:
            campaign_id = find_campaign(connection, campaign).campaign_id
    rows = campaign_summary(
        invocation.database,
        campaign_id=campaign_id,
        by=by,
        first_day=first_day,
        last_day=last_day,
    )
    if not rows:
        return CommandResult(rows, "nothing has been counted yet; `drip metrics refresh` counts")
    return CommandResult(rows, table(rows, [name for name in _SHOWN if name in rows[0]]))


@command(metrics)
@now_option
def refresh(invocation: Invocation, now: datetime) -> CommandResult:
    """Count every day whose figures may have changed."""
    from drip_pipeline.engine.metrics.daily_metrics import refresh_stale_days

    with ProgressLine() as progress:
        days_counted = refresh_stale_days(invocation.database, now=now, progress=progress)
    return _counted_answer(days_counted)


@command(metrics)
@click.option("--from", "first_day", required=True, callback=_day, metavar="DAY")
@click.option("--to", "last_day", required=True, callback=_day, metavar="DAY")
@click.option(
    "--outcomes", is_flag=True, help="First put the outcomes of messages right from the log."
)
def rebuild(
    invocation: Invocation, first_day: date, last_day: date, outcomes: bool
) -> CommandResult:
    """Count all days from one to another anew."""
    from drip_pipeline.engine.metrics.daily_metrics import aggregate_days, days_between
    from drip_pipeline.engine.metrics.rebuild_outcomes import rebuild_outcomes

    days = days_between(first_day, last_day)
    if not days:
        raise click.UsageError(f"{first_day} is after {last_day}.")
    corrected = rebuild_outcomes(invocation.database, days) if outcomes else None
    with ProgressLine() as progress:
        days_counted = aggregate_days(invocation.database, days, progress=progress)
    return _counted_answer(days_counted, corrected)


@command(metrics)
@click.option("--from", "first_day", callback=_day, metavar="DAY", help="From this day of sending.")
@click.option("--to", "last_day", callback=_day, metavar="DAY", help="To this day of sending.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Where to; by default DRIP_METRICS_FOLDER.",
)
def export(
    invocation: Invocation, first_day: date | None, last_day: date | None, out: Path | None
) -> CommandResult:
    """Write the counted figures as Parquet files, a folder a day: all days, or some."""
    from drip_pipeline.engine.metrics.daily_metrics import days_between
    from drip_pipeline.engine.metrics.parquet_export import (
        counted_days,
        export_days,
        metrics_folder,
    )

    folder = out or metrics_folder(invocation.settings)
    if first_day and last_day:
        days = days_between(first_day, last_day)
    else:
        days = counted_days(invocation.database, first_day, last_day)
    with ProgressLine() as progress:
        written = export_days(invocation.database, days, folder, progress=progress)
    data = {"folder": folder, "days": written}
    rows, files = sum(day.rows for day in written), sum(day.rows > 0 for day in written)
    return CommandResult(data, f"{rows:,} rows of {files:,} days written to {folder}")


@command(metrics)
@now_option
def check(invocation: Invocation, now: datetime) -> CommandResult:
    """Look whether the laws hold that tie log, messages, figures and people together. Exit code 1
    if one does not.
    """
    from drip_pipeline.engine.operations.invariants import check_invariants

    results = check_invariants(invocation.database, now=now)
    data = [
        {
            "law": result.name,
            "meaning": result.meaning,
            "holds": result.holds,
            "violations": result.violations,
            "sample": result.sample,
        }
        for result in results
    ]
    shown = table(data, ["law", "holds", "violations", "meaning"])
    return CommandResult(data, shown, exit_code=0 if all(result.holds for result in results) else 1)


@command(metrics)
@click.option("--prometheus", is_flag=True, help="In Prometheus' text format.")
def live(invocation: Invocation, prometheus: bool) -> CommandResult:
    """What a monitor draws: backlog and its age, rates of the last five minutes, messages in doubt
    or dead, ways out that are blocked.
    """
    from drip_pipeline.engine.metrics.prometheus import prometheus_text, read_gauges

    # By the real clock, as the ledger is: --now would compare two times that are none.
    gauges = read_gauges(invocation.database, now=datetime.now(UTC))
    if prometheus:
        return CommandResult(gauges, prometheus_text(gauges).rstrip())
    rows = [
        {
            "figure": gauge.name,
            "of": ", ".join(gauge.labels.values()),
            "value": f"{gauge.value:,.6g}",
        }
        for gauge in gauges
    ]
    return CommandResult(gauges, table(rows))


def _counted_answer(days_counted: list[Any], corrected: int | None = None) -> CommandResult:
    sent = sum(day.sent for day in days_counted)
    told = f"{len(days_counted):,} days counted, {sent:,} messages sent on them"
    data: dict[str, Any] = {"days": days_counted, "sent": sent}
    if corrected is not None:
        data["corrected_outcomes"] = corrected
        told += f"; {corrected:,} outcomes corrected"
    return CommandResult(data, told)
