"""Starts the loading of files that were put into the landing folder. A file is ready when two looks
found it the same; the cursor is the look before, and the ledger says what was loaded. So a lost
cursor costs a minute and loads nothing twice.
"""

import json

import dagster as dg

from drip_pipeline.orchestration.jobs.load_event_files import LANDING_KIND, load_event_files
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.metadata.landing import pending_files, run_key
from drip_pipeline.orchestration.pending_work import latest_run_id, unfinished_run_id
from drip_pipeline.orchestration.resources import EngineResource

_TAGS = {KIND_TAG: LANDING_KIND}


@dg.sensor(
    name="imported_files",
    job_name=load_event_files.name,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every half minute: starts `load_event_files` for the files of the landing folder "
    "(DRIP_LANDING) that are not loaded yet and that nobody is writing any more.",
)
def imported_files(
    context: dg.SensorEvaluationContext, engine: EngineResource
) -> dg.SensorResult | dg.SkipReason:
    """Look what lies there."""
    ahead = pending_files(engine.database, json.loads(context.cursor or "{}"))
    cursor = json.dumps(ahead.seen())
    files = ahead.portion()
    run_id = unfinished_run_id(context.instance, _TAGS) if files else None
    if not files or run_id is not None:
        still = f"; run {run_id[:8]} is still at work" if run_id else ""
        return dg.SensorResult(skip_reason=f"{ahead.told()}{still}", cursor=cursor)
    request = dg.RunRequest(
        run_key=run_key(files, latest_run_id(context.instance, _TAGS) or ""),
        tags=_TAGS,
        run_config={"ops": {"load_landed_files": {"config": {"files": files}}}},
    )
    return dg.SensorResult(run_requests=[request], cursor=cursor)
