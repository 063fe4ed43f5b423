"""The lift of an event over the global holdout of a workspace, per month.

Both groups are defined by the positions of the contacts that existed in the month, not by who was
sent a message, so that they differ in nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.metrics import holdout as holdout_db
from drip_pipeline.db.metrics.holdout import HoldoutCounts
from drip_pipeline.domain.conditions.local_instants import first_valid_instant
from drip_pipeline.domain.conditions.time_zones import zone_of
from drip_pipeline.domain.definition.ab_test import ABTestConfig
from drip_pipeline.domain.graph.holdout import Period, history, periods
from drip_pipeline.engine.campaigns.holdout import stored_rule
from drip_pipeline.engine.campaigns.workspaces import existing_workspace
from drip_pipeline.errors import NotAllowed
from drip_pipeline.experiments.holdout import HoldoutComparison, lifts
from drip_pipeline.experiments.pairs import GroupSums
from drip_pipeline.experiments.verdict import HoldoutLift

_MONTHS_A_YEAR: Final = 12
_HUNDRED: Final = 100
_CONFIG: Final = ABTestConfig(minimum_sample_size=1_000)
"""Sharpest at 20,000 contacts, both groups together; valid at every number."""


@dataclass(frozen=True, slots=True)
class HoldoutMonth:
    """The lift of one month, or of the part of it in which the holdout had one salt.

    Rates in percent of the contacts, `lift` and its always-valid interval in percentage points,
    `relative_lift` in percent of the holdout's rate. `reason`: why there is no lift. A month that
    is not over has the numbers up to now.
    """

    month: date
    since: datetime
    until: datetime
    held_out: int
    held_out_with_event: int
    others: int
    others_with_event: int
    holdout_rate: float | None
    rate: float | None
    lift: float | None
    interval: tuple[float, float] | None
    relative_lift: float | None
    relative_interval: tuple[float, float] | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class HoldoutReport:
    """The lift of an event, one entry per month, the latest last."""

    workspace_id: UUID
    event_type: str
    months: list[HoldoutMonth]


def holdout_report(
    database: Database, workspace: str | None, event_type: str, *, now: datetime, months: int = 6
) -> HoldoutReport:
    """Return the lift of an event in the latest months, that of `now` included.

    Raises NotAllowed for an unknown workspace, and for one that never had a holdout.
    """
    with database.transaction(is_read_only=True) as connection:
        workspace_id = existing_workspace(connection, workspace)
        rule = stored_rule(connection, workspace_id)
        if rule is None:
            raise NotAllowed(
                "the workspace never had a holdout",
                hint="`drip workspace holdout set --percent 5` starts one.",
            )
        zone = zone_of(holdout_db.time_zone(connection, workspace_id))
        first = now.astimezone(zone).date().replace(day=1)
        parts = []
        for back in range(months - 1, -1, -1):
            month, following = _month(first, -back), _month(first, 1 - back)
            start, end = (
                first_valid_instant(datetime.combine(day, time()), zone)
                for day in (month, following)
            )
            parts += [
                (month, period, _counts(connection, workspace_id, event_type, period))
                for period in periods(history(rule), start, min(end, now))
            ]
    results = lifts_of([counts for _, _, counts in parts])
    rows = [
        _row(month, period, counts, lift)
        for (month, period, counts), lift in zip(parts, results, strict=True)
    ]
    return HoldoutReport(workspace_id, event_type, rows)


def lifts_of(counts: list[HoldoutCounts]) -> list[HoldoutLift]:
    """Return the always-valid lift of each pair of groups."""
    return lifts(
        [
            HoldoutComparison(
                "",
                GroupSums(each.others, each.others_with_event),
                GroupSums(each.held_out, each.held_out_with_event),
                _CONFIG,
                partly_unsent=False,
            )
            for each in counts
        ]
    )


def _month(first: date, offset: int) -> date:
    year, month = divmod(first.year * _MONTHS_A_YEAR + first.month - 1 + offset, _MONTHS_A_YEAR)
    return date(year, month + 1, 1)


def _counts(
    connection: Connection, workspace_id: UUID, event_type: str, period: Period
) -> HoldoutCounts:
    return holdout_db.counts(
        connection,
        workspace_id,
        event_type,
        since=period.start,
        until=period.end,
        salt=period.salt,
        low=period.low,
        high=period.high,
    )


def _row(month: date, period: Period, counts: HoldoutCounts, lift: HoldoutLift) -> HoldoutMonth:
    return HoldoutMonth(
        month,
        period.start,
        period.end,
        *counts,
        holdout_rate=_percent(counts.held_out_with_event, counts.held_out),
        rate=_percent(counts.others_with_event, counts.others),
        lift=lift.difference,
        interval=lift.interval,
        relative_lift=lift.relative,
        relative_interval=lift.relative_interval,
        reason=None if lift.reason is None else str(lift.reason),
    )


def _percent(part: int, whole: int) -> float | None:
    return _HUNDRED * part / whole if whole else None
