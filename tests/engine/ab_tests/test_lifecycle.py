"""Tests that start and end with the versions of a campaign."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from drip_pipeline.engine.ab_tests.judge import judge
from drip_pipeline.engine.ab_tests.results import SplitResults, campaign_results
from drip_pipeline.engine.enrollment.audience import Everybody
from drip_pipeline.engine.enrollment.enroll import enroll
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.errors import DripError
from drip_pipeline.settings import Settings
from tests.domain.campaign_files import File, ab_test, step
from tests.engine.factories import NOW, a_workspace, contacts, run_until_idle

SETTINGS = Settings.from_env({})


def published(database: Any, file: File) -> str:
    """Publish the file as the next version of its campaign, and return its name."""
    report = publish(database, copy.deepcopy(file), PublishOptions(now=NOW, settings=SETTINGS))
    return report.name


def with_people(database: Any, file: File, count: int = 40) -> str:
    with database.transaction() as connection:
        contacts(connection, a_workspace(connection), count)
    name = published(database, file)
    enroll(database, name, Everybody(), now=NOW)
    run_until_idle(database)
    return name


def reweighted(file: File, **weights: float) -> File:
    file = copy.deepcopy(file)
    for variant in file["ab_test_config"]["variants"]:
        variant["percentage"] = weights[variant["id"]]
    return file


def assigned(results: SplitResults) -> dict[str, int]:
    return {v.variant_group: v.assigned or 0 for v in results.current.variants}


@pytest.mark.parametrize("was_judged", [False, True])
def test_a_superseded_test_shows_its_final_counts(database, was_judged):
    name = with_people(database, ab_test())
    if was_judged:
        judge(database, now=NOW)
    (running,) = campaign_results(database, name, now=NOW)
    before = assigned(running)
    assert sum(before.values()) == 40
    published(database, reweighted(ab_test(), a=60, b=40))
    newest, superseded = campaign_results(database, name, now=NOW)
    assert (newest.state, superseded.state) == ("collecting", "superseded")
    assert assigned(superseded) == before
    assert assigned(newest) == {"a": 0, "b": 0}
    with database.transaction() as connection:
        # The results table has them too, for other applications, and when the log is archived.
        kept = connection.execute(
            "SELECT r.variant_group, r.total_assigned FROM campaign_ab_test_results r"
            " JOIN campaign_ab_tests t ON t.id = r.ab_test_id WHERE t.status = 'superseded'"
        ).fetchall()
        assert dict(kept) == before
        connection.execute("DELETE FROM campaign_split_assignments")
    assert assigned(campaign_results(database, name, now=NOW)[1]) == before


def test_results_before_the_first_evaluation_say_so(database):
    name = with_people(database, ab_test())
    (results,) = campaign_results(database, name, now=NOW)
    assert results.evaluated_at is None
    assert results.totals_note().startswith("This test has not been evaluated yet")
    judge(database, now=NOW)
    (results,) = campaign_results(database, name, now=NOW)
    assert results.totals_note() == ""


def test_a_variant_without_a_share_is_left_out_of_the_test(database):
    file = ab_test()
    step(file, "arms")["variants"] = [
        {"id": "a", "percentage": 50},
        {"id": "b", "percentage": 50},
        {"id": "out", "percentage": 0, "holdout": True},
    ]
    name = with_people(database, file)
    judge(database, now=NOW)
    (results,) = campaign_results(database, name, now=NOW)
    assert set(assigned(results)) == {"a", "b"}
    assert results.verdict.srm.reason is None
    # People are assigned by their random ids. By Ville's inequality an even assignment gives a
    # value below 1e-6 at most once in a million runs; a variant without a share that was counted
    # gives 0.
    assert results.verdict.srm.sequential_p is not None
    assert results.verdict.srm.sequential_p > 1e-6
    assert (results.state, results.verdict.leader) == ("collecting", None)


FORMS = [
    {"winner_metric": "clicks", "guardrails": {"bounces": True, "unsubscribe_rate": False}},
    {"attribution_window_hours": {"opens": 24, "click": 1.5}, "guardrails": False},
    {"profile": "recommended", "minimum_sample_size": 50, "confidence_threshold": 99},
    {"decision_method": "planned", "planned_sample_size": 500, "equivalence_margin": 2},
    {"minimum_lift": 99.9, "max_duration_hours": 1, "srm_alpha": 0.05, "auto_select_winner": False},
    {"assignment": {"from_field": "arm"}},
]


@pytest.mark.parametrize("form", FORMS)
def test_every_configuration_that_publishes_can_be_judged(database, form):
    file = ab_test()
    file["ab_test_config"] |= form
    with database.transaction() as connection:
        a_workspace(connection)
    published(database, file)
    report = judge(database, now=NOW)
    assert (report.faults, len(report.evaluated)) == ({}, 1)


@pytest.mark.parametrize("form", [{"minimum_lift": 100}, {"decision_method": "planned"}])
def test_a_configuration_that_cannot_be_judged_is_not_published(database, form):
    file = ab_test()
    file["ab_test_config"] |= form
    with database.transaction() as connection:
        a_workspace(connection)
    with pytest.raises(DripError):
        published(database, file)
    assert judge(database, now=NOW).evaluated == []
