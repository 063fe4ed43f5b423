"""Send alerts.

Unlike the other sensors these act inside the sensor: an alert that needed a run could not report
that runs are stuck.
"""

from datetime import UTC, datetime

import dagster as dg

from drip_pipeline.engine.operations.alerts import raise_incident, watch
from drip_pipeline.orchestration.metadata.common import sentence
from drip_pipeline.orchestration.resources import EngineResource
from drip_pipeline.orchestration.run_incidents import (
    incident_of,
    is_refusal,
    report_written_tables,
    resolve_recovered,
)
from drip_pipeline.settings import Settings


@dg.sensor(
    name="alerts",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every minute: checks for a stuck backlog, messages of unknown outcome, open "
    "breakers, disabled endpoints, sample ratio mismatches and decisions. Each incident is sent "
    "once, to DRIP_ALERT_TO and DRIP_ALERT_WEBHOOK; `drip alerts list` shows what is open.",
)
def alerts(context: dg.SensorEvaluationContext, engine: EngineResource) -> dg.SkipReason:
    """Store the incidents of now and send the due notices."""
    now = datetime.now(UTC)
    recovered = resolve_recovered(context.instance, engine.database, now)
    report = watch(engine.database, Settings.from_env(), now=now)
    for error in report.errors:
        context.log.warning("a notice could not be sent: %s", error)
    counts = {
        "incidents opened": report.opened,
        "incidents resolved": report.resolved + recovered,
        "notices sent": report.notified,
        "notices to retry": report.failed,
    }
    return dg.SkipReason(
        sentence({name: count for name, count in counts.items() if count}, "nothing new")
    )


@dg.run_failure_sensor(
    name="failed_runs",
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports a failed run, also if its worker was killed. A job that keeps failing is "
    "reported once. A job that a person started and that refused its input is not reported. The "
    "tables that a failed minute job wrote to are reported as materialized here.",
)
def failed_runs(context: dg.RunFailureSensorContext, engine: EngineResource) -> None:
    """Store the incident of the failed job and send its notice."""
    report_written_tables(context, engine)
    if is_refusal(context):
        return
    incident = incident_of(context)
    raise_incident(engine.database, Settings.from_env(), incident, now=datetime.now(UTC))
