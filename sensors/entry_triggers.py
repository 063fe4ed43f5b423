"""Start enrollment when contacts match an entry trigger: tag, score, event or schedule."""

from datetime import UTC, datetime

import dagster as dg

from drip_pipeline.engine.enrollment.entry_triggers import pending_entries
from drip_pipeline.orchestration.jobs.enroll_by_triggers import (
    ENTRY_TRIGGERS_KIND,
    enroll_by_triggers,
)
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.pending_work import still_running, unfinished_run_id
from drip_pipeline.orchestration.resources import EngineResource

_TAGS = {KIND_TAG: ENTRY_TRIGGERS_KIND}


@dg.sensor(
    name="entry_triggers",
    job_name=enroll_by_triggers.name,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every minute: starts `enroll_by_triggers` when a contact now matches a campaign's "
    "entry trigger. Reads one queue row for each campaign with an entry trigger.",
)
def entry_triggers(
    context: dg.SensorEvaluationContext, engine: EngineResource
) -> dg.RunRequest | dg.SkipReason:
    """Check whether contacts are to be enrolled."""
    pending = pending_entries(engine.database, datetime.now(UTC))
    if not pending.campaigns:
        return dg.SkipReason(
            f"no new matches; {pending.listening:,} campaigns have an entry trigger"
        )
    run_id = unfinished_run_id(context.instance, _TAGS)
    if run_id is not None:
        return dg.SkipReason(f"contacts to enroll; {still_running(run_id)}")
    return dg.RunRequest(run_key=None, tags=_TAGS)
