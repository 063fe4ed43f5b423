"""Migrate enrollments to another version from the launchpad."""

from __future__ import annotations

import dagster as dg

from drip_pipeline.definitions import build_definitions
from drip_pipeline.orchestration.jobs.operator_jobs import MigrateForm
from tests.engine.factories import NOW
from tests.engine.publishing.in_flight_states import (
    COHORTS,
    MAP,
    NAME,
    a_campaign_in_flight,
    published,
    version_2,
)
from tests.orchestration.running import filled_in, value

_INSIDE_VERSION_1 = (
    "SELECT count(*) FROM campaign_workflow_states"
    " WHERE campaign_version = 1 AND completed_at IS NULL"
)


def move(instance: dg.DagsterInstance, **config: object) -> dg.ExecuteInProcessResult:
    job = build_definitions().resolve_job_def("migrate_enrollments")
    form = MigrateForm(campaign=NAME, **{"dry_run": False, **config})  # type: ignore[arg-type]
    run_config = filled_in(form, NOW)
    return job.execute_in_process(instance=instance, run_config=run_config, raise_on_error=False)


def test_enrollments_migrate_from_the_launchpad_with_a_node_map(engine_database, instance):
    a_campaign_in_flight(engine_database, len(COHORTS))
    published(engine_database, version_2())
    refused = move(instance)
    assert not refused.success
    (failed,) = [e for e in refused.all_events if e.event_type_value == "STEP_FAILURE"]
    assert "no target node in version 2" in str(failed.event_specific_data)
    inside = value(engine_database, _INSIDE_VERSION_1)
    assert inside > 0
    assert move(instance, node_map=MAP, dry_run=True).success
    assert value(engine_database, _INSIDE_VERSION_1) == inside
    assert move(instance, node_map=MAP).success
    assert value(engine_database, _INSIDE_VERSION_1) == 0
