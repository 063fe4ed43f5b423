"""Measure one evaluation of many running tests with counts that are in the database: reading them,
the statistics, and storing results. The cost of counting is not included.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.ab_tests.judge import judge

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
TESTS = 5_000
ROUNDS = 3
GOAL_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class JudgingTimes:
    """Seconds of one judging of `tests` tests with three variants, the best of some rounds.
    `all_new`: every test has new figures, so 5,000 evaluations and 15,000 rows are written.
    `nothing_new`: the minutes after.
    """

    tests: int
    all_new_seconds: float
    nothing_new_seconds: float
    goal_seconds: float = GOAL_SECONDS

    @property
    def meets_goal(self) -> bool:
        """Both are under the goal."""
        return max(self.all_new_seconds, self.nothing_new_seconds) < self.goal_seconds


def measure(database: Database, *, tests: int = TESTS) -> JudgingTimes:
    """Judge `tests` running tests in an empty, migrated database."""
    judge(database, now=NOW)  # imports scipy, plans the statements
    with database.transaction() as connection:
        fill(connection, tests)
    with database.autocommit() as connection:
        connection.execute("ANALYZE")
    all_new, nothing_new = [], []
    for hour in range(1, ROUNDS + 1):
        with database.transaction() as connection:
            connection.execute("UPDATE campaign_ab_test_results SET total_clicked = %s", [hour])
        all_new.append(_timed(database, hour, expected=tests))
        nothing_new.append(_timed(database, hour, expected=0))
    return JudgingTimes(tests, min(all_new), min(nothing_new))


def fill(connection: Any, tests: int) -> None:
    """Campaigns, their running tests of three variants, and counted figures without a winner."""
    connection.execute("INSERT INTO workspaces (name) VALUES ('Judging')")
    connection.execute(
        "INSERT INTO drip_campaigns (workspace_id, name, status) "
        "SELECT w.id, 'Campaign ' || n, 'active' FROM workspaces w, generate_series(1, %s) AS n "
        "WHERE w.name = 'Judging'",
        [tests],
    )
    variants = [
        {"id": name, "name": name, "percentage": share, "holdout": False}
        for name, share in (("a", 33.34), ("b", 33.33), ("c", 33.33))
    ]
    connection.execute(
        "INSERT INTO campaign_ab_tests (workspace_id, campaign_id, split_node_id, test_number, "
        "config, config_hash, campaign_versions, started_at) "
        "SELECT c.workspace_id, c.id, 'split', 1, %s, '', ARRAY[1], %s FROM drip_campaigns c",
        [{"winner_metric": "open_rate", "variants": variants}, NOW],
    )
    connection.execute(
        "INSERT INTO campaign_ab_test_results (campaign_id, workspace_id, ab_test_id, "
        "split_node_id, variant_group, test_started_at, first_assigned_at, total_assigned, "
        "total_sent, total_delivered, total_opened, total_clicked, cohort_contacts, "
        "cohort_successes, cohort_score_sum, cohort_score_sum_squares) "
        "SELECT t.campaign_id, t.workspace_id, t.id, 'split', v.name, t.started_at, t.started_at, "
        "o.sent, o.sent, o.sent, o.opened, o.opened / 5, o.sent, o.opened, 0, 0 "
        "FROM campaign_ab_tests t CROSS JOIN (VALUES ('a'), ('b'), ('c')) AS v (name) "
        "CROSS JOIN LATERAL (SELECT 2000 + abs(hashtext(t.id::text)) % 50 AS sent, "
        "500 + abs(hashtext(t.id::text || v.name)) % 20 AS opened) o"
    )


def _timed(database: Database, hour: int, *, expected: int) -> float:
    started = perf_counter()
    report = judge(database, now=NOW + timedelta(hours=hour))
    seconds = perf_counter() - started
    if (report.counted, report.evaluations) != (0, expected):
        raise AssertionError(f"{report.evaluations} evaluations kept, {expected} expected")
    return seconds
