"""Starts the minute job when something is due. It looks and never claims: a tick costs two cheap
statements, and idle minutes start no run.
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
from drip_pipeline.orchestration.shards import busy_runs, check_shards, requests
from drip_pipeline.settings import Settings

_TAGS = {KIND_TAG: ENGINE_KIND}


@dg.sensor(
    name="due_steps",
    # By name: handing the job over makes Dagster warn of a beta parameter of its own.
    job_name=run_due_workflows.name,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every minute: starts `run_due_workflows` when people or messages are due. Skips, "
    "with figures, when nothing is, and while the run before is still at work. With DRIP_SHARDS, a "
    "run for each shard that has something to do and none at work.",
)
def due_steps(
    context: dg.SensorEvaluationContext, engine: EngineResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """Look whether anything is due."""
    now, shards = datetime.now(UTC), Settings.from_env().shards
    ahead = find_pending_work(engine.database, now)
    if not ahead.is_any:
        return dg.SkipReason(ahead.told())
    looks = check_shards(
        context.instance, engine.database, ahead, shards=shards, tags=_TAGS, now=now
    )
    wanted = list(requests(looks, _TAGS))
    if not wanted:
        return dg.SkipReason(f"{ahead.told()}; {busy_runs(looks)}")
    context.log.info(ahead.told())
    return wanted
