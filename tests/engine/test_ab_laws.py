"""The laws of A/B tests hold after everything the engine does, and notice what it would never do."""

from __future__ import annotations

from datetime import timedelta

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.ab_laws import AB_LAWS, check_ab_laws
from drip_pipeline.engine.declare import declare
from drip_pipeline.engine.judge import judge
from tests.engine.factories import NOW
from tests.engine.split_people import a_split_test, people

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def tests(database: Database) -> Database:
    """One test that the engine decided, one by hand, one without a winner, one that runs."""
    with database.transaction() as connection:
        for name, config, opened in (
            ("Engine's", {}, (200, 300)),
            ("By hand", {}, (100, 101)),
            ("Over", {"max_duration_hours": 0.5}, (100, 101)),
            ("Running", {}, (100, 101)),
        ):
            shares = {"a": 40.0, "b": 40.0, "holdout": 20.0}
            test = a_split_test(connection, shares, name=name, **config)
            people(connection, test, "a", 1_000, opened=opened[0])
            people(connection, test, "b", 1_000, opened=opened[1])
            people(connection, test, "holdout", 500)
    judge(database, now=LATER)
    declare(database, "By hand", variant="a", reason="taste", decided_by="Ada", now=LATER)
    return database


def broken(database: Database) -> set[str]:
    return {law.name for law in check_ab_laws(database) if not law.holds}


def test_they_hold_after_what_the_engine_does(tests: Database):
    with tests.transaction() as connection:
        states = connection.execute("SELECT state FROM campaign_ab_tests ORDER BY 1").fetchall()
    assert [row[0] for row in states] == [
        "collecting", "decided_no_winner", "decided_winner", "decided_winner",
    ]  # fmt: skip
    assert broken(tests) == set()


@pytest.mark.parametrize(
    ("law", "statement"),
    [
        ("ab_counts", "UPDATE campaign_ab_test_results SET total_opened = total_sent + 1"),
        ("ab_counts", "UPDATE campaign_ab_test_results SET cohort_successes = cohort_contacts + 1"),
        (
            "ab_significance",
            "UPDATE campaign_ab_test_results SET is_statistically_significant = true",
        ),
        ("ab_significance", "UPDATE campaign_ab_test_results SET p_value = 0.06"),
        (
            "ab_pairs",
            "UPDATE campaign_ab_evaluations SET verdict = jsonb_set(verdict, '{pairs,0,decision_p}', "
            "'0')",
        ),
        ("ab_decisions", "DELETE FROM campaign_ab_decisions WHERE is_by_hand"),
        ("ab_decisions", "UPDATE campaign_ab_tests SET winner_variant = 'b' WHERE state <> 'x'"),
        ("ab_decisions", "UPDATE campaign_ab_test_results SET is_winner = false"),
        ("ab_decisions", "DELETE FROM campaign_events WHERE event_type = 'ab_test_decided'"),
        (
            "ab_decisions",
            "UPDATE campaign_ab_tests SET status = 'running', ended_at = NULL "
            "WHERE state = 'decided_no_winner'",
        ),
        ("ab_decisions", "UPDATE campaign_ab_decisions SET is_by_hand = false WHERE is_by_hand"),
    ],
)
def test_each_is_noticed_when_it_is_broken(tests: Database, law: str, statement: str):
    with tests.transaction() as connection:
        connection.execute(statement)  # type: ignore[arg-type]
    assert law in broken(tests)
    (found,) = check_ab_laws(tests, names=(law,))
    assert found.violations >= len(found.sample) > 0
    assert found.meaning == AB_LAWS[law]
