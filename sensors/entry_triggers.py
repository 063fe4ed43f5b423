"""Starts letting people in when somebody came to match a campaign's entry trigger: got the tag,
passed the score, did something, or a schedule is due.
"""

from datetime import UTC, datetime

import dagster as dg

from drip_pipeline.engine.enrollment.entry_triggers import pending_entries
from drip_pipeline.orchestration.jobs.enroll_by_triggers import (
    ENTRY_TRIGGERS_KIND,
    enroll_by_triggers,
)
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.pending_work import unfinished_run_id
from drip_pipeline.orchestration.resources import EngineResource

_TAGS = {KIND_TAG: ENTRY_TRIGGERS_KIND}


@dg.sensor(
    name="entry_triggers",
    job_name=enroll_by_triggers.name,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every minute: starts `enroll_by_triggers` when a contact now matches a campaign's "
    "entry trigger. Reads one queue row per campaign that has a trigger.",
)
def entry_triggers(
    context: dg.SensorEvaluationContext, engine: EngineResource
) -> dg.RunRequest | dg.SkipReason:
    """Look whether somebody is to be let in."""
    ahead = pending_entries(engine.database, datetime.now(UTC))
    if not ahead.campaigns:
        return dg.SkipReason(f"nobody came to match; {ahead.listening:,} campaigns listen")
    run_id = unfinished_run_id(context.instance, _TAGS)
    if run_id is not None:
        return dg.SkipReason(f"people to let in; run {run_id[:8]} is still at work")
    return dg.RunRequest(run_key=None, tags=_TAGS)
