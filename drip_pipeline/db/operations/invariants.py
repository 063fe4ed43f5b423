"""Read the rows that violate an invariant. `engine/operations` defines the invariants.

Each query returns a sample of the violating rows; its column `violations` holds the number of all
of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Final, NamedTuple

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection

_AB_TEST_QUERIES: Final = {
    "ab_counts": "violations_of_ab_counts",
    "ab_significance": "violations_of_ab_significance",
    "ab_pairs": "violations_of_ab_pairs",
    "ab_outcomes": "violations_of_ab_outcomes",
    "ab_decisions": "violations_of_ab_decisions",
}


class Violations(NamedTuple):
    """The number of rows that violate an invariant, and a sample of them by column name."""

    total: int = 0
    sample: Sequence[Mapping[str, object]] = ()


def of_ab_tests(connection: Connection, invariant: str, *, sample: int) -> Violations:
    """Return the violations of an invariant of A/B tests."""
    return _violations(connection, _AB_TEST_QUERIES[invariant], sample=sample)


def outcomes_match_log(
    connection: Connection, *, sent_from: datetime, sent_to: datetime, sample: int
) -> Violations:
    """Return messages whose outcome differs from the event log."""
    return _violations(
        connection,
        "violations_of_outcomes_match_log",
        sent_from=sent_from,
        sent_to=sent_to,
        sample=sample,
    )


def sent_once(
    connection: Connection, *, sent_from: datetime, sent_to: datetime, sample: int
) -> Violations:
    """Return messages that are not exactly once in each of outbox, outcomes and event log."""
    return _violations(
        connection, "violations_of_sent_once", sent_from=sent_from, sent_to=sent_to, sample=sample
    )


def metrics_match_outcomes(
    connection: Connection, *, skipped_days: Sequence[date], last_day: date, sample: int
) -> Violations:
    """Return rows of the daily metrics that differ from the sums of the message outcomes."""
    return _violations(
        connection,
        "violations_of_metrics_match_outcomes",
        skipped_days=list(skipped_days),
        last_day=last_day,
        sample=sample,
    )


def rates(connection: Connection, *, sample: int) -> Violations:
    """Return rows of the daily metrics that give a rate outside 0 to 100."""
    return _violations(connection, "violations_of_rates", sample=sample)


def no_orphans(connection: Connection, *, since: datetime, sample: int) -> Violations:
    """Return kinds of rows whose enrollment or contact is missing; the total counts the rows."""
    return _violations(connection, "violations_of_no_orphans", since=since, sample=sample)


def recorded_once(connection: Connection, *, sample: int) -> Violations:
    """Return deliveries that the recorder stored more than once."""
    return _violations(connection, "violations_of_recorded_once", sample=sample)


def _violations(connection: Connection, query: str, **params: object) -> Violations:
    rows = queries.rows(connection, query, **params)
    if not rows:
        return Violations()
    total = rows[0]["violations"]
    for row in rows:
        del row["violations"]
    return Violations(total, rows)
