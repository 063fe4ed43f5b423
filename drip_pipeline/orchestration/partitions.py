"""Partitions: calendar days of sending; a partition holds that day of every workspace, each on the
clock of its own time zone. One run may cover any range of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from datetime import date
from typing import Final

import dagster as dg

# Before the first release of the engine, which therefore sent nothing earlier.
FIRST_DAY: Final = "2026-01-01"

# Dagster calls backfill policies beta and says so at every start; its packages are pinned to one
# minor release.
warnings.filterwarnings("ignore", message=".*`backfill_policy`", category=dg.BetaWarning)

# end_offset: a day has its partition from its first minute on, also where it begins before UTC's.
days = dg.DailyPartitionsDefinition(start_date=FIRST_DAY, timezone="UTC", end_offset=2)
ONE_RUN: Final = dg.BackfillPolicy.single_run()

RANGE_START_TAG: Final = "dagster/asset_partition_range_start"
RANGE_END_TAG: Final = "dagster/asset_partition_range_end"


def days_of(context: dg.AssetExecutionContext) -> list[date]:
    """The days that a run was asked for."""
    return [date.fromisoformat(key) for key in context.partition_keys]


def day_ranges(wanted: Iterable[date], today: date) -> list[tuple[date, date]]:
    """Days as day_ranges without gaps, (first, last), in order. Days without a partition are left
    out: those before the first one, and those to come.
    """
    found: list[tuple[date, date]] = []
    for day in sorted(set(wanted)):
        if not date.fromisoformat(FIRST_DAY) <= day <= today:
            continue
        if found and (day - found[-1][1]).days == 1:
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found


def range_tags(first: date, last: date) -> dict[str, str]:
    """The tags by which one run covers these days."""
    return {RANGE_START_TAG: first.isoformat(), RANGE_END_TAG: last.isoformat()}
