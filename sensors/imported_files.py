"""Start the loading of files that were put into the landing folder.

A file is ready when two checks find it unchanged; the cursor has the result of the last check. The
table `landed_files` records loaded files, so a lost cursor costs a minute and loads nothing twice.
"""

import json

import dagster as dg

from drip_pipeline.orchestration.jobs.load_event_files import LANDING_KIND, load_event_files
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.metadata.landing import pending_files, run_key
from drip_pipeline.orchestration.pending_work import (
    latest_run_id,
    still_running,
    unfinished_run_id,
)
from drip_pipeline.orchestration.resources import EngineResource

_TAGS = {KIND_TAG: LANDING_KIND}


@dg.sensor(
    name="imported_files",
    job_name=load_event_files.name,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every half minute: starts `load_event_files` for the files of the landing folder "
    "(DRIP_LANDING) that are complete and not loaded yet.",
)
def imported_files(
    context: dg.SensorEvaluationContext, engine: EngineResource
) -> dg.SensorResult | dg.SkipReason:
    """Check the landing folder for files to load."""
    pending = pending_files(engine.database, json.loads(context.cursor or "{}"))
    cursor = json.dumps(pending.identities())
    files = pending.next_files()
    run_id = unfinished_run_id(context.instance, _TAGS) if files else None
    if not files or run_id is not None:
        reason = f"{pending.describe()}; {still_running(run_id)}" if run_id else pending.describe()
        return dg.SensorResult(skip_reason=reason, cursor=cursor)
    request = dg.RunRequest(
        run_key=run_key(files, latest_run_id(context.instance, _TAGS) or ""),
        tags=_TAGS,
        run_config={"ops": {"load_landed_files": {"config": {"files": files}}}},
    )
    return dg.SensorResult(run_requests=[request], cursor=cursor)
