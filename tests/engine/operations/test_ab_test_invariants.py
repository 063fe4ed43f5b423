"""The invariants of A/B tests hold after real work, and detect each violation."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.ab_tests.declare import declare
from drip_pipeline.engine.ab_tests.judge import judge
from drip_pipeline.engine.operations.ab_test_invariants import (
    AB_TEST_INVARIANTS,
    check_ab_test_invariants,
)
from tests.engine.ab_tests.split_contacts import a_split_test, people
from tests.engine.factories import NOW

RESULTS = "UPDATE campaign_ab_test_results"
TESTS = "UPDATE campaign_ab_tests"
EVALUATIONS = "UPDATE campaign_ab_evaluations"
LATER = NOW + timedelta(hours=1)
DESCRIBED: tuple[tuple[str, Any, int], ...] = (
    ("Engine's", {}, 200),
    ("By hand", {}, 101),
    ("Over", {"max_duration_hours": 0.5}, 101),
    ("Running", {}, 101),
)


@pytest.fixture
def tests(database: Database) -> Database:
    """Create tests: decided by the engine, decided manually, without a winner, and running."""
    with database.transaction() as connection:
        for name, config, opened in DESCRIBED:
            shares = {"a": 40.0, "b": 40.0, "holdout": 20.0}
            test = a_split_test(connection, shares, name=name, **config)
            people(connection, test, "a", 1_000, opened=100)
            people(connection, test, "b", 1_000, opened=opened)
            people(connection, test, "holdout", 500)
    judge(database, now=LATER)
    declare(database, "By hand", variant="a", reason="taste", decided_by="Ada", now=LATER)
    return database


def broken(database: Database) -> set[str]:
    return {result.name for result in check_ab_test_invariants(database) if not result.holds}


def test_they_hold_after_real_work(tests: Database):
    with tests.transaction() as connection:
        states = connection.execute("SELECT state FROM campaign_ab_tests ORDER BY 1").fetchall()
    assert [row[0] for row in states] == [
        "collecting", "decided_no_winner", "decided_winner", "decided_winner",
    ]  # fmt: skip
    assert broken(tests) == set()


@pytest.mark.parametrize(
    ("invariant", "statement"),
    [
        ("ab_counts", f"{RESULTS} SET total_opened = total_sent + 1"),
        ("ab_counts", f"{RESULTS} SET cohort_successes = cohort_contacts + 1"),
        ("ab_significance", f"{RESULTS} SET is_statistically_significant = true"),
        ("ab_significance", f"{RESULTS} SET p_value = 0.06"),
        ("ab_pairs", f"{EVALUATIONS} SET verdict = verdict || %s"),
        ("ab_decisions", "DELETE FROM campaign_ab_decisions WHERE is_by_hand"),
        ("ab_decisions", "UPDATE campaign_ab_decisions SET is_by_hand = false WHERE is_by_hand"),
        ("ab_decisions", f"{TESTS} SET winner_variant = 'b'"),
        ("ab_decisions", f"{TESTS} SET status = 'running', ended_at = NULL"),
        ("ab_decisions", f"{RESULTS} SET is_winner = false"),
        ("ab_decisions", "DELETE FROM campaign_events WHERE event_type = 'ab_test_decided'"),
    ],
)
def test_each_violation_is_detected(tests: Database, invariant: str, statement: str):
    pairs = {"pairs": [{"a": "a", "b": "b", "decision_p": 0.01, "chi2_p": 0.02}]}
    with tests.transaction() as connection:
        connection.execute(statement, [pairs] if "%s" in statement else None)
    assert invariant in broken(tests)
    (result,) = check_ab_test_invariants(tests, names=(invariant,))
    assert result.violations >= len(result.sample) > 0
    assert result.meaning == AB_TEST_INVARIANTS[invariant]
