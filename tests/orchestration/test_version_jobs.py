"""The history of a campaign from the launchpad."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.definitions import build_definitions
from drip_pipeline.engine.publishing.history import history
from drip_pipeline.orchestration.jobs.job_form import JobForm
from drip_pipeline.orchestration.jobs.version_jobs import (
    CompareForm,
    HistoryForm,
    RollbackForm,
    SnapshotForm,
)
from tests.engine.factories import a_workspace
from tests.engine.publishing.test_history import example, kinds, published, with_subject
from tests.orchestration.running import filled_in

NAME = "Win-back"


@pytest.fixture
def two_versions(engine_database: Database) -> Database:
    """A campaign whose second version has another subject."""
    with engine_database.transaction() as connection:
        a_workspace(connection)
    published(engine_database, example("winback"))
    published(engine_database, with_subject(example("winback"), "We have | missed *you*"))
    return engine_database


def run(instance: dg.DagsterInstance, job: str, form: JobForm) -> dg.ExecuteInProcessResult:
    run_config = filled_in(form)
    definition = build_definitions().resolve_job_def(job)
    return definition.execute_in_process(
        instance=instance, run_config=run_config, raise_on_error=False
    )


def metadata(result: dg.ExecuteInProcessResult, op: str) -> dict[str, Any]:
    assert result.success
    (made,) = [e for e in result.events_for_node(op) if e.event_type_value == "STEP_OUTPUT"]
    data: Any = made.event_specific_data
    return {name: value.value for name, value in data.metadata.items()}


def test_versions_are_compared_as_text_and_diagrams(two_versions, instance):
    done = run(
        instance, "compare_campaign_versions",
        CompareForm(campaign=NAME, before=1, after=2),
    )  # fmt: skip
    shown = metadata(done, "diff_versions")
    assert shown["summary"] == "1 text changed"
    assert "- subject changed" in shown["changes"]
    assert "have \\| missed \\*you\\*" in shown["changes"]
    assert shown["version 1"].startswith("![version 1](data:image/svg+xml;base64,")
    assert len(shown["version 1"]) < 30_000


def test_rollback_snapshot_and_list(two_versions, instance):
    back = RollbackForm(campaign=NAME, version=1, dry_run=False)
    done = metadata(
        run(instance, "roll_back_campaign", back),
        "publish_earlier_version",
    )
    assert (done["status"], done["version"]) == ("published", 3)
    kept = SnapshotForm(campaign=NAME, description="so far")
    made = run(instance, "snapshot_campaign", kept)
    assert metadata(made, "save_snapshot")["version"] == 4
    assert [kind for _, kind in kinds(two_versions, NAME)] == [
        "published", "published", "rollback", "draft",
    ]  # fmt: skip
    shown = run(instance, "list_campaign_versions", HistoryForm(campaign=NAME))
    assert "so far" in metadata(shown, "list_versions")["versions"]


def test_an_unknown_version_fails_with_a_sentence(two_versions, instance):
    done = run(
        instance, "roll_back_campaign",
        RollbackForm(campaign=NAME, version=9, dry_run=False),
    )  # fmt: skip
    (failed,) = [e for e in done.all_events if e.event_type_value == "STEP_FAILURE"]
    assert "no version '9 of campaign Win-back'" in str(failed.event_specific_data)
    assert history(two_versions, NAME).campaign.published_version == 2
