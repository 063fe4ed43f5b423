"""Start the minute job when work is due.

A tick costs two cheap statements and claims nothing; idle minutes start no run.
"""

from datetime import UTC, datetime

import dagster as dg

from drip_pipeline.orchestration.jobs.run_due_workflows import (
    ENGINE_KIND,
    KIND_TAG,
    run_due_workflows,
)
from drip_pipeline.orchestration.pending_work import find_pending_work
from drip_pipeline.orchestration.resources import EngineResource
from drip_pipeline.orchestration.shards import check_shards, describe_runs, requests
from drip_pipeline.settings import Settings

_TAGS = {KIND_TAG: ENGINE_KIND}


@dg.sensor(
    name="due_steps",
    # By name: passing the job makes Dagster warn about a beta parameter of its own.
    job_name=run_due_workflows.name,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every minute: starts `run_due_workflows` when enrollments or messages are due. "
    "Skips if nothing is due or the previous run is still in progress. With DRIP_SHARDS, starts a "
    "run for each shard that has work and no run.",
)
def due_steps(
    context: dg.SensorEvaluationContext, engine: EngineResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """Check whether work is due."""
    now, shards = datetime.now(UTC), Settings.from_env().shards
    pending = find_pending_work(engine.database, now)
    if not pending.is_any:
        return dg.SkipReason(pending.describe())
    checks = check_shards(
        context.instance, engine.database, pending, shards=shards, tags=_TAGS, now=now
    )
    run_requests = list(requests(checks, _TAGS))
    if not run_requests:
        return dg.SkipReason(f"{pending.describe()}; {describe_runs(checks)}")
    context.log.info(pending.describe())
    return run_requests
