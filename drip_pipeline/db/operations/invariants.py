"""The laws as queries: each gives the rows that break it, a sample of them, with the number of all
in the column `violations`. What the laws are, stands in `engine/checks.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection

Rows = list[dict[str, Any]]


def outcomes_match_log(
    connection: Connection, *, sent_from: datetime, sent_to: datetime, sample: int
) -> Rows:
    """Messages whose outcome is not what the log says."""
    return queries.rows(
        connection,
        "violations_of_outcomes_match_log",
        sent_from=sent_from,
        sent_to=sent_to,
        sample=sample,
    )


def sent_once(
    connection: Connection, *, sent_from: datetime, sent_to: datetime, sample: int
) -> Rows:
    """Messages that outbox, outcomes and log do not all have, once."""
    return queries.rows(
        connection, "violations_of_sent_once", sent_from=sent_from, sent_to=sent_to, sample=sample
    )


def metrics_match_outcomes(
    connection: Connection,
    *,
    days_left_out: Sequence[date],
    last_day: date,
    sample: int,
) -> Rows:
    """Places where daily figures are not the sums of outcomes."""
    return queries.rows(
        connection,
        "violations_of_metrics_match_outcomes",
        days_left_out=list(days_left_out),
        last_day=last_day,
        sample=sample,
    )


def rates(connection: Connection, *, sample: int) -> Rows:
    """Daily figures that would make a rate outside 0..100."""
    return queries.rows(connection, "violations_of_rates", sample=sample)


def no_orphans(connection: Connection, *, since: datetime, sample: int) -> Rows:
    """Kinds of rows whose person is not there."""
    return queries.rows(connection, "violations_of_no_orphans", since=since, sample=sample)


def recorded_once(connection: Connection, *, sample: int) -> Rows:
    """Deliveries that the recorder kept more than once."""
    return queries.rows(connection, "violations_of_recorded_once", sample=sample)
