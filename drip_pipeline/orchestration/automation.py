"""Automation conditions and freshness policies of the assets.

Sensors start jobs where seconds matter. No condition starts a run while nothing changes, or one run
per partition.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import dagster as dg

_IS_IDLE: Final = ~dg.AutomationCondition.in_progress()

# Once an hour, and only after a dependency was updated.
HOURLY_WHEN_UPDATED: Final = (
    dg.AutomationCondition.cron_tick_passed("41 * * * *")
    & dg.AutomationCondition.any_deps_updated().since_last_handled()
    & _IS_IDLE
).with_label("hourly, when updated")

# For assets that follow a table day by day. Runs that compute metrics write the files as well; this
# condition is for days that were computed alone. Days that are due together are one run, by the
# backfill policy.
AFTER_ITS_TABLE: Final = (
    dg.AutomationCondition.any_deps_updated().since_last_handled()
    & ~dg.AutomationCondition.any_deps_in_progress()
    & _IS_IDLE
).with_label("after the metrics of its day")

# Metrics and A/B tests are computed once a day even if nothing changed: older results mean a fault.
DAILY: Final = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=49), warn_window=timedelta(hours=25)
)
