"""Starts the check of edits in the tables of published campaigns, once for each edit. It looks and
publishes nothing."""

import dagster as dg

from drip_pipeline.orchestration.jobs.check_canvas_edits import (
    EDITS_KIND,
    check_canvas_edits,
    edits_ahead,
)
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.pending_work import unfinished_run
from drip_pipeline.orchestration.resources import EngineResource
from drip_pipeline.settings import Settings

_TAGS = {KIND_TAG: EDITS_KIND}


@dg.sensor(
    name="canvas_edits",
    job_name=check_canvas_edits.name,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every minute: starts `check_canvas_edits` when a published campaign was edited in "
    "its tables, by a visual builder say.",
)
def canvas_edits(
    context: dg.SensorEvaluationContext, engine: EngineResource
) -> dg.RunRequest | dg.SkipReason:
    """Look whether anything was edited since the last look."""
    told = edits_ahead(engine.database, Settings.from_env())
    if told is None:
        return dg.SkipReason("no campaign was edited")
    run_id = unfinished_run(context.instance, _TAGS)
    if run_id is not None:
        return dg.SkipReason(f"{told}; run {run_id[:8]} is still at work")
    context.log.info(told)
    return dg.RunRequest(run_key=None, tags=_TAGS)
