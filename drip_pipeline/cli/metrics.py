"""`drip metrics …`: daily metrics, invariants, and live metrics for monitoring."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import ProgressLine, now_option
from drip_pipeline.iso_times import read_day

if TYPE_CHECKING:
    from drip_pipeline.engine.metrics.daily_metrics import CountedDay

_BREAKDOWNS = ("version", "node", "variant", "day")
# The columns that fit on a terminal; --json prints all.
_COLUMNS = (
    "campaign", "metric_date", "campaign_version", "node_id", "variant_group", "sent", "opened",
    "clicked", "converted", "skipped", "open_rate", "click_rate",
)  # fmt: skip


def _parse_day(context: click.Context, parameter: click.Parameter, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return read_day(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} {error}", param=parameter) from None


from_option = click.option(
    "--from", "first_day", callback=_parse_day, metavar="DAY", help="First day of sending."
)
to_option = click.option(
    "--to", "last_day", callback=_parse_day, metavar="DAY", help="Last day of sending."
)


@click.group()
def metrics() -> None:
    """Show and compute metrics, and check invariants.

    Daily metrics are grouped by the day of sending in the workspace's time zone.
    """


@command(metrics)
@click.argument("campaign", required=False)
@click.option(
    "--by",
    type=click.Choice(_BREAKDOWNS),
    multiple=True,
    help="Break down by this dimension. Can be repeated.",
)
@from_option
@to_option
def show(
    invocation: Invocation,
    campaign: str | None,
    by: tuple[str, ...],
    first_day: date | None,
    last_day: date | None,
) -> CommandResult:
    """Show daily metrics.

    Shows all campaigns, or CAMPAIGN (id or exact name).
    """
    from drip_pipeline.engine.campaigns.campaign import find_campaign
    from drip_pipeline.engine.metrics.daily_metrics import campaign_summary

    campaign_id = None
    if campaign is not None:
        with invocation.read_database.transaction(is_read_only=True) as connection:
            campaign_id = find_campaign(connection, campaign).campaign_id
    rows = campaign_summary(
        invocation.read_database,
        campaign_id=campaign_id,
        by=by,  # type: ignore[arg-type]  # click has checked it
        first_day=first_day,
        last_day=last_day,
    )
    if not rows:
        return CommandResult(rows, "no metrics yet; run `drip metrics refresh`")
    return CommandResult(rows, table(rows, [name for name in _COLUMNS if name in rows[0]]))


@command(metrics)
@now_option
def refresh(invocation: Invocation, now: datetime) -> CommandResult:
    """Recompute every day whose metrics may have changed."""
    from drip_pipeline.engine.metrics.daily_metrics import refresh_stale_days

    with ProgressLine() as progress:
        days = refresh_stale_days(invocation.database, now=now, progress=progress)
    return _computed(days)


@command(metrics)
@click.option(
    "--from", "first_day", required=True, callback=_parse_day, metavar="DAY", help="First day."
)
@click.option(
    "--to", "last_day", required=True, callback=_parse_day, metavar="DAY", help="Last day."
)
@click.option("--outcomes", is_flag=True, help="Rebuild message outcomes from the event log first.")
def rebuild(
    invocation: Invocation, first_day: date, last_day: date, outcomes: bool
) -> CommandResult:
    """Recompute a range of days from scratch."""
    from drip_pipeline.engine.metrics.daily_metrics import aggregate_days, days_between
    from drip_pipeline.engine.metrics.rebuild_outcomes import rebuild_outcomes

    days = days_between(first_day, last_day)
    if not days:
        raise click.UsageError(f"{first_day} is after {last_day}.")
    corrected = rebuild_outcomes(invocation.database, days) if outcomes else None
    with ProgressLine() as progress:
        computed = aggregate_days(invocation.database, days, progress=progress)
    return _computed(computed, corrected)


@command(metrics)
@from_option
@to_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Target folder. Default: DRIP_METRICS_FOLDER.",
)
def export(
    invocation: Invocation, first_day: date | None, last_day: date | None, out: Path | None
) -> CommandResult:
    """Write daily metrics to Parquet files.

    Each day is a folder. Default: all days.
    """
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
    """Check the invariants of the data.

    They relate the event log, deliveries, metrics and enrollments. Exits with code 1 if one is
    violated.
    """
    from drip_pipeline.engine.operations.invariants import check_invariants

    results = check_invariants(invocation.database, now=now)
    data = [
        {
            "invariant": result.name,
            "meaning": result.meaning,
            "holds": result.holds,
            "violations": result.violations,
            "sample": result.sample,
        }
        for result in results
    ]
    text = table(data, ["invariant", "holds", "violations", "meaning"])
    return CommandResult(data, text, exit_code=0 if all(result.holds for result in results) else 1)


@command(metrics)
@click.option("--prometheus", is_flag=True, help="Print Prometheus text format.")
def live(invocation: Invocation, prometheus: bool) -> CommandResult:
    """Show live metrics for monitoring.

    Includes the backlog and its age, the rates of the last five minutes, unknown and failed
    deliveries, and blocked transports.
    """
    from drip_pipeline.engine.metrics.prometheus import prometheus_text, read_metrics

    # There is no --now, because the batch log that the rates are read from uses the real time.
    samples = read_metrics(invocation.read_database, now=datetime.now(UTC))
    if prometheus:
        return CommandResult(samples, prometheus_text(samples).rstrip())
    rows = [
        {
            "metric": sample.name,
            "labels": ", ".join(sample.labels.values()),
            "value": f"{sample.value:,.6g}",
        }
        for sample in samples
    ]
    return CommandResult(samples, table(rows))


def _computed(days: Sequence[CountedDay], corrected: int | None = None) -> CommandResult:
    sent = sum(day.sent for day in days)
    text = f"{len(days):,} days computed, {sent:,} messages sent on these days"
    data: dict[str, object] = {"days": days, "sent": sent}
    if corrected is not None:
        data["corrected_outcomes"] = corrected
        text += f"; {corrected:,} outcomes corrected"
    return CommandResult(data, text)
