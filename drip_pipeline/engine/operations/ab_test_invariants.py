"""Invariants of A/B tests: conditions on counts, evaluations and decisions that always hold.

The asset checks of experiments evaluate them. Nothing is repaired here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from drip_pipeline.db.connection import Database
from drip_pipeline.db.operations import invariants as invariants_db
from drip_pipeline.engine.operations.invariants import SAMPLE, InvariantResult

AB_TEST_INVARIANTS: Final[Mapping[str, str]] = {
    "ab_counts": "no variant has more responses than contacts that were sent a message, and no rate"
    " is over 100",
    "ab_significance": "a significant variant has p below alpha, confidence at the threshold, and"
    " the minimum sample size in every variant",
    "ab_pairs": "the deciding p-value is never smaller than the p-value of a single look",
    "ab_outcomes": "outcomes of messages that are about to decide a test agree with the event log",
    "ab_decisions": "a test is decided exactly when it has a decision, and state, results, winner"
    " and log agree with it",
}


def check_ab_test_invariants(
    database: Database, *, names: tuple[str, ...] = tuple(AB_TEST_INVARIANTS)
) -> list[InvariantResult]:
    """Evaluate the invariants `names` in one snapshot, in that order."""
    with database.transaction(is_read_only=True) as connection:
        violations = [invariants_db.of_ab_tests(connection, name, sample=SAMPLE) for name in names]
    return [
        InvariantResult(name, AB_TEST_INVARIANTS[name], total, sample)
        for name, (total, sample) in zip(names, violations, strict=True)
    ]
