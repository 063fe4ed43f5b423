"""Starts the minute job when something is due. It looks and never claims: a tick costs two cheap
statements, and idle minutes start no run.
"""

from datetime import UTC, datetime

import dagster as dg

from drip_pipeline.orchestration.look_ahead import unfinished_run, work_ahead
from drip_pipeline.orchestration.minute_job import ENGINE_KIND, KIND_TAG, run_due_workflows
from drip_pipeline.orchestration.resources import EngineResource

_TAGS = {KIND_TAG: ENGINE_KIND}


@dg.sensor(
    name="due_work",
    # By name: handing the job over makes Dagster warn of a beta parameter of its own.
    job_name=run_due_workflows.name,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every minute: starts `run_due_workflows` when people or messages are due. Skips, "
    "with figures, when nothing is, and while the run before is still at work.",
)
def due_work(
    context: dg.SensorEvaluationContext, engine: EngineResource
) -> dg.RunRequest | dg.SkipReason:
    """Look whether anything is due."""
    ahead = work_ahead(engine.database, datetime.now(UTC))
    if not ahead.is_any:
        return dg.SkipReason(ahead.told())
    run_id = unfinished_run(context.instance, _TAGS)
    if run_id is not None:
        return dg.SkipReason(f"{ahead.told()}; run {run_id[:8]} is still at work")
    context.log.info(ahead.told())
    # No run key: the minute's work is not a thing that may happen only once.
    return dg.RunRequest(run_key=None, tags=_TAGS)
