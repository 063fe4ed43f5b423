"""What became of each message. Batches and ingestion keep the table up to date as they commit; to
materialise a day is to put it right from the log.
"""

from time import perf_counter

import dagster as dg

from drip_pipeline.engine.outcomes import rebuild_outcomes
from drip_pipeline.orchestration.catalog import DELIVERY, OWNERS, stored_in, written_by
from drip_pipeline.orchestration.failures import RETRY_POLICY, errors_told
from drip_pipeline.orchestration.metrics_report import rebuilt_metadata
from drip_pipeline.orchestration.partitions import ONE_RUN, days, days_of
from drip_pipeline.orchestration.resources import EngineResource
from drip_pipeline.orchestration.run_report import EVENT_LOG, MESSAGE_OUTCOMES


@dg.asset(
    key=MESSAGE_OUTCOMES,
    deps=[EVENT_LOG],
    partitions_def=days,
    backfill_policy=ONE_RUN,
    group_name=DELIVERY,
    description="One row a message: sent, delivered, first opened and clicked (machines apart), "
    "replied, converted, unsubscribed, bounced. A row is made when the message goes out, and "
    "provider events bring it up to date in whatever order they arrive; the minute job reports "
    "what it added as observations. Materialising a day (of sending, UTC) compares it with the log "
    "and corrects what differs, which should be nothing.",
    owners=OWNERS,
    kinds={"postgres"},
    pool="ingestion",
    retry_policy=RETRY_POLICY,
    metadata={
        **stored_in("campaign_message_outcomes"),
        **written_by(
            deliveries="sql/queries/deliveries.sql",
            ingestion="sql/queries/events.sql",
            rebuilding="drip_pipeline/engine/outcomes.py",
        ),
    },
)
def message_outcomes(
    context: dg.AssetExecutionContext, engine: EngineResource
) -> dg.MaterializeResult[None]:
    """Put the days right from the log."""
    began = perf_counter()
    wanted = days_of(context)
    with errors_told("rebuilding message outcomes"):
        corrected = rebuild_outcomes(engine.database, wanted)
        metadata = rebuilt_metadata(engine.database, wanted, corrected)
    return dg.MaterializeResult(
        metadata={**metadata, "duration_seconds": round(perf_counter() - began, 3)}
    )
