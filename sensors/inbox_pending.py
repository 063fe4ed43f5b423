"""Starts the draining of the inbox when something in it is due. It looks and takes nothing."""

from datetime import UTC, datetime

import dagster as dg

from drip_pipeline.orchestration.jobs.drain_inbox import INGESTION_KIND, drain_inbox
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.pending_work import describe_pending_inbox, unfinished_run_id
from drip_pipeline.orchestration.resources import EngineResource

_TAGS = {KIND_TAG: INGESTION_KIND}


@dg.sensor(
    name="inbox_pending",
    job_name=drain_inbox.name,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every half minute: starts `drain_inbox` when something came in over HTTP.",
)
def inbox_pending(
    context: dg.SensorEvaluationContext, engine: EngineResource
) -> dg.RunRequest | dg.SkipReason:
    """Look whether anything came in."""
    told = describe_pending_inbox(engine.database, datetime.now(UTC))
    if told is None:
        return dg.SkipReason("the inbox is empty")
    run_id = unfinished_run_id(context.instance, _TAGS)
    if run_id is not None:
        return dg.SkipReason(f"{told}; run {run_id[:8]} is still at work")
    context.log.info(told)
    return dg.RunRequest(run_key=None, tags=_TAGS)
