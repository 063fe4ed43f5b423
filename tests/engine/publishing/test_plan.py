"""Plans of campaign files: comparing a folder with the database, and applying the plan."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.compiler.api import complete, load_definition
from drip_pipeline.engine.enrollment.audience import Everybody
from drip_pipeline.engine.enrollment.enroll import enroll
from drip_pipeline.engine.publishing.export import export_file
from drip_pipeline.engine.publishing.plan import (
    AppliedPlan,
    PublishPlan,
    apply,
    plan,
    planned_versions,
    publish_all,
)
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import InFlightPolicy, PublishOptions
from drip_pipeline.errors import EnrollmentsStranded, FilesInvalid, ImportFileError, VersionOutdated
from drip_pipeline.settings import CHECKOUT, Settings
from tests.engine.factories import NOW, a_workspace, contacts, run_until_idle
from tests.strategies import valid_files

SETTINGS = Settings.from_env({})
EXAMPLES = ("onboarding", "subject_test", "winback")


@pytest.fixture(autouse=True)
def _a_workspace(database: Database) -> None:
    with database.transaction() as connection:
        a_workspace(connection)
        connection.execute(
            "INSERT INTO contacts (workspace_id, email, custom_fields) SELECT id, 'a@example.com', "
            '\'{"plan": "x", "city": "y", "visits": 1}\' FROM workspaces'
        )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the examples, one of them in a subfolder."""
    made = tmp_path / "campaigns"
    (made / "tests").mkdir(parents=True)
    for name in EXAMPLES:
        place = made / "tests" if name == "subject_test" else made
        shutil.copy(CHECKOUT / "examples" / f"{name}.yaml", place / f"{name}.yaml")
    (made / ".hidden.yaml").write_text("no: campaign", encoding="utf-8")
    (made / "README.md").write_text("how we work", encoding="utf-8")
    return made


def planned(database: Database, path: Path) -> PublishPlan:
    return plan(database, path, PublishOptions(now=NOW, settings=SETTINGS))


def applied(
    database: Database, found: PublishPlan, based_on: dict[str, int] | None = None, **more: Any
) -> AppliedPlan:
    options = PublishOptions(now=NOW, settings=SETTINGS, **more)
    return apply(database, found, options, based_on=based_on)


def steps(found: PublishPlan) -> dict[str, str]:
    return {file.label: file.action for file in found.files}


def edit(path: Path, **changes: Any) -> None:
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(told | changes, allow_unicode=True), encoding="utf-8")


def counts(database: Database) -> tuple[int, int]:
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM drip_campaigns), (SELECT count(*) FROM campaign_versions)"
        ).fetchone()
    assert row is not None
    return row[0], row[1]


def test_a_plan_reports_new_campaigns_and_writes_nothing(database, folder):
    found = planned(database, folder)
    assert steps(found) == {
        "onboarding.yaml": "create",
        "tests/subject_test.yaml": "create",
        "winback.yaml": "create",
    }
    assert (found.is_valid, found.is_empty, counts(database)) == (True, False, (0, 0))


def test_only_applying_creates_a_missing_workspace(database, folder):
    edit(folder / "winback.yaml", workspace="New")
    with database.transaction() as connection:
        name = connection.execute("SELECT name FROM workspaces").fetchone()[0]
    found = plan(database, folder, PublishOptions(now=NOW, settings=SETTINGS, workspace=name))
    assert found.is_valid
    count = "SELECT count(*) FROM workspaces"
    with database.transaction() as connection:
        assert connection.execute(count).fetchone() == (1,)
    assert applied(database, found, workspace=name).failed == {}
    with database.transaction() as connection:
        assert connection.execute(count).fetchone() == (2,)


def test_a_folder_with_stranded_states_is_not_published_in_part(database, folder):
    publish_all(database, folder, PublishOptions(now=NOW, settings=SETTINGS))
    with database.transaction() as connection:
        workspace_id = connection.execute("SELECT id FROM workspaces").fetchone()[0]
        contacts(connection, workspace_id, 5)
    enroll(database, "Win-back", Everybody(), now=NOW)
    run_until_idle(database, NOW)
    edit(folder / "onboarding.yaml", goal_target=9)
    text = (folder / "winback.yaml").read_text(encoding="utf-8")
    (folder / "winback.yaml").write_text(text.replace("reaction", "answer"), encoding="utf-8")
    in_flight = InFlightPolicy("migrate", {})
    options = PublishOptions(now=NOW, settings=SETTINGS, in_flight=in_flight)
    with pytest.raises(EnrollmentsStranded, match="no target node"):
        publish_all(database, folder, options)
    assert counts(database) == (3, 3)


