"""The laws that hold in the database between any two transactions, as checks on the assets they are
about. They look and repair nothing. What follows from a figure that breaks one waits: those checks
block.
"""

from datetime import timedelta

import dagster as dg
from pydantic import Field

from drip_pipeline.engine.metrics.daily_metrics import days_waiting
from drip_pipeline.engine.operations.invariants import INVARIANTS, check_laws
from drip_pipeline.orchestration.failures import errors_told
from drip_pipeline.orchestration.metadata.invariants import law_result, waiting_result
from drip_pipeline.orchestration.metadata.run import EVENT_LOG, MESSAGE_OUTCOMES
from drip_pipeline.orchestration.resources import EngineResource, RunClock

DAILY_METRICS = dg.AssetKey("daily_campaign_metrics")
ASSET_OF_LAW = {
    "population": EVENT_LOG,
    "no_orphans": EVENT_LOG,
    "sent_once": MESSAGE_OUTCOMES,
    "recorded_once": MESSAGE_OUTCOMES,
    "log_is_outcomes": MESSAGE_OUTCOMES,
    "outcomes_are_metrics": DAILY_METRICS,
    "rates": DAILY_METRICS,
}
BLOCKING = {"log_is_outcomes", "outcomes_are_metrics", "rates"}


class LawConfig(dg.Config):
    """How far back to look."""

    days: int = Field(
        default=31,
        ge=0,
        description="Log and messages of so many days are looked at; 0 for all. The population is "
        "always compared as a whole.",
    )


def law_check(name: str, asset: dg.AssetKey) -> dg.AssetChecksDefinition:
    """The check of one law."""

    @dg.asset_check(
        name=name,
        asset=asset,
        blocking=name in BLOCKING,
        description=f"{INVARIANTS[name].capitalize()}.",
    )
    def check(config: LawConfig, engine: EngineResource, clock: RunClock) -> dg.AssetCheckResult:
        now = clock.moment()
        since = now - timedelta(days=config.days) if config.days else None
        with errors_told(f"checking {name}"):
            (found,) = check_laws(engine.database, now=now, names=(name,), since=since)
        return law_result(found)

    return check


@dg.asset_check(
    asset=DAILY_METRICS,
    description="No day has been waiting to be counted for more than an hour: neither the newest "
    "one nor one that late events changed. A warning; `uncounted_days` may be off.",
)
def counted_in_time(engine: EngineResource, clock: RunClock) -> dg.AssetCheckResult:
    """By the real time, since marks are made by it."""
    with errors_told("checking counted_in_time"):
        waiting = days_waiting(engine.database, now=clock.real())
    return waiting_result(waiting)


checks = [*(law_check(name, asset) for name, asset in ASSET_OF_LAW.items()), counted_in_time]
