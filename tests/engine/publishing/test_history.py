"""The version history: comparisons, snapshots, rollback and clones, also concurrently."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from drip_pipeline.db.connection import Database
from drip_pipeline.db.migrate import migrate
from drip_pipeline.domain.compiler.api import definition_hash, load_definition
from drip_pipeline.engine.ab_tests.judge import evaluate
from drip_pipeline.engine.campaigns.campaign import archive, find_campaign
from drip_pipeline.engine.enrollment.audience import Everybody
from drip_pipeline.engine.enrollment.enroll import enroll
from drip_pipeline.engine.publishing.adopt_legacy import adopt_legacy
from drip_pipeline.engine.publishing.clone import clone
from drip_pipeline.engine.publishing.export import export_file
from drip_pipeline.engine.publishing.history import compare_versions, history, rollback, snapshot
from drip_pipeline.engine.publishing.publish import PublishReport, publish
from drip_pipeline.engine.publishing.publish_options import InFlightPolicy, PublishOptions
from drip_pipeline.errors import (
    DripError,
    NotAllowed,
    UnpublishedEdit,
    VersionNotFound,
    VersionOutdated,
)
from drip_pipeline.settings import CHECKOUT, Settings
from tests.db.schema import existing_databases as found_databases
from tests.engine.factories import NOW, a_workspace, contacts, run_until_idle

SETTINGS = Settings.from_env({})
ROUNDS = int(os.environ.get("PUBLISH_ROUNDS", "6"))


def example(name: str) -> Any:
    path = Path(CHECKOUT / "examples" / f"{name}.yaml")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def with_subject(file: Any, subject: str) -> Any:
    """Return the file with another subject in its first email."""
    changed = copy.deepcopy(file)
    for step in changed["steps"]:
        if "email" in step.get("channel_config", {}):
            step["channel_config"]["email"]["subject"] = subject
            return changed
    raise AssertionError("no email")


def published(database: Database, file: Any, **more: Any) -> PublishReport:
    return publish(database, file, PublishOptions(now=NOW, settings=SETTINGS, **more))


def rolled_back(database: Database, campaign: str, version: int, **more: Any) -> PublishReport:
    return rollback(database, campaign, version, PublishOptions(now=NOW, settings=SETTINGS, **more))


def rows(database: Database, statement: str, *params: Any) -> list[tuple[Any, ...]]:
    with database.transaction() as connection:
        return connection.execute(statement, params).fetchall()


def kinds(database: Database, campaign: str) -> list[tuple[int, str]]:
    found = history(database, campaign).versions
    return [(row.version, row.change_type) for row in reversed(found)]


@pytest.fixture
def workspace(database: Database) -> Any:
    with database.transaction() as connection:
        return a_workspace(connection)


# --- rollback -------------------------------------------------------------------------------------


def test_a_rollback_to_version_1_after_3_is_a_version_4_equal_to_1(database, workspace):
    plain = example("onboarding") | {"name": "Newsletter"}
    test = example("subject_test") | {"name": "Newsletter"}
    with database.transaction() as connection:
        contacts(connection, workspace, 40)
    published(database, plain)
    assert published(database, test).version == 2
    enroll(database, "Newsletter", Everybody(), now=NOW)
    run_until_idle(database, NOW)
    campaign_id = history(database, "Newsletter").campaign.campaign_id
    evaluate(database, [campaign_id], now=NOW)
    published(database, with_subject(plain, "Third"))
    kept = "SELECT * FROM campaign_versions WHERE version <= 3 ORDER BY version"
    results = "SELECT * FROM campaign_ab_test_results ORDER BY variant_group"
    assignments = "SELECT * FROM campaign_split_assignments ORDER BY enrollment_id"
    before = [rows(database, statement) for statement in (kept, results, assignments)]
    assert [len(found) for found in before[1:]] == [2, 40]

    report = rolled_back(database, "Newsletter", 1)

    assert (report.status, report.version) == ("published", 4)
    assert compare_versions(database, "Newsletter", 1, 4).diff.is_empty
    assert not compare_versions(database, "Newsletter", 3, 4).diff.is_empty
    assert [rows(database, statement) for statement in (kept, results, assignments)] == before
    assert kinds(database, "Newsletter") == [
        (1, "published"), (2, "ab_test_started"), (3, "published"), (4, "rollback"),
    ]  # fmt: skip
    assert history(database, "Newsletter").campaign.published_version == 4
    inside = {row.version: row.in_flight for row in history(database, "Newsletter").versions}
    assert inside == {1: 0, 2: 40, 3: 0, 4: 0}


def test_a_rollback_can_migrate_states(database, workspace):
    with database.transaction() as connection:
        contacts(connection, workspace, 9)
    published(database, example("onboarding"))
    published(database, with_subject(example("onboarding"), "Second"))
    enroll(database, "Onboarding", Everybody(), now=NOW)
    run_until_idle(database, NOW)
    rolled_back(database, "Onboarding", 1, in_flight=InFlightPolicy("migrate", {}), dry_run=True)
    inside = {row.version: row.in_flight for row in history(database, "Onboarding").versions}
    assert inside == {1: 0, 2: 9}
    rolled_back(database, "Onboarding", 1, in_flight=InFlightPolicy("migrate", {}))
    inside = {row.version: row.in_flight for row in history(database, "Onboarding").versions}
    assert inside == {1: 0, 2: 0, 3: 9}


def test_a_draft_overwritten_by_a_rollback_is_kept_in_the_history(database, workspace):
    for subject in ("One", "Two"):
        published(database, with_subject(example("winback"), subject))
    with database.transaction() as connection:
        connection.execute("UPDATE drip_campaigns SET goal_target = 77")
    with pytest.raises(UnpublishedEdit):
        rolled_back(database, "Win-back", 1)
    assert rolled_back(database, "Win-back", 1, overwrites_draft=True).version == 4
    told = compare_versions(database, "Win-back", 3, 4).diff.changes
    assert "goal target: 77 → 5" in [change.sentence for change in told]
    assert compare_versions(database, "Win-back", 1, 4).diff.is_empty


def test_versions_of_an_existing_database_are_compared(empty_database):
    with empty_database.transaction() as connection:
        found_databases.specification_database(connection)
    migrate(empty_database)
    name = "Which subject?"
    versions = [row.version for row in history(empty_database, name).versions]
    assert versions[-2:] == [2, 1]
    assert compare_versions(empty_database, name, 1, 2).diff.is_empty
    adopt_legacy(empty_database, PublishOptions(now=NOW, settings=SETTINGS))
    newest = history(empty_database, name).versions[0].version
    kinds_told = {c.kind for c in compare_versions(empty_database, name, 1, newest).diff.changes}
    assert "step_added" in kinds_told
    with pytest.raises(DripError):
        rolled_back(empty_database, name, 1)


def test_a_rollback_to_the_published_version_changes_nothing(database, workspace):
    published(database, example("winback"))
    assert rolled_back(database, "Win-back", 1).status == "unchanged"
    assert kinds(database, "Win-back") == [(1, "published")]


def test_a_rollback_has_a_dry_run(database, workspace):
    published(database, example("winback"))
    published(database, with_subject(example("winback"), "Second"))
    report = rolled_back(database, "Win-back", 1, dry_run=True)
    assert (report.status, report.version) == ("dry_run", 3)
    assert kinds(database, "Win-back") == [(1, "published"), (2, "published")]


def test_a_rollback_based_on_an_outdated_version_is_refused(database, workspace):
    for subject in ("One", "Two", "Three"):
        published(database, with_subject(example("winback"), subject))
    with pytest.raises(VersionOutdated, match="is now at version 3"):
        rolled_back(database, "Win-back", 1, based_on=2)


def test_an_archived_campaign_cannot_be_rolled_back(database, workspace):
    published(database, example("winback"))
    archive(database, "Win-back", now=NOW)
    with pytest.raises(NotAllowed, match="archived"):
        rolled_back(database, "Win-back", 1)


def test_a_rollback_to_the_name_of_another_campaign_is_refused(database, workspace):
    first = published(database, example("winback"))
    published(database, example("winback") | {"name": "Renamed"}, campaign_id=first.campaign_id)
    published(database, example("winback"))
    with pytest.raises(NotAllowed, match="now the name of another campaign"):
        rolled_back(database, "Renamed", 1)


def test_an_unknown_version_is_named(database, workspace):
    published(database, example("winback"))
    with pytest.raises(VersionNotFound, match="7"):
        rolled_back(database, "Win-back", 7)
    with pytest.raises(VersionNotFound, match="8"):
        compare_versions(database, "Win-back", 1, 8)


# --- snapshots and comparisons --------------------------------------------------------------------


def test_a_snapshot_does_not_change_the_published_version(database, workspace):
    published(database, example("winback"))
    with database.transaction() as connection:
        connection.execute(
            'UPDATE campaign_steps SET wait_config = \'{"type": "duration", "value": 9, '
            '"unit": "days"}\' WHERE node_id = \'days_to_answer\''
        )
    made = snapshot(database, "Win-back", now=NOW, description="before autumn")
    assert made.version == 2
    newest = history(database, "Win-back").versions[0]
    assert (newest.change_type, newest.change_description) == ("draft", "before autumn")
    assert (newest.is_published, newest.is_current) == (False, False)
    assert history(database, "Win-back").campaign.published_version == 1
    told = [c.sentence for c in compare_versions(database, "Win-back", 1, 2).diff.changes]
    assert told == ["wait 5 days → 9 days"]


def test_a_version_is_compared_with_a_file(database, workspace):
    published(database, example("winback"))
    text = yaml.safe_dump(with_subject(example("winback"), "Other"), allow_unicode=True)
    found = compare_versions(database, "Win-back", 1, text, file_name="winback.yaml")
    assert [change.kind for change in found.diff.changes] == ["text"]
    assert (found.before_label, found.after_label) == ("version 1", "winback.yaml")


def test_an_earlier_version_is_exported_as_it_was(database, workspace):
    published(database, with_subject(example("winback"), "Old"))
    published(database, with_subject(example("winback"), "New"))
    wanted = definition_hash(load_definition(with_subject(example("winback"), "Old")))
    assert definition_hash(load_definition(export_file(database, "Win-back", 1).file)) == wanted


def test_the_start_and_the_end_of_tests_are_in_the_history(database, workspace):
    published(database, example("subject_test"))
    published(database, with_subject(example("subject_test"), "The test goes on"))
    archive(database, "Newsletter subjects", now=NOW)
    assert kinds(database, "Newsletter subjects") == [
        (1, "ab_test_started"), (2, "published"), (3, "archived"),
    ]  # fmt: skip


# --- cloning --------------------------------------------------------------------------------------


def cloned(database: Database, campaign: str, name: str, **more: Any) -> Any:
    return clone(database, campaign, name, PublishOptions(now=NOW, settings=SETTINGS), **more)


def test_a_clone_has_the_steps_and_no_enrollments(database, workspace):
    with database.transaction() as connection:
        contacts(connection, workspace, 3)
    published(database, example("subject_test"))
    enroll(database, "Newsletter subjects", Everybody(), now=NOW)
    made = cloned(database, "Newsletter subjects", "Second try", is_published=True)
    assert (made.status, made.version, made.of_version) == ("active", 1, 1)
    found = history(database, "Second try")
    assert [(row.relation, row.name) for row in found.lineage] == [
        ("parent", "Newsletter subjects")
    ]
    assert sum(row.in_flight for row in found.versions) == 0
    parent = history(database, "Newsletter subjects")
    assert [(row.relation, row.name) for row in parent.lineage] == [("clone", "Second try")]
    exported = export_file(database, "Second try").file | {"name": "Newsletter subjects"}
    assert exported == export_file(database, "Newsletter subjects").file


def test_a_draft_clone_of_an_old_version_is_published_as_a_file(database, workspace):
    published(database, with_subject(example("winback"), "Old"))
    published(database, with_subject(example("winback"), "New"))
    made = cloned(database, "Win-back", "Copy", version=1)
    assert (made.status, made.version) == ("draft", None)
    assert kinds(database, "Copy") == [(1, "draft")]
    report = published(database, export_file(database, "Copy").file)
    assert (report.campaign_id, report.version) == (made.campaign_id, 2)
    with database.transaction() as connection:
        assert find_campaign(connection, "Copy").status == "active"


def test_a_clone_needs_an_unused_name(database, workspace):
    published(database, example("winback"))
    with pytest.raises(NotAllowed, match="already"):
        cloned(database, "Win-back", "Win-back")


# --- concurrency ----------------------------------------------------------------------------------


def at_once(*acts: Any) -> list[Any]:
    """Run the functions at the same time; return the result or the error of each."""
    answers: list[Any] = [None] * len(acts)
    gate = threading.Barrier(len(acts))

    def run(place: int) -> None:
        gate.wait(10)
        try:
            answers[place] = acts[place]()
        except DripError as error:
            answers[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers


def test_concurrent_publications_get_consecutive_numbers(database, workspace):
    base = example("onboarding")
    published(database, base)
    for n in range(ROUNDS):
        found = at_once(
            lambda n=n: published(database, with_subject(base, f"left {n}")),
            lambda n=n: published(database, with_subject(base, f"right {n}")),
        )
        assert sorted(report.version for report in found) == [2 * n + 2, 2 * n + 3]
    numbers = [row.version for row in history(database, "Onboarding").versions]
    assert numbers == list(range(2 * ROUNDS + 1, 0, -1))
    subjects = rows(database, "SELECT count(DISTINCT definition_hash) FROM campaign_versions")
    assert subjects == [(2 * ROUNDS + 1,)]


def test_of_two_edits_of_one_version_one_is_refused(database, workspace):
    base = example("onboarding")
    version = published(database, base).version
    for n in range(ROUNDS):
        found = at_once(
            lambda n=n, v=version: published(database, with_subject(base, f"a{n}"), based_on=v),
            lambda n=n, v=version: published(database, with_subject(base, f"b{n}"), based_on=v),
        )
        (won,) = [one for one in found if isinstance(one, PublishReport)]
        (lost,) = [one for one in found if isinstance(one, VersionOutdated)]
        assert (won.version, lost.published) == (version + 1, won.version)
        assert f"--based-on {won.version}" in lost.hint
        version = won.version
    assert len(history(database, "Onboarding").versions) == ROUNDS + 1


def test_two_processes_that_retry_their_edits_lose_none(database, workspace):
    published(database, example("onboarding"))
    editors = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.engine.publishing.editor_process",
                database.url,
                name,
                str(ROUNDS),
            ],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("ann", "bob")
    ]
    refused = [int(editor.communicate(timeout=110)[0]) for editor in editors]
    assert [editor.returncode for editor in editors] == [0, 0]
    tags = set(export_file(database, "Onboarding").file["tags"])
    assert {f"{name}-{n}" for name in ("ann", "bob") for n in range(ROUNDS)} <= tags
    numbers = [row.version for row in history(database, "Onboarding").versions]
    assert numbers == list(range(2 * ROUNDS + 1, 0, -1)), refused


def test_concurrent_creations_of_a_campaign_create_one(database, workspace):
    for n in range(max(2, ROUNDS // 4)):
        file = example("onboarding") | {"name": f"New {n}"}
        found = at_once(
            lambda file=file: published(database, file, based_on=0),
            lambda file=file: published(database, with_subject(file, "other"), based_on=0),
        )
        assert sorted(type(one).__name__ for one in found) == ["PublishReport", "VersionOutdated"]
    assert rows(database, "SELECT count(*), count(DISTINCT name) FROM drip_campaigns") == [
        (max(2, ROUNDS // 4),) * 2
    ]


def test_concurrent_publication_rollback_and_snapshot_get_different_numbers(database, workspace):
    base = example("onboarding")
    published(database, base)
    published(database, with_subject(base, "second"))
    for n in range(max(2, ROUNDS // 4)):
        found = at_once(
            lambda n=n: published(database, with_subject(base, f"new {n}")),
            lambda: rolled_back(database, "Onboarding", 1),
            lambda: snapshot(database, "Onboarding", now=NOW),
        )
        assert not [one for one in found if isinstance(one, DripError)]
    numbers = sorted(row.version for row in history(database, "Onboarding").versions)
    assert numbers == list(range(1, len(numbers) + 1))
