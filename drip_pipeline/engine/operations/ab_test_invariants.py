"""The laws of A/B tests that hold in the database between any two transactions, in the manner of
`engine/checks.py`. What is wrong is told, not repaired.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.operations import ab_test_invariants as ab_test_invariants_db
from drip_pipeline.engine.operations.invariants import SAMPLE, InvariantResult

AB_TEST_INVARIANTS: Final[Mapping[str, str]] = {
    "ab_counts": "nobody did what only people who were sent something can do, and no rate is over"
    " 100",
    "ab_significance": "significant means p below alpha, confidence at the threshold, and enough"
    " people in every variant",
    "ab_pairs": "the p that decides is never smaller than the p of a single look",
    "ab_outcomes": "what became of the messages that a test is about to be decided by, the log says"
    " as well",
    "ab_decisions": "a test is decided exactly when it has a decision, and state, results, winner"
    " and log say the same",
}

_QUERIES: Final[Mapping[str, Callable[..., list[dict[str, Any]]]]] = {
    "ab_counts": ab_test_invariants_db.counts,
    "ab_significance": ab_test_invariants_db.significance,
    "ab_pairs": ab_test_invariants_db.pairs,
    "ab_outcomes": ab_test_invariants_db.outcomes,
    "ab_decisions": ab_test_invariants_db.decisions,
}


def check_ab_test_invariants(
    database: Database, *, names: tuple[str, ...] = tuple(AB_TEST_INVARIANTS)
) -> list[InvariantResult]:
    """Look whether these laws hold, all in one snapshot."""
    with database.transaction(is_read_only=True) as connection:
        return [_result(connection, name) for name in names]


def _result(connection: Connection, name: str) -> InvariantResult:
    rows = _QUERIES[name](connection, sample=SAMPLE)
    violations = rows[0]["violations"] if rows else 0
    sample = [{key: row[key] for key in row if key != "violations"} for row in rows]
    return InvariantResult(name, AB_TEST_INVARIANTS[name], violations, sample)