def test_after_applying_the_plan_is_empty_and_repeating_changes_nothing(database, folder):
    done = applied(database, planned(database, folder))
    assert (len(done.published), done.failed) == (3, {})
    again = planned(database, folder)
    assert (again.is_empty, counts(database)) == (True, (3, 3))
    applied(database, again)
    assert counts(database) == (3, 3)


def test_a_plan_describes_the_differences(database, folder):
    applied(database, planned(database, folder))
    edit(folder / "winback.yaml", goal_target=9)
    found = planned(database, folder)
    (changed,) = [file for file in found.files if file.action != "unchanged"]
    assert (changed.label, changed.action, changed.version) == ("winback.yaml", "new_version", 1)
    assert [change.sentence for change in changed.diff.changes] == ["goal target: 5 → 9"]
    applied(database, found)
    assert planned(database, folder).is_empty


def test_campaigns_without_a_file_are_listed_and_unchanged(database, folder):
    applied(database, planned(database, folder))
    (folder / "winback.yaml").unlink()
    found = planned(database, folder)
    assert [row.name for row in found.not_in_folder] == ["Win-back"]
    assert found.is_empty
    applied(database, found)
    assert counts(database) == (3, 3)
    assert planned(database, folder / "onboarding.yaml").not_in_folder == []


def test_all_problems_of_all_files_are_reported_and_nothing_is_published(database, folder):
    edit(folder / "winback.yaml", goal_target=900, color="red")
    (folder / "broken.json").write_text("{", encoding="utf-8")
    (folder / "latin.yml").write_bytes(b"name: Gr\xfc\xdfe")
    shutil.copy(folder / "onboarding.yaml", folder / "copy.yaml")
    with pytest.raises(FilesInvalid) as caught:
        publish_all(database, folder, PublishOptions(now=NOW, settings=SETTINGS))
    assert caught.value.message.startswith("4 of 6 campaign files cannot be published")
    told = caught.value.items()
    for wanted in (
        "winback.yaml: unknown key color",
        "winback.yaml: goal_target",
        "broken.json: ",
        "latin.yml: is not UTF-8",
        "onboarding.yaml: copy.yaml is the campaign 'Onboarding' too",
    ):
        assert any(line.startswith(wanted) for line in told), (wanted, told)
    assert counts(database) == (0, 0)
    assert caught.value.details()["problems"][0]["file"] == "broken.json"


def test_a_valid_folder_is_published_as_a_whole(database, folder):
    done = publish_all(database, folder, PublishOptions(now=NOW, settings=SETTINGS))
    assert {label: report.status for label, report in done.items()} == dict.fromkeys(
        ("onboarding.yaml", "tests/subject_test.yaml", "winback.yaml"), "published"
    )
    again = publish_all(database, folder, PublishOptions(now=NOW, settings=SETTINGS))
    assert {report.status for report in again.values()} == {"unchanged"}


def test_applying_publishes_valid_files_and_reports_invalid_ones(database, folder):
    edit(folder / "winback.yaml", color="red")
    done = applied(database, planned(database, folder))
    assert set(done.published) == {"onboarding.yaml", "tests/subject_test.yaml"}
    assert [type(error) for error in done.failed.values()] == [FilesInvalid]
    assert counts(database) == (2, 2)


def test_a_version_published_since_the_plan_is_not_overwritten(database, folder):
    applied(database, planned(database, folder))
    edit(folder / "winback.yaml", goal_target=9)
    edit(folder / "onboarding.yaml", goal_target=9)
    kept = planned(database, folder)
    foreign = export_file(database, "Win-back").file | {"goal_target": 7}
    publish(database, foreign, PublishOptions(now=NOW, settings=SETTINGS))
    for done in (
        applied(database, kept),
        applied(database, planned(database, folder), based_on=planned_versions(kept.to_dict())),
    ):
        assert {label: type(error) for label, error in done.failed.items()} == {
            "winback.yaml": VersionOutdated
        }
    assert export_file(database, "Win-back").file["goal_target"] == 7
    assert export_file(database, "Onboarding").file["goal_target"] == 9


def test_a_folder_without_campaign_files_is_refused(database, tmp_path):
    with pytest.raises(ImportFileError, match="has no campaign file"):
        planned(database, tmp_path)


@settings(
    max_examples=4,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(valid_files(), min_size=1, max_size=3))
def test_applied_files_are_exported_unchanged_and_leave_an_empty_plan(
    database, tmp_path_factory, files
):
    folder = tmp_path_factory.mktemp("files")
    for n, file in enumerate(files):
        named = file | {"name": f"Campaign {n}"}
        (folder / f"{n}.yaml").write_text(yaml.safe_dump(named), encoding="utf-8")
    done = applied(database, planned(database, folder))
    assert done.failed == {}
    assert planned(database, folder).is_empty
    for n, file in enumerate(files):
        wanted = complete(load_definition(file | {"name": f"Campaign {n}"})).to_dict()
        assert export_file(database, f"Campaign {n}").file == wanted
