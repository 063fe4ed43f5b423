"""Asset checks of the invariants of the stored data. They repair nothing.

Checks of metrics block, so that nothing is computed from wrong values. The other checks have an
asset of their own, which no run materializes: the event log and the outcomes are reported every
minute, and Dagster shows a check's result only until the next materialization of its asset.
"""

from datetime import timedelta

import dagster as dg
from pydantic import Field

from drip_pipeline.engine.metrics.daily_metrics import days_waiting
from drip_pipeline.engine.operations.invariant_incidents import record_result
from drip_pipeline.engine.operations.invariants import INVARIANTS, check_invariants
from drip_pipeline.orchestration.catalog import DELIVERY, OWNERS, written_by
from drip_pipeline.orchestration.failures import translate_errors
from drip_pipeline.orchestration.metadata.invariants import freshness_result, invariant_result
from drip_pipeline.orchestration.metadata.run import EVENT_LOG, MESSAGE_OUTCOMES
from drip_pipeline.orchestration.resources import EngineResource, RunClock
from drip_pipeline.settings import Settings

DAILY_METRICS = dg.AssetKey("daily_campaign_metrics")
STORED_DATA = dg.AssetKey("stored_data")
ASSET_OF_INVARIANT = {
    "population": STORED_DATA,
    "no_orphans": STORED_DATA,
    "sent_once": STORED_DATA,
    "recorded_once": STORED_DATA,
    "outcomes_match_log": STORED_DATA,
    "metrics_match_outcomes": DAILY_METRICS,
    "rates": DAILY_METRICS,
}
BLOCKING = {"metrics_match_outcomes", "rates"}

stored_data = dg.AssetSpec(
    STORED_DATA,
    deps=[EVENT_LOG, MESSAGE_OUTCOMES],
    group_name=DELIVERY,
    description="Enrollments, messages, outcomes and events, and the checks of what holds between "
    "them: every hour, or by the job `check_invariants`. A failed check opens an incident "
    "(`drip alerts list`), which is resolved when the check succeeds.",
    owners=OWNERS,
    kinds={"postgres"},
    metadata={
        "dagster/table_name": "campaign_enrollments, campaign_deliveries, campaign_events",
        **written_by(invariants="drip_pipeline/engine/operations/invariants.py"),
    },
)


class InvariantConfig(dg.Config):
    """The range to check."""

    days: int = Field(
        default=31,
        ge=0,
        description="Check events and messages of this many days; 0 for all. The check "
        "`population` always covers all enrollments.",
    )


def invariant_check(name: str, asset: dg.AssetKey) -> dg.AssetChecksDefinition:
    """Return the check of one invariant."""

    @dg.asset_check(
        name=name,
        asset=asset,
        blocking=name in BLOCKING,
        description=f"{INVARIANTS[name].capitalize()}.",
    )
    def check(
        config: InvariantConfig, engine: EngineResource, clock: RunClock
    ) -> dg.AssetCheckResult:
        now = clock.current()
        since = now - timedelta(days=config.days) if config.days else None
        with translate_errors(f"checking {name}"):
            (result,) = check_invariants(engine.database, now=now, names=(name,), since=since)
            record_result(engine.database, Settings.from_env(), result, now=clock.real())
        return invariant_result(result)

    return check


@dg.asset_check(
    asset=DAILY_METRICS,
    description="No day has been waiting to be computed for more than an hour: neither the newest "
    "one nor one that late events changed. A warning; the sensor `stale_metrics` may be off.",
)
def computed_in_time(engine: EngineResource, clock: RunClock) -> dg.AssetCheckResult:
    """Check against the wall clock, because days are marked as stale by it."""
    with translate_errors("checking computed_in_time"):
        days = days_waiting(engine.database, now=clock.real())
    return freshness_result(days)


checks = [
    *(invariant_check(name, asset) for name, asset in ASSET_OF_INVARIANT.items()),
    computed_in_time,
]
