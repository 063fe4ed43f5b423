"""Start the evaluation of A/B tests when counts have changed.

Tests that change only by time (a minimum run time, open attribution windows) are evaluated every
ten minutes.
"""

from datetime import UTC, datetime

import dagster as dg

from drip_pipeline.orchestration.jobs.asset_jobs import EVALUATION_KIND, evaluate_ab_tests
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.pending_work import (
    evaluation_pending,
    still_running,
    unfinished_run_id,
)
from drip_pipeline.orchestration.resources import EngineResource

_TAGS = {KIND_TAG: EVALUATION_KIND}


@dg.sensor(
    name="changed_ab_tests",
    job_name=evaluate_ab_tests.name,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every minute: starts `evaluate_ab_tests` when enrollments or messages of a "
    "running test have changed. Every ten minutes for tests that change only by time.",
)
def changed_ab_tests(
    context: dg.SensorEvaluationContext, engine: EngineResource
) -> dg.SensorResult | dg.SkipReason:
    """Check whether an evaluation is due."""
    now = datetime.now(UTC)
    pending = evaluation_pending(engine.database)
    if not pending.is_due(now, evaluated_at=context.cursor):
        return dg.SkipReason(pending.describe())
    run_id = unfinished_run_id(context.instance, _TAGS)
    if run_id is not None:
        return dg.SkipReason(f"{pending.describe()}; {still_running(run_id)}")
    request = dg.RunRequest(run_key=None, tags=_TAGS)
    return dg.SensorResult(run_requests=[request], cursor=now.isoformat())
