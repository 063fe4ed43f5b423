"""Tells people of what needs them. These two sensors do what they find to do: an alert that first
had to become a run could not tell that runs are stuck.
"""

from datetime import UTC, datetime

import dagster as dg

from drip_pipeline.engine.operations.alerts import raise_incident, watch
from drip_pipeline.orchestration.metadata.common import sentence
from drip_pipeline.orchestration.resources import EngineResource
from drip_pipeline.orchestration.run_incidents import close_recovered, incident_of
from drip_pipeline.settings import Settings


@dg.sensor(
    name="alerts",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every minute: a stuck backlog, messages in doubt, open breakers, endpoints that "
    "are gone, skewed tests, decisions. Each is told once, to DRIP_ALERT_TO and "
    "DRIP_ALERT_WEBHOOK; `drip alerts list` shows what is open.",
)
def alerts(context: dg.SensorEvaluationContext, engine: EngineResource) -> dg.SkipReason:
    """Look, and tell of what is new."""
    now = datetime.now(UTC)
    over = close_recovered(context.instance, engine.database, now)
    seen = watch(engine.database, Settings.from_env(), now=now)
    for error in seen.errors:
        context.log.warning("an alert could not be told: %s", error)
    figures = {
        "incidents opened": seen.opened,
        "incidents over": seen.resolved + over,
        "notices told": seen.told,
        "notices to be told again": seen.failed,
    }
    return dg.SkipReason(
        sentence({name: count for name, count in figures.items() if count}, "nothing new")
    )


@dg.run_failure_sensor(
    name="failed_runs",
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="A failed run, killed workers included, is told once for as long as its job keeps "
    "failing.",
)
def failed_runs(context: dg.RunFailureSensorContext, engine: EngineResource) -> None:
    """Tell that a job fails."""
    row = incident_of(context)
    raise_incident(engine.database, Settings.from_env(), row, now=datetime.now(UTC))
