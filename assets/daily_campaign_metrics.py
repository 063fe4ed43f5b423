"""Sums of message outcomes by day of sending, campaign version, node, channel and variant.

A day is recomputed as a whole, so a backfill and the refresh of today give the same rows.
"""

from time import perf_counter

import dagster as dg

from assets.message_outcomes import message_outcomes
from drip_pipeline.engine.metrics.daily_metrics import aggregate_days
from drip_pipeline.orchestration.automation import DAILY
from drip_pipeline.orchestration.catalog import METRICS, OWNERS, stored_in, written_by
from drip_pipeline.orchestration.failures import RETRY_POLICY, translate_errors
from drip_pipeline.orchestration.metadata.common import seconds
from drip_pipeline.orchestration.metadata.daily_metrics import computed_metadata, describe_computed
from drip_pipeline.orchestration.partitions import ONE_RUN, days, days_of
from drip_pipeline.orchestration.resources import EngineResource


@dg.asset(
    deps=[message_outcomes],
    partitions_def=days,
    backfill_policy=ONE_RUN,
    group_name=METRICS,
    description="Sent, delivered, opened and clicked (unique and total, without machine opens and "
    "clicks), replied, converted with value, unsubscribed, complained, bounced, failed, and "
    "skipped by reason. A partition is a day of sending, in each workspace's own time zone; it is "
    "replaced as a whole. Any range is one run.",
    owners=OWNERS,
    kinds={"postgres"},
    freshness_policy=DAILY,
    retry_policy=RETRY_POLICY,
    metadata={
        **stored_in("campaign_daily_metrics"),
        **written_by(
            rows="sql/queries/metrics.sql", days="drip_pipeline/engine/metrics/daily_metrics.py"
        ),
    },
)
def daily_campaign_metrics(
    context: dg.AssetExecutionContext, engine: EngineResource
) -> dg.MaterializeResult[None]:
    """Recompute the days."""
    began = perf_counter()
    with translate_errors("computing daily metrics"):
        computed = aggregate_days(engine.database, days_of(context))
        by_day = computed_metadata(engine.database, computed)
    for day, metadata in by_day.items():
        context.add_asset_metadata(metadata, partition_key=day.isoformat())
    context.log.info(describe_computed(computed))
    return dg.MaterializeResult(metadata={"run_seconds": seconds(perf_counter() - began)})
