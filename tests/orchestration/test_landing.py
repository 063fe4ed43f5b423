"""The landing folder through Dagster: the sensor's looks, its job, what a run says of itself."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import dagster as dg
import pytest

from drip_pipeline.definitions import build_definitions
from drip_pipeline.orchestration.jobs.load_event_files import load_event_files
from drip_pipeline.orchestration.metadata.landing import MAX_FILES
from sensors.imported_files import imported_files
from tests.engine.events.incoming import LATER, mailed
from tests.engine.events.test_landing_folder import put
from tests.orchestration.running import failures, value
from tests.orchestration.test_sensors import tick


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The landing folder of the test's settings."""
    made = tmp_path / "landing"
    made.mkdir()
    return made


def two_ticks(instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    _, _, cursor = tick(imported_files, instance)
    return tick(imported_files, instance, cursor)[0]


def run(
    instance: dg.DagsterInstance, request: dg.RunRequest, *, now: datetime = LATER
) -> dg.ExecuteInProcessResult:
    """The run that the sensor asked for."""
    job = build_definitions().resolve_job_def("load_event_files")
    config = {**request.run_config, "resources": {"clock": {"config": {"now": str(now)}}}}
    return job.execute_in_process(
        run_config=config, instance=instance, tags=request.tags, raise_on_error=False
    )


def an_open(number: int, message_id: object) -> dict[str, object]:
    return {
        "event_id": number,
        "event_type": "email_opened",
        "occurred_at": LATER.isoformat(),
        "message_id": str(message_id),
    }


def test_a_file_is_loaded_when_two_checks_find_it_unchanged(engine_database, instance, folder):
    _, [sent] = mailed(engine_database)
    path = put(folder, "ses/a.ndjson", an_open(1, sent.message_id), {"event_type": "x"})
    requests, reason, cursor = tick(imported_files, instance)
    assert (requests, reason) == ([], "0 files ready, 1 to be checked once more")
    with path.open("ab") as file:
        file.write(b"\n")
    requests, reason, cursor = tick(imported_files, instance, cursor)
    assert (requests, reason) == ([], "0 files ready, 1 to be checked once more")
    ((request,), _, cursor) = tick(imported_files, instance, cursor)
    # The same look again asks for the same run, which Dagster starts once.
    assert tick(imported_files, instance, cursor)[0][0].run_key == request.run_key
    result = run(instance, request)
    assert result.success
    assert value(engine_database, "SELECT open_count FROM campaign_message_outcomes") == 1
    # Even with its cursor lost the sensor finds nothing to do.
    for lost in (cursor, None):
        requests, reason, _ = tick(imported_files, instance, lost)
        assert (requests, reason) == ([], "all files of the landing folder are loaded")


def test_the_run_reports_files_and_events_as_materialized(engine_database, instance, folder):
    _, [sent] = mailed(engine_database)
    put(folder, "ses/a.ndjson", an_open(1, sent.message_id), an_open(1, sent.message_id), {})
    result = run(instance, two_ticks(instance)[0])
    events = {
        event.asset_key.to_user_string(): event.materialization.metadata
        for event in result.all_events
        if event.is_step_materialization and event.asset_key
    }
    files = {label: entry.value for label, entry in events["landed_files"].items()}
    assert [files[name] for name in ("files", "lines", "events", "duplicates")] == [1, 3, 1, 1]
    assert "event_type is missing" in str(files["rejected"])
    assert "ses/a.ndjson" in str(files["preview"])
    assert events["campaign_events"]["events"].value == 1


def test_a_run_names_the_file_that_cannot_be_read_and_loads_the_others(
    engine_database, instance, folder
):
    _, [sent] = mailed(engine_database)
    (folder / "bad.parquet").write_bytes(b"PAR1 and nothing else")
    os.utime(folder / "bad.parquet", ns=(1, 1))
    put(folder, "good.ndjson", an_open(1, sent.message_id))
    result = run(instance, two_ticks(instance)[0])
    ((description, metadata),) = failures(result).values()
    assert description.startswith("1 of 2 files could not be read completely: bad.parquet: ")
    assert metadata["events"] == 1
    assert two_ticks(instance) == []


def test_the_sensor_waits_while_a_run_is_in_progress(engine_database, instance, folder):
    put(folder, "a.ndjson", {"a": 1})
    under_way = instance.create_run_for_job(
        load_event_files,
        run_config={"ops": {"load_landed_files": {"config": {"files": {"a.ndjson": "1:1"}}}}},
        tags={"drip/kind": "landing"},
        status=dg.DagsterRunStatus.STARTED,
    )
    _, _, cursor = tick(imported_files, instance)
    requests, reason, _ = tick(imported_files, instance, cursor)
    assert requests == []
    assert reason.endswith(f"run {under_way.run_id[:8]} is still in progress")


def test_a_run_takes_no_more_files_than_it_may(engine_database, instance, folder):
    for number in range(MAX_FILES + 5):
        put(folder, f"{number}.ndjson", {"a": 1})
    ((request,)) = two_ticks(instance)
    assert len(request.run_config["ops"]["load_landed_files"]["config"]["files"]) == MAX_FILES
