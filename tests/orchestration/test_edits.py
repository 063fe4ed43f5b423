"""The sensor of external edits: one run for an edit, with its problems in the metadata."""

from __future__ import annotations

import dagster as dg

from drip_pipeline.definitions import build_definitions
from drip_pipeline.orchestration.resources import EngineResource
from drip_pipeline.orchestration.run_config import clock
from sensors.external_edits import external_edits
from tests.engine.factories import NOW
from tests.engine.publishing.in_flight_states import published, version_1


def tick(instance: dg.DagsterInstance) -> tuple[int, str]:
    resources = {"engine": EngineResource()}
    with dg.build_sensor_context(instance=instance, resources=resources) as context:
        data = external_edits.evaluate_tick(context)
    return len(data.run_requests or ()), data.skip_message or ""


def test_an_edit_starts_one_run_that_reports_its_problems(engine_database, instance):
    published(engine_database, version_1())
    assert tick(instance) == (0, "no campaign was edited")
    with engine_database.transaction() as connection:
        connection.execute(
            'UPDATE campaign_steps SET wait_config = \'{"type": "duration", "value": -1}\''
            " WHERE node_id = 'rest'"
        )
    assert tick(instance)[0] == 1
    job = build_definitions().resolve_job_def("check_external_edits")
    result = job.execute_in_process(
        instance=instance, run_config=dg.RunConfig(resources={"clock": clock(NOW)})
    )
    (event,) = [e for e in result.all_events if e.event_type_value == "STEP_OUTPUT"]
    metadata = event.step_output_data.metadata
    assert "Wait rest" in str(metadata["problems"].value)
    assert "invalid" in str(metadata["edits"].value)
    assert tick(instance) == (0, "no campaign was edited")
