"""Start the import of the inbox when a payload is due."""

from datetime import UTC, datetime

import dagster as dg

from drip_pipeline.orchestration.jobs.drain_inbox import INGESTION_KIND, drain_inbox
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.pending_work import (
    describe_pending_inbox,
    still_running,
    unfinished_run_id,
)
from drip_pipeline.orchestration.resources import EngineResource

_TAGS = {KIND_TAG: INGESTION_KIND}


@dg.sensor(
    name="inbox_pending",
    job_name=drain_inbox.name,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every half minute: starts `drain_inbox` when a payload received over HTTP is due.",
)
def inbox_pending(
    context: dg.SensorEvaluationContext, engine: EngineResource
) -> dg.RunRequest | dg.SkipReason:
    """Check whether a payload is due."""
    pending = describe_pending_inbox(engine.database, datetime.now(UTC))
    if pending is None:
        return dg.SkipReason("the inbox is empty")
    run_id = unfinished_run_id(context.instance, _TAGS)
    if run_id is not None:
        return dg.SkipReason(f"{pending}; {still_running(run_id)}")
    context.log.info(pending)
    return dg.RunRequest(run_key=None, tags=_TAGS)
