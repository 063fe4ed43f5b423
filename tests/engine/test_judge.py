"""Judging in the database: what is counted, what is kept, and when nothing is written."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from drip_pipeline.db.connection import Connection, Database, jsonb
from drip_pipeline.domain.graph import CampaignGraph
from drip_pipeline.engine.ab_counts import inner_nodes
from drip_pipeline.engine.ab_results import campaign_results
from drip_pipeline.engine.ab_results_json import as_json
from drip_pipeline.engine.declare import clear_sample_ratio
from drip_pipeline.engine.judge import JudgeReport, evaluate, judge
from drip_pipeline.errors import NotAllowed
from drip_pipeline.experiments.weigh import rates_of
from tests.engine.factories import NOW, rows_of
from tests.engine.graphs import email, end, graph, split, trigger
from tests.engine.split_people import SplitTest, a_split_test, people, step_of

LATER = NOW + timedelta(hours=1)


def a_clear_difference(database: Database, **config: Any) -> SplitTest:
    """A test in which b is opened far more often than a."""
    with database.transaction() as connection:
        test = a_split_test(connection, **config)
        people(connection, test, "a", 1_000, opened=200)
        people(connection, test, "b", 1_000, opened=300)
    return test


def results_by_variant(connection: Connection, test: SplitTest) -> dict[str, dict[str, Any]]:
    found = connection.execute(
        "SELECT to_jsonb(r) FROM campaign_ab_test_results r WHERE r.ab_test_id = %s",
        [test.test_id],
    ).fetchall()
    return {row[0]["variant_group"]: row[0] for row in found}


def results_now(database: Database, test: SplitTest, now: Any = LATER) -> dict[str, Any]:
    return as_json(campaign_results(database, test.campaign.campaign_id, now=now))


def only(report: JudgeReport) -> Any:
    (judged,) = report.judged
    return judged


# --- counting -------------------------------------------------------------------------------------


def test_the_counts_of_a_known_test_give_its_known_figures_by_each_method(database):
    with database.transaction() as connection:
        test = a_split_test(
            connection,
            {"mens": 33.34, "womens": 33.33, "holdout": 33.33},
            winner_metric="conversion_rate",
        )
        people(connection, test, "mens", 21_307, converted=267)
        people(connection, test, "womens", 21_387, converted=189)
        people(connection, test, "holdout", 21_306, converted=122)
    plan = {"planned_sample_size": 21_000}
    for method in (
        {},
        {"decision_method": "planned"} | plan,
        {"decision_method": "fixed_horizon"} | plan,
    ):
        with database.transaction() as connection:
            connection.execute("UPDATE campaign_ab_tests SET config = config || %s", [method])
        found = results_now(database, test)
        mens, womens, holdout = found["variants"]
        assert (mens["total_converted"], mens["total_sent"]) == (267, 21_307)
        assert (womens["total_converted"], womens["total_sent"]) == (189, 21_387)
        assert (holdout["total_converted"], holdout["total_assigned"]) == (122, 21_306)
        assert (holdout["total_sent"], holdout["is_holdout"]) == (0, True)
        (pair,) = found["pairs"]
        assert {pair["a"], pair["b"]} == {"mens", "womens"}
        assert round(pair["chi2_p"], 4) == 0.0002
        assert round(float(mens["p_value"]), 4) == 0.0002
        assert (found["state"], found["winner"]) == ("decided_winner", "mens")
        assert [v["is_winner"] for v in found["variants"]] == [True, False, False]
        assert (found["holdout"]["total_converted"], found["holdout"]["total_assigned"]) == (
            122,
            21_306,
        )
        lifts = {lift["variant_group"]: lift for lift in found["holdout"]["lifts"]}
        assert set(lifts) == {"mens", "womens"}
        assert lifts["mens"]["difference"] == pytest.approx(0.6805, abs=1e-4)
        low, high = lifts["mens"]["interval"]
        assert 0.3 < low < 0.6805 < high < 1
    # Looking decides nothing and keeps nothing.
    with database.transaction() as connection:
        assert rows_of(connection, "campaign_ab_evaluations") == []
        assert rows_of(connection, "campaign_ab_test_results") == []


def test_a_person_counts_once_however_many_messages_and_runs(database):
    with database.transaction() as connection:
        test = a_split_test(connection)
        people(connection, test, "a", 3, opened=1)
        people(connection, test, "b", 2)
        # Each of them gets a second mail of the variant, and opens it; one comes a second time.
        connection.execute(
            "INSERT INTO campaign_message_outcomes (message_id, workspace_id, campaign_id, "
            "campaign_version, enrollment_id, contact_id, node_id, channel, split_node_id, "
            "variant_group, sent_at, first_opened_at) SELECT gen_random_uuid(), workspace_id, "
            "campaign_id, 1, enrollment_id, contact_id, 'second', 'email', 's', variant_group, "
            "sent_at + interval '1 day', sent_at + interval '2 days' FROM campaign_message_outcomes"
        )
        again_enters(connection, test)
    evaluate(database, now=NOW + timedelta(days=3))
    with database.transaction() as connection:
        found = results_by_variant(connection, test)
    assert {name: row["total_assigned"] for name, row in found.items()} == {"a": 3, "b": 2}
    assert {name: row["total_sent"] for name, row in found.items()} == {"a": 3, "b": 2}
    assert {name: row["total_opened"] for name, row in found.items()} == {"a": 3, "b": 2}


def again_enters(connection: Connection, test: SplitTest) -> None:
    """The first person of variant a enters a second time, under another key."""
    connection.execute("SET LOCAL session_replication_role = replica")
    connection.execute(
        "WITH once AS ("
        "SELECT * FROM campaign_split_assignments WHERE variant_group = 'a' LIMIT 1), "
        "twice AS (INSERT INTO campaign_enrollments (campaign_id, contact_id, contact_email, "
        "workspace_id, entry_key, started_at) SELECT campaign_id, contact_id, 'x@example.com', "
        "workspace_id, 'second', assigned_at FROM once RETURNING id) "
        "INSERT INTO campaign_split_assignments (enrollment_id, split_node_id, workspace_id, "
        "campaign_id, campaign_version, ab_test_id, contact_id, variant_group, assigned_at) "
        "SELECT twice.id, 's', workspace_id, campaign_id, 1, ab_test_id, contact_id, "
        "variant_group, assigned_at FROM once, twice"
    )
    connection.execute("SET LOCAL session_replication_role = origin")


def test_conversions_count_among_the_sent_and_for_the_held_out_among_the_assigned(database):
    with database.transaction() as connection:
        test = a_split_test(connection, {"a": 40, "b": 40, "holdout": 20})
        people(connection, test, "a", 10, sent=4, converted=6)
        people(connection, test, "b", 10)
        people(connection, test, "holdout", 5, converted=2)
    evaluate(database, now=LATER)
    with database.transaction() as connection:
        found = results_by_variant(connection, test)
    assert (found["a"]["total_assigned"], found["a"]["total_sent"]) == (10, 4)
    assert found["a"]["total_converted"] == 4
    assert found["a"]["conversion_rate"] == 100
    assert (found["holdout"]["total_sent"], found["holdout"]["total_converted"]) == (0, 2)
    assert found["holdout"]["conversion_rate"] == 40
    assert found["holdout"]["delivery_rate"] is None


def test_people_whom_a_decision_routed_are_no_part_of_the_comparison(database):
    with database.transaction() as connection:
        test = a_split_test(connection)
        people(connection, test, "a", 10, opened=5)
        people(connection, test, "a", 90, opened=90, is_randomised=False)
        people(connection, test, "b", 10, opened=5)
    evaluate(database, now=LATER)
    with database.transaction() as connection:
        found = results_by_variant(connection, test)
    assert found["a"]["total_assigned"] == 10
    assert found["a"]["total_opened"] == 5


def test_machine_opens_are_shown_and_do_not_decide(database):
    with database.transaction() as connection:
        test = a_split_test(connection)
        people(connection, test, "a", 1_000, opened=300)
        people(connection, test, "b", 1_000, opened=300, machine_opened=900, machine_clicked=400)
    judged = only(judge(database, now=LATER))
    assert judged.verdict.leader is None  # a tie
    with database.transaction() as connection:
        found = results_by_variant(connection, test)
    assert found["b"]["total_opened"] == 300
    assert found["b"]["total_machine_opened"] == 900
    assert found["b"]["total_machine_clicked"] == 400
    assert found["b"]["open_rate"] == 30


def test_only_people_past_the_attribution_window_decide_with_what_they_did_inside_it(database):
    window: Any = {"attribution_window_hours": {"open_rate": 24}}
    with database.transaction() as connection:
        test = a_split_test(connection, **window)
        people(connection, test, "a", 100, opened=30)
        people(connection, test, "a", 50, opened=50, at=NOW + timedelta(hours=20))
        people(connection, test, "a", 10, opened=10, reacts_after=timedelta(hours=30))
        people(connection, test, "b", 100, opened=20)
    judged = only(evaluate(database, now=NOW + timedelta(hours=40)))
    a = judged.test.variants[0]
    assert (a.total_sent, a.total_opened) == (160, 90)
    assert (a.cohort.contacts, a.cohort.successes) == (110, 30)
    # Nothing new happened, yet the window of the later 50 ends: time alone counts them in.
    later = only(evaluate(database, now=NOW + timedelta(hours=44)))
    cohort = later.test.variants[0].cohort
    assert (cohort.contacts, cohort.successes) == (160, 80)
    assert later.is_new


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("metric", ["reply_rate", "engagement_score"])
def test_counts_and_rates_agree_with_a_count_by_hand(database, seed, metric):
    random = Random(seed)
    windows: Any = {} if seed % 2 else {"attribution_window_hours": {metric: 6}}
    columns = ("first_opened_at", "first_clicked_at", "first_replied_at")
    now = NOW + timedelta(hours=random.randint(1, 12))
    with database.transaction() as connection:
        test = a_split_test(
            connection, {"a": 50, "b": 30, "c": 20}, winner_metric=metric, **windows
        )
        for variant in "abc":
            people(connection, test, variant, random.randint(1, 40))
        drawn: dict[Any, Any] = {}
        found = connection.execute("SELECT message_id FROM campaign_message_outcomes").fetchall()
        for (message_id,) in found:
            sent_at = NOW + timedelta(minutes=random.randint(0, 600))
            happened = [
                sent_at + timedelta(minutes=random.randint(0, 600))
                if random.random() < 0.4
                else None
                for _ in columns
            ]
            drawn[message_id] = (sent_at, *happened)
            connection.execute(
                "UPDATE campaign_message_outcomes SET sent_at = %s, first_opened_at = %s, "
                "first_clicked_at = %s, first_replied_at = %s WHERE message_id = %s",
                [*drawn[message_id], message_id],
            )
        variant_of = dict(
            connection.execute("SELECT message_id, variant_group FROM campaign_message_outcomes")
        )
    judged = only(evaluate(database, now=now))
    window = timedelta(hours=6) if windows else None
    with database.transaction() as connection:
        rows = results_by_variant(connection, test)
    for counted in judged.test.variants:
        mine = [times for m, times in drawn.items() if variant_of[m] == counted.variant_group]
        cohort = [t for t in mine if window is None or t[0] + window <= now]
        did = [
            [t is not None and (window is None or t <= times[0] + window) for t in times[1:]]
            for times in cohort
        ]
        scores = [(3 * o + 4 * c + 3 * r) / 10 for o, c, r in did]
        assert counted.total_sent == len(mine)
        assert counted.total_replied == sum(times[3] is not None for times in mine)
        assert counted.cohort.contacts == len(cohort)
        assert counted.cohort.successes == (
            sum(r for _, _, r in did) if metric == "reply_rate" else 0
        )
        assert float(counted.cohort.score_sum) == pytest.approx(sum(scores))
        squares = sum(score**2 for score in scores)
        assert float(counted.cohort.score_sum_squares) == pytest.approx(squares)
        # The rates in the table are the statistics' own, to the last place.
        rates, row = rates_of(counted), rows[counted.variant_group]
        for name in ("open_rate", "click_rate", "reply_rate", "engagement_score"):
            assert row[name] == float(getattr(rates, name)), name


def test_a_split_inside_a_variant_does_not_hide_its_messages(database):
    nested = graph(
        trigger("s"),
        split("s", {"a": 50, "b": 50}, a="inner", b="mail_b"),
        split("inner", {"x": 50, "y": 50}, x="mail_x", y="mail_y"),
        email("mail_x", default="after"),
        email("mail_y", default="after"),
        email("after", default="end"),
        email("mail_b", default="end"),
        end(),
        variant_of_node={
            "inner": ("s", "a"),
            "mail_x": ("inner", "x"),
            "mail_y": ("inner", "y"),
            "after": ("s", "a"),
            "mail_b": ("s", "b"),
        },
    )
    assert inner_nodes(nested, "s") == {"a": {"mail_x", "mail_y"}}
    assert inner_nodes(nested, "inner") == {}
    with database.transaction() as connection:
        test = a_split_test(connection)
        publish_over(connection, test, nested)
        people(connection, test, "a", 10, opened=4)
        people(connection, test, "b", 10)
        connection.execute(
            "UPDATE campaign_message_outcomes SET split_node_id = 'inner', variant_group = 'x', "
            "node_id = 'mail_x' WHERE variant_group = 'a'"
        )
    found = results_now(database, test)
    assert [v["total_sent"] for v in found["variants"]] == [10, 10]
    assert [v["total_opened"] for v in found["variants"]] == [4, 0]


def publish_over(connection: Connection, test: SplitTest, made: CampaignGraph) -> None:
    """Version 2 of the campaign is this graph, and the test goes on in it."""
    connection.execute(
        "INSERT INTO campaign_versions (campaign_id, workspace_id, version, campaign_snapshot, "
        "steps_snapshot, compiled_graph, change_type) "
        "VALUES (%s, %s, 2, '{}', '[]', %s, 'published')",
        [test.campaign.campaign_id, test.campaign.workspace_id, jsonb(made.to_dict())],
    )
    connection.execute(
        "UPDATE campaign_ab_tests SET campaign_versions = ARRAY[1, 2] WHERE id = %s", [test.test_id]
    )


# --- keeping --------------------------------------------------------------------------------------


def test_judging_again_writes_nothing_until_something_changes(database):
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


def test_only_tests_whose_people_changed_are_counted_again(database):
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
    assert [j.experiment.test_id for j in report.judged if j.is_new] == [tests[1].test_id]


def test_one_test_can_be_judged_alone(database):
    with database.transaction() as connection:
        mine = a_split_test(connection, name="Mine")
        other = a_split_test(connection, name="Other")
        for test in (mine, other):
            people(connection, test, "a", 10)
    report = judge(database, [mine.campaign.campaign_id], now=LATER)
    assert [j.experiment.test_id for j in report.judged] == [mine.test_id]
    with database.transaction() as connection:
        assert results_by_variant(connection, other) == {}
    # What changed in the other is not forgotten.
    assert judge(database, now=LATER).counted == 1


def test_a_configuration_that_cannot_be_read_does_not_sink_the_others(database):
    with database.transaction() as connection:
        broken = a_split_test(connection, name="Broken", confidence_threshold=400)
        fine = a_split_test(connection, name="Fine")
    report = judge(database, now=LATER)
    assert [j.experiment.test_id for j in report.judged] == [fine.test_id]
    assert set(report.faults) == {broken.test_id}
    assert "confidence_threshold" in report.faults[broken.test_id]


def test_degenerate_tests_have_a_reason_and_no_figures(database):
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


def test_time_alone_opens_a_gate(database):
    test = a_clear_difference(database, minimum_runtime_hours=24)
    early = judge(database, now=LATER)
    assert only(early).verdict.reason == "runtime_too_short"
    assert early.decisions == []
    late = judge(database, now=NOW + timedelta(hours=25))
    assert late.counted == 0
    assert [d.winner_variant for d in late.decisions] == ["b"]
    assert late.decisions[0].test_id == test.test_id


def test_a_sample_ratio_mismatch_blocks_until_a_person_clears_it(database):
    with database.transaction() as connection:
        test = a_split_test(connection)
        people(connection, test, "a", 1_000, opened=200)
        people(connection, test, "b", 1_300, opened=450)
    assert only(judge(database, now=LATER)).verdict.state == "srm_blocked"
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


def test_a_crash_between_results_and_decision_is_made_good_by_the_next_judging(database):
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


def test_after_a_decision_totals_go_on_and_what_decided_stands(database):
    test = a_clear_difference(database)
    judge(database, now=LATER)
    with database.transaction() as connection:
        before = results_by_variant(connection, test)
        connection.execute(
            "UPDATE campaign_message_outcomes SET first_opened_at = %s WHERE variant_group = 'a'",
            [LATER],
        )
    report = judge(database, now=LATER + timedelta(hours=1))
    assert (report.judged, report.decisions, report.counted) == ([], [], 1)
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


def test_without_auto_select_a_winner_waits_for_a_person(database):
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


def test_judges_at_the_same_moment_keep_one_evaluation_and_one_decision(database):
    a_clear_difference(database)
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: judge(database, now=LATER), range(4)))
    assert sum(report.evaluations for report in reports) == 1
    assert sum(len(report.decisions) for report in reports) == 1
    with database.transaction() as connection:
        assert len(rows_of(connection, "campaign_ab_evaluations")) == 1
        assert len(rows_of(connection, "campaign_ab_decisions")) == 1
