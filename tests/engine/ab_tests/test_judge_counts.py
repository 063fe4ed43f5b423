"""The counts of a test: which contacts, how often, in which window, and the rates of the counts."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from drip_pipeline.db.connection import Connection
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.engine.ab_tests.counts import inner_nodes
from drip_pipeline.engine.ab_tests.judge import evaluate, judge
from drip_pipeline.experiments.rates import variant_rates
from tests.engine.ab_tests.split_contacts import (
    LATER,
    SplitTest,
    a_split_test,
    only,
    people,
    results_by_variant,
    results_now,
)
from tests.engine.factories import NOW, rows_of
from tests.engine.graphs import email, end, graph, split, trigger


def test_the_counts_of_a_published_test_give_its_results_by_each_method(database):
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


def test_a_contact_counts_once_for_any_number_of_messages_and_enrollments(database):
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
    """Enroll the first contact of variant a a second time, with another key."""
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


def test_conversions_count_over_the_sent_and_for_the_holdout_over_the_assigned(database):
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


def test_contacts_routed_by_a_decision_are_not_compared(database):
    with database.transaction() as connection:
        test = a_split_test(connection)
        people(connection, test, "a", 10, opened=5)
        people(connection, test, "a", 90, opened=90, is_randomized=False)
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


def test_the_cohort_has_contacts_past_the_window_with_events_inside_it(database):
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
        asked = "SELECT * FROM calculate_ab_test_metrics(%s)"
        found = connection.execute(asked, [test.campaign.campaign_id]).fetchall()
        specified = {row[0]: row[1:] for row in found}
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
        rates, row = variant_rates(counted), rows[counted.variant_group]
        for name in ("open_rate", "click_rate", "reply_rate", "engagement_score"):
            assert row[name] == float(getattr(rates, name)), name
        # So says the specification's function, which applications ask.
        assert specified[counted.variant_group] == (
            rates.open_rate,
            rates.click_rate,
            rates.conversion_rate,
            rates.engagement_score,
            counted.total_sent,
        )


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
    """Publish this graph as version 2; the test continues in it."""
    connection.execute(
        "INSERT INTO campaign_versions (campaign_id, workspace_id, version, campaign_snapshot, "
        "steps_snapshot, compiled_graph, change_type) "
        "VALUES (%s, %s, 2, '{}', '[]', %s, 'published')",
        [test.campaign.campaign_id, test.campaign.workspace_id, Jsonb(made.to_dict())],
    )
    connection.execute(
        "UPDATE campaign_ab_tests SET campaign_versions = ARRAY[1, 2] WHERE id = %s", [test.test_id]
    )
