"""When assets are refreshed by themselves, as conditions; and how old they may become. Where
seconds count, sensors start jobs instead. None of it starts a run while nothing happens, and none a
run per partition.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import dagster as dg

_IS_IDLE: Final = ~dg.AutomationCondition.in_progress()

# For what is only looked at: once an hour, and only after something new came in.
HOURLY_WHERE_NEW: Final = (
    dg.AutomationCondition.cron_tick_passed("41 * * * *")
    & dg.AutomationCondition.any_deps_updated().since_last_handled()
    & _IS_IDLE
).with_label("hourly, where something is new")

# For what follows a table day by day. Runs that count write the files as well; this is for days
# that somebody counted alone. Days that fall due together are one run, by the backfill policy.
AFTER_ITS_TABLE: Final = (
    dg.AutomationCondition.any_deps_updated().since_last_handled()
    & ~dg.AutomationCondition.any_deps_in_progress()
    & _IS_IDLE
).with_label("after the figures of its day")

# Counting and judging happen once a day even while nothing does: what is older is broken.
DAILY: Final = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=49), warn_window=timedelta(hours=25)
)
