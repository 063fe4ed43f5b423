"""Starts the draining of the inbox when something in it is due. It looks and takes nothing."""

from datetime import UTC, datetime

import dagster as dg

from drip_pipeline.orchestration.jobs.drain_inbox import INGESTION_KIND, drain_inbox
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.pending_work import inbox_ahead, unfinished_run
from drip_pipeline.orchestration.resources import EngineResource

_TAGS = {KIND_TAG: INGESTION_KIND}


@dg.sensor(
    name="full_inbox",
    job_name=drain_inbox.name,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every half minute: starts `drain_inbox` when something came in over HTTP.",
)
def full_inbox(
    context: dg.SensorEvaluationContext, engine: EngineResource
) -> dg.RunRequest | dg.SkipReason:
    """Look whether anything came in."""
    told = inbox_ahead(engine.database, datetime.now(UTC))
    if told is None:
        return dg.SkipReason("the inbox is empty")
    run_id = unfinished_run(context.instance, _TAGS)
    if run_id is not None:
        return dg.SkipReason(f"{told}; run {run_id[:8]} is still at work")
    context.log.info(told)
    return dg.RunRequest(run_key=None, tags=_TAGS)
