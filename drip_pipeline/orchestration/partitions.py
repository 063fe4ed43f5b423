"""Daily partitions. A partition has that calendar day of every workspace, in its own time zone.

One run can cover any range of days.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from datetime import date
from typing import Final

import dagster as dg

# Before the first release of the engine, so no message was sent earlier.
FIRST_DAY: Final = "2026-01-01"

# Dagster marks backfill policies as beta and warns at every start; its packages are pinned to one
# minor release.
warnings.filterwarnings("ignore", message=".*`backfill_policy`", category=dg.BetaWarning)

# end_offset: a day has its partition from its first minute on, also in zones ahead of UTC.
days = dg.DailyPartitionsDefinition(start_date=FIRST_DAY, timezone="UTC", end_offset=2)
ONE_RUN: Final = dg.BackfillPolicy.single_run()

RANGE_START_TAG: Final = "dagster/asset_partition_range_start"
RANGE_END_TAG: Final = "dagster/asset_partition_range_end"


def days_of(context: dg.AssetExecutionContext) -> list[date]:
    """Return the days of a run."""
    return [date.fromisoformat(key) for key in context.partition_keys]


def day_ranges(requested: Iterable[date], today: date) -> list[tuple[date, date]]:
    """Return the days as (first, last) ranges without gaps, in order.

    Days without a partition are skipped: before the first partition and after `today`.
    """
    ranges: list[tuple[date, date]] = []
    for day in sorted(set(requested)):
        if not date.fromisoformat(FIRST_DAY) <= day <= today:
            continue
        if ranges and (day - ranges[-1][1]).days == 1:
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return ranges


def range_tags(first: date, last: date) -> dict[str, str]:
    """Return the tags of one run that covers these days."""
    return {RANGE_START_TAG: first.isoformat(), RANGE_END_TAG: last.isoformat()}
