"""Queries of daily metrics: computing a day, stale days, and reading.

A day is a calendar day in each workspace's time zone, so the days of workspaces do not start at the
same time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, dump_json

# The first half of a two-part advisory lock; the second is the day. Any constant that no other lock
# in the database uses: the first bytes of sha256('drip_pipeline.daily_metrics').
LOCK_KEY: Final = 0x7ED7_C9C9


class CampaignSent(NamedTuple):
    """The messages sent in one row of daily metrics."""

    campaign_id: UUID
    sent: int


class DayMetricsRow(NamedTuple):
    """One row of daily metrics with the names of its workspace and campaign. `skipped`: messages by
    reason.
    """

    metric_date: date
    workspace_id: UUID
    workspace: str | None
    time_zone: str | None
    campaign_id: UUID
    campaign: str | None
    campaign_version: int
    node_id: str
    channel: str
    variant_group: str
    sent: int
    sent_uncertain: int
    delivered: int
    opened: int
    opens_total: int
    machine_opened: int
    clicked: int
    clicks_total: int
    machine_clicked: int
    replied: int
    converted: int
    conversion_value: Decimal
    unsubscribed: int
    complained: int
    bounced: int
    failed: int
    skipped: Mapping[str, int]


class UnsentMetricsRow(NamedTuple):
    """The metrics of messages that were not sent."""

    workspace_id: UUID
    campaign_id: UUID
    campaign_version: int
    node_id: str
    channel: str
    variant_group: str
    failed: int
    skipped: Mapping[str, int]


class StaleDay(NamedTuple):
    """A day to compute again, and when it was first marked."""

    metric_date: date
    marked_at: datetime


class CampaignMetricsRow(NamedTuple):
    """The totals of a campaign. A breakdown that was not requested is None."""

    campaign_id: UUID
    campaign: str
    campaign_version: int | None
    node_id: str | None
    channel: str | None
    variant_group: str | None
    metric_date: date | None
    sent: int
    sent_uncertain: int
    delivered: int
    opened: int
    opens_total: int
    machine_opened: int
    clicked: int
    clicks_total: int
    machine_clicked: int
    replied: int
    converted: int
    conversion_value: Decimal
    unsubscribed: int
    complained: int
    bounced: int
    failed: int
    skipped: int


class Breakdown(NamedTuple):
    """What to break totals down by."""

    version: bool = False
    node: bool = False
    variant: bool = False
    day: bool = False


TOTALS: Final = Breakdown()
"""No breakdown."""


def lock_day(connection: Connection, day: date) -> None:
    """Wait for the day's advisory lock and hold it until the transaction ends."""
    queries.run(connection, "lock_metric_day", lock_key=LOCK_KEY, day=day)


def clear_day(connection: Connection, day: date) -> set[UUID]:
    """Delete a day's metrics and stale marks; return the campaigns that had metrics."""
    return set(queries.column(connection, "clear_metric_day", day=day))


def count_day(connection: Connection, day: date) -> list[CampaignSent]:
    """Compute a day from outcomes and log; return one entry per row written."""
    return queries.records(connection, "count_metric_day", CampaignSent, day=day)


def day_rows(connection: Connection, day: date) -> list[DayMetricsRow]:
    """Return a day's metrics in the order of their key."""
    return queries.records(connection, "metric_day_rows", DayMetricsRow, day=day)


def counted_days(
    connection: Connection, first_day: date | None = None, last_day: date | None = None
) -> list[date]:
    """Return the days that have metrics."""
    return queries.column(connection, "counted_days", first_day=first_day, last_day=last_day)


def unsent_metrics(connection: Connection, day: date) -> list[UnsentMetricsRow]:
    """Return a day's metrics of messages that were not sent."""
    return queries.records(connection, "unsent_metrics", UnsentMetricsRow, day=day)


def restore_unsent(connection: Connection, day: date, rows: Sequence[UnsentMetricsRow]) -> int:
    """Write such metrics back after computing the day; return their number."""
    unsent = dump_json([row._asdict() for row in rows]).decode()
    return queries.run(connection, "restore_unsent_metrics", day=day, unsent=unsent)


def stale_days(connection: Connection) -> list[StaleDay]:
    """Return the days that late events have changed."""
    return queries.records(connection, "stale_days", StaleDay)


def stale_dates(connection: Connection) -> list[date]:
    """Return the dates of `stale_days`."""
    return [row.metric_date for row in stale_days(connection)]


def is_archived(connection: Connection, day: date) -> bool:
    """Return whether part of the day's log is archived, so that messages that were not sent can no
    longer be counted.
    """
    return bool(queries.scalar(connection, "is_day_archived", day=day))


def last_counted_day(connection: Connection, day: date) -> date | None:
    """Return the last day up to `day` that has metrics."""
    last: date | None = queries.scalar(connection, "last_counted_day", day=day)
    return last


def first_sending_day(connection: Connection) -> date | None:
    """Return the day of the first message sent."""
    first: date | None = queries.scalar(connection, "first_sending_day")
    return first


def latest_date(connection: Connection, now: datetime) -> date:
    """Return the date in the easternmost time zone of any workspace."""
    latest: date | None = queries.scalar(connection, "latest_date", now=now)
    return latest or now.astimezone(UTC).date()


def write_totals(connection: Connection, campaign_ids: Sequence[UUID]) -> tuple[int, int]:
    """Write the totals to campaigns and steps; return the numbers of (campaigns, steps) changed."""
    ids = list(campaign_ids)
    campaigns = queries.run(connection, "write_campaign_totals", campaign_ids=ids)
    return campaigns, queries.run(connection, "write_step_totals", campaign_ids=ids)


def campaign_metrics(
    connection: Connection,
    *,
    campaign_id: UUID | None = None,
    first_day: date | None = None,
    last_day: date | None = None,
    by: Breakdown = TOTALS,
) -> list[CampaignMetricsRow]:
    """Return totals per campaign, broken down by `by`."""
    return queries.records(
        connection,
        "campaign_metrics",
        CampaignMetricsRow,
        campaign_id=campaign_id,
        first_day=first_day,
        last_day=last_day,
        by_version=by.version,
        by_node=by.node,
        by_variant=by.variant,
        by_day=by.day,
    )


def rebuild_outcomes(connection: Connection, day: date) -> int:
    """Correct the outcomes of a day's messages that differ from the log; return their number."""
    return queries.run(connection, "rebuild_outcomes", day=day)
