"""The laws of A/B tests as queries, in the manner of `db/checks.py`: the rows that break one, with
the number of all in the column `violations`.
"""

from __future__ import annotations

from typing import Any

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection

Rows = list[dict[str, Any]]


def counts(connection: Connection, *, sample: int) -> Rows:
    """Variants with more events than people."""
    return queries.rows(connection, "violations_of_ab_counts", sample=sample)


def significance(connection: Connection, *, sample: int) -> Rows:
    """Variants called significant without reason."""
    return queries.rows(connection, "violations_of_ab_significance", sample=sample)


def pairs(connection: Connection, *, sample: int) -> Rows:
    """Pairs that decide on less than a single look would."""
    return queries.rows(connection, "violations_of_ab_pairs", sample=sample)


def outcomes(connection: Connection, *, sample: int) -> Rows:
    """Messages of tests about to be decided whose outcome is not what the log says."""
    return queries.rows(connection, "violations_of_ab_outcomes", sample=sample)


def decisions(connection: Connection, *, sample: int) -> Rows:
    """Tests whose decision is not what every table says."""
    return queries.rows(connection, "violations_of_ab_decisions", sample=sample)
