"""Start the check of external changes of published campaigns, once for each change."""

import dagster as dg

from drip_pipeline.orchestration.jobs.check_external_edits import (
    EXTERNAL_EDITS_KIND,
    check_external_edits,
    describe_pending_edits,
)
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.pending_work import still_running, unfinished_run_id
from drip_pipeline.orchestration.resources import EngineResource
from drip_pipeline.settings import Settings

_TAGS = {KIND_TAG: EXTERNAL_EDITS_KIND}


@dg.sensor(
    name="external_edits",
    job_name=check_external_edits.name,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every minute: starts `check_external_edits` when another application, such as a "
    "visual builder, has changed the tables of a published campaign.",
)
def external_edits(
    context: dg.SensorEvaluationContext, engine: EngineResource
) -> dg.RunRequest | dg.SkipReason:
    """Check whether a campaign was edited since the last check."""
    pending = describe_pending_edits(engine.database, Settings.from_env())
    if pending is None:
        return dg.SkipReason("no campaign was edited")
    run_id = unfinished_run_id(context.instance, _TAGS)
    if run_id is not None:
        return dg.SkipReason(f"{pending}; {still_running(run_id)}")
    context.log.info(pending)
    return dg.RunRequest(run_key=None, tags=_TAGS)
