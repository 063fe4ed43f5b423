"""Evaluation in the database: what is stored, when nothing is written, and which decisions are
recorded.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from drip_pipeline.db.ab_tests import evaluations as ab_tests_db
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.ab_tests.declare import clear_sample_ratio
from drip_pipeline.engine.ab_tests.judge import evaluate, judge
from drip_pipeline.errors import NotAllowed
from tests.engine.ab_tests.split_contacts import (
    LATER,
    SplitTest,
    a_split_test,
    only,
    people,
    results_by_variant,
    results_now,
    step_of,
)
from tests.engine.factories import NOW, rows_of


def a_clear_difference(database: Database, **config: Any) -> SplitTest:
    """Create a test in which b is opened far more often than a."""
    with database.transaction() as connection:
        test = a_split_test(connection, **config)
        people(connection, test, "a", 1_000, opened=200)
        people(connection, test, "b", 1_000, opened=300)
    return test


# --- keeping --------------------------------------------------------------------------------------


def test_evaluating_again_writes_nothing_until_something_changes(database):
    with database.transaction() as connection:
        test = a_split_test(connection)
        people(connection, test, "a", 200, opened=50)
        people(connection, test, "b", 200, opened=51)
    first = judge(database, now=LATER, run_id="run-1")
    assert (first.counted, first.evaluations) == (1, 1)
    with database.transaction() as connection:
        before = [rows_of(connection, table) for table in EVIDENCE]
    again = judge(database, now=LATER + timedelta(minutes=1), run_id="run-2")
    assert (again.counted, again.evaluations) == (0, 0)
    assert only(again).evaluation_id == only(first).evaluation_id
    with database.transaction() as connection:
        assert [rows_of(connection, table) for table in EVIDENCE] == before
        people(connection, test, "b", 1)
    third = judge(database, now=LATER + timedelta(minutes=2), run_id="run-3")
    assert (third.counted, third.evaluations) == (1, 1)
    with database.transaction() as connection:
        kept = connection.execute(
            "SELECT run_id, counts -> 1 ->> 'total_sent', state, reason, engine_version, "
            "config_hash FROM campaign_ab_evaluations ORDER BY ordinal"
        ).fetchall()
    assert [row[:4] for row in kept] == [
        ("run-1", "200", "collecting", "not_significant"),
        ("run-3", "201", "collecting", "not_significant"),
    ]
    assert len({row[5] for row in kept}) == 1


EVIDENCE = ("campaign_ab_test_results", "campaign_ab_evaluations", "campaign_ab_tests")


def test_only_tests_with_changed_contacts_are_counted_again(database):
    with database.transaction() as connection:
        tests = [a_split_test(connection, name=f"Campaign {n}") for n in range(3)]
        for test in tests:
            people(connection, test, "a", 10)
            people(connection, test, "b", 10)
    assert evaluate(database, now=LATER).counted == 3
    assert evaluate(database, now=LATER).counted == 0
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_message_outcomes SET first_opened_at = %s WHERE campaign_id = %s",
            [LATER, tests[1].campaign.campaign_id],
        )
    report = evaluate(database, now=LATER)
    assert report.counted == 1
    assert [j.experiment.test_id for j in report.evaluated if j.is_new] == [tests[1].test_id]


def test_the_overview_counts_the_tests_to_evaluate(database):
    def seen() -> dict[str, int]:
        with database.transaction() as connection:
            return ab_tests_db.overview(connection)._asdict()

    nothing = {"changed": 0, "running": 0, "moved_by_time": 0, "uncounted": 0}
    assert seen() == nothing
    with database.transaction() as connection:
        test = a_split_test(connection, minimum_runtime_hours=1)
    assert seen() == nothing | {"running": 1, "moved_by_time": 1, "uncounted": 1}
    evaluate(database, now=NOW)
    assert seen() == nothing | {"running": 1, "moved_by_time": 1}
    with database.transaction() as connection:
        people(connection, test, "a", 1_000, opened=200)
        people(connection, test, "b", 1_000, opened=300)
    assert seen()["changed"] == 1
    evaluate(database, now=NOW + timedelta(minutes=1))
    assert seen()["changed"] == 0
    # A decision that was found and not taken, since the process ended there.
    evaluate(database, now=LATER)
    assert seen()["changed"] == 1
    judge(database, now=LATER)
    assert seen() == nothing


def test_one_campaign_can_be_evaluated_alone(database):
    with database.transaction() as connection:
        mine = a_split_test(connection, name="Mine")
        other = a_split_test(connection, name="Other")
        for test in (mine, other):
            people(connection, test, "a", 10)
    report = judge(database, [mine.campaign.campaign_id], now=LATER)
    assert [j.experiment.test_id for j in report.evaluated] == [mine.test_id]
    with database.transaction() as connection:
        assert results_by_variant(connection, other) == {}
    # What changed in the other is not forgotten.
    assert judge(database, now=LATER).counted == 1


def test_an_invalid_configuration_does_not_affect_other_tests(database):
    with database.transaction() as connection:
        broken = a_split_test(connection, name="Broken", confidence_threshold=400)
        fine = a_split_test(connection, name="Fine")
    report = judge(database, now=LATER)
    assert [j.experiment.test_id for j in report.evaluated] == [fine.test_id]
    assert set(report.faults) == {broken.test_id}
    assert "confidence_threshold" in report.faults[broken.test_id]


def test_degenerate_tests_have_a_reason_and_no_statistics(database):
    with database.transaction() as connection:
        test = a_split_test(connection)
        people(connection, test, "a", 1)
    judged = only(judge(database, now=LATER))
    assert (judged.verdict.state, judged.verdict.reason) == ("collecting", "empty_variant")
    with database.transaction() as connection:
        found = results_by_variant(connection, test)
    assert (found["a"]["p_value"], found["a"]["confidence_level"]) == (None, 0)
    assert (found["b"]["total_sent"], found["b"]["open_rate"]) == (0, None)
    assert found["a"]["variant_step_id"] == step_of(test.campaign, "mail_a")


def test_the_order_of_variants_does_not_matter(database):
    with database.transaction() as connection:
        forth = a_split_test(connection, {"a": 50, "b": 50}, name="Forth")
        back = a_split_test(connection, {"b": 50, "a": 50}, name="Back")
        for test in (forth, back):
            people(connection, test, "a", 500, opened=100)
            people(connection, test, "b", 500, opened=110)
    evaluate(database, now=LATER)
    compared = ("p_value", "confidence_level", "is_statistically_significant", "open_rate")
    with database.transaction() as connection:
        one, other = (results_by_variant(connection, test) for test in (forth, back))
    for variant in "ab":
        for name in compared:
            assert one[variant][name] == other[variant][name]


def test_time_alone_can_meet_a_requirement(database):
    test = a_clear_difference(database, minimum_runtime_hours=24)
    early = judge(database, now=LATER)
    assert only(early).verdict.reason == "runtime_too_short"
    assert early.decisions == []
    late = judge(database, now=NOW + timedelta(hours=25))
    assert late.counted == 0
    assert [d.winner_variant for d in late.decisions] == ["b"]
    assert late.decisions[0].test_id == test.test_id


def test_a_sample_ratio_mismatch_blocks_until_it_is_cleared(database):
    with database.transaction() as connection:
        test = a_split_test(connection)
        people(connection, test, "a", 1_000, opened=200)
        people(connection, test, "b", 1_300, opened=450)
    assert only(judge(database, now=LATER)).verdict.state == "srm_blocked"
    assert judge(database, now=LATER).evaluations == 0
    with database.transaction() as connection:
        people(connection, test, "a", 300, opened=60)  # the proportions are right again
    report = judge(database, now=LATER)
    assert only(report).verdict.state == "srm_blocked"
    campaign = test.campaign.campaign_id
    clear_sample_ratio(
        database, campaign, reason="an import came twice", cleared_by="Ada", now=LATER
    )
    report = judge(database, now=LATER)
    assert [d.winner_variant for d in report.decisions] == ["b"]
    with pytest.raises(NotAllowed, match="no running test"):
        clear_sample_ratio(database, campaign, reason="again", cleared_by="Ada", now=LATER)


# --- deciding -------------------------------------------------------------------------------------


def test_after_a_crash_the_next_evaluation_records_the_decision(database):
    test = a_clear_difference(database)
    evaluated = only(evaluate(database, now=LATER))  # and here the process ends
    assert evaluated.verdict.state == "decided_winner"
    with database.transaction() as connection:
        row = connection.execute("SELECT status, state, winner_variant FROM campaign_ab_tests")
        assert row.fetchone() == ("running", "collecting", None)
        assert not any(r["is_winner"] for r in results_by_variant(connection, test).values())
    (decision,) = judge(database, now=LATER + timedelta(minutes=1)).decisions
    assert (decision.winner_variant, decision.evaluation_id) == ("b", evaluated.evaluation_id)
    with database.transaction() as connection:
        assert len(rows_of(connection, "campaign_ab_evaluations")) == 1


def test_after_a_decision_totals_change_and_the_deciding_columns_do_not(database):
    test = a_clear_difference(database)
    judge(database, now=LATER)
    with database.transaction() as connection:
        before = results_by_variant(connection, test)
        connection.execute(
            "UPDATE campaign_message_outcomes SET first_opened_at = %s WHERE variant_group = 'a'",
            [LATER],
        )
    report = judge(database, now=LATER + timedelta(hours=1))
    assert (report.evaluated, report.decisions, report.counted) == ([], [], 1)
    with database.transaction() as connection:
        after = results_by_variant(connection, test)
        assert len(rows_of(connection, "campaign_ab_evaluations")) == 1
    assert (before["a"]["total_opened"], after["a"]["total_opened"]) == (200, 1_000)
    assert after["a"]["open_rate"] == 100
    for frozen in (
        "p_value", "confidence_level", "is_statistically_significant", "is_winner",
        "cohort_contacts", "cohort_successes", "winner_declared_at", "test_ended_at",
    ):  # fmt: skip
        assert {v: after[v][frozen] for v in after} == {v: before[v][frozen] for v in before}
    shown = results_now(database, test, LATER + timedelta(hours=1))
    assert (shown["state"], shown["winner"]) == ("decided_winner", "b")
    assert [v["total_opened"] for v in shown["variants"]] == [1_000, 300]
    assert [v["is_winner"] for v in shown["variants"]] == [False, True]
    assert shown["decision"]["decided_by"] == "engine"
    assert "30.00 %" in shown["explanation"]


def test_without_auto_select_a_winner_needs_confirmation(database):
    a_clear_difference(database, auto_select_winner=False)
    report = judge(database, now=LATER)
    assert (only(report).verdict.state, report.decisions) == ("significant", [])
    with database.transaction() as connection:
        state = connection.execute("SELECT status, state FROM campaign_ab_tests").fetchone()
    assert state == ("running", "significant")


def test_a_test_that_runs_out_of_time_ends_without_a_winner(database):
    with database.transaction() as connection:
        test = a_split_test(connection, max_duration_hours=48)
        people(connection, test, "a", 500, opened=100)
        people(connection, test, "b", 500, opened=101)
    assert judge(database, now=LATER).decisions == []
    (decision,) = judge(database, now=NOW + timedelta(hours=49)).decisions
    assert (decision.outcome, decision.reason) == ("decided_no_winner", "inconclusive")
    assert decision.winner_variant is None
    with database.transaction() as connection:
        found = results_by_variant(connection, test)
        ended = connection.execute(
            "SELECT ab_test_winner_id, ab_test_completed_at IS NOT NULL FROM drip_campaigns"
        ).fetchone()
    assert not any(row["is_winner"] for row in found.values())
    assert ended == (None, True)


def test_concurrent_evaluations_store_one_evaluation_and_one_decision(database):
    a_clear_difference(database)
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: judge(database, now=LATER), range(4)))
    assert sum(report.evaluations for report in reports) == 1
    assert sum(len(report.decisions) for report in reports) == 1
    with database.transaction() as connection:
        assert len(rows_of(connection, "campaign_ab_evaluations")) == 1
        assert len(rows_of(connection, "campaign_ab_decisions")) == 1
