"""The laws that hold in the database between any two transactions, as checks on the assets they are
about. They look and repair nothing. What follows from a figure that breaks one waits: those checks
block.
"""

from datetime import timedelta

import dagster as dg
from pydantic import Field

from drip_pipeline.engine.metrics.daily_metrics import days_waiting
from drip_pipeline.engine.operations.invariants import INVARIANTS, check_invariants
from drip_pipeline.orchestration.failures import translate_errors
from drip_pipeline.orchestration.metadata.invariants import freshness_result, invariant_result
from drip_pipeline.orchestration.metadata.run import EVENT_LOG, MESSAGE_OUTCOMES
from drip_pipeline.orchestration.resources import EngineResource, RunClock

DAILY_METRICS = dg.AssetKey("daily_campaign_metrics")
ASSET_OF_INVARIANT = {
    "population": EVENT_LOG,
    "no_orphans": EVENT_LOG,
    "sent_once": MESSAGE_OUTCOMES,
    "recorded_once": MESSAGE_OUTCOMES,
    "outcomes_match_log": MESSAGE_OUTCOMES,
    "metrics_match_outcomes": DAILY_METRICS,
    "rates": DAILY_METRICS,
}
BLOCKING = {"outcomes_match_log", "metrics_match_outcomes", "rates"}


class InvariantConfig(dg.Config):
    """How far back to look."""

    days: int = Field(
        default=31,
        ge=0,
        description="Log and messages of so many days are looked at; 0 for all. The population is "
        "always compared as a whole.",
    )


def invariant_check(name: str, asset: dg.AssetKey) -> dg.AssetChecksDefinition:
    """The check of one law."""

    @dg.asset_check(
        name=name,
        asset=asset,
        blocking=name in BLOCKING,
        description=f"{INVARIANTS[name].capitalize()}.",
    )
    def check(
        config: InvariantConfig, engine: EngineResource, clock: RunClock
    ) -> dg.AssetCheckResult:
        now = clock.moment()
        since = now - timedelta(days=config.days) if config.days else None
        with translate_errors(f"checking {name}"):
            (found,) = check_invariants(engine.database, now=now, names=(name,), since=since)
        return invariant_result(found)

    return check


@dg.asset_check(
    asset=DAILY_METRICS,
    description="No day has been waiting to be counted for more than an hour: neither the newest "
    "one nor one that late events changed. A warning; `stale_metrics` may be off.",
)
def computed_in_time(engine: EngineResource, clock: RunClock) -> dg.AssetCheckResult:
    """By the real time, since marks are made by it."""
    with translate_errors("checking computed_in_time"):
        waiting = days_waiting(engine.database, now=clock.real())
    return freshness_result(waiting)


checks = [
    *(invariant_check(name, asset) for name, asset in ASSET_OF_INVARIANT.items()),
    computed_in_time,
]
