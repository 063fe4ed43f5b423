"""Queries of A/B tests: tests, counts, results, evaluations.

Meaning and calculation of the values belong to engine/ab_tests/ and experiments/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, dump_json
from drip_pipeline.db.error_translation import translated_errors


class CountRequest(NamedTuple):
    """A test to count, the metric of its cohort, and the attribution window in hours."""

    test_id: UUID
    metric: str
    window_hours: float


class ABTestRow(NamedTuple):
    """A test. `config`: the configuration frozen at its start."""

    id: UUID
    workspace_id: UUID
    campaign_id: UUID
    split_node_id: str
    test_number: int
    config: Mapping[str, Any]
    campaign_versions: list[int]
    status: str
    state: str
    started_at: datetime
    ended_at: datetime | None
    winner_variant: str | None
    srm_cleared_at: datetime | None
    inner_nodes_of: list[int] | None


class VariantCountRow(NamedTuple):
    """The counts of one variant, of distinct contacts."""

    ab_test_id: UUID
    variant_group: str
    is_holdout: bool
    first_assigned_at: datetime | None
    total_assigned: int
    total_sent: int
    total_delivered: int
    total_opened: int
    total_clicked: int
    total_replied: int
    total_converted: int
    total_unsubscribed: int
    total_bounced: int
    total_complained: int
    total_machine_opened: int
    total_machine_clicked: int
    cohort_contacts: int
    cohort_successes: int
    cohort_score_sum: Decimal | None
    cohort_score_sum_squares: Decimal | None


class VariantResultRow(NamedTuple):
    """The evaluated columns of one variant in campaign_ab_test_results."""

    ab_test_id: UUID
    variant_group: str
    p_value: Decimal | None
    confidence_level: Decimal | None
    is_statistically_significant: bool
    is_winner: bool


class EvaluationKey(NamedTuple):
    """The latest evaluation of a test without its counts and verdict."""

    ab_test_id: UUID
    id: UUID
    state: str
    reason: str
    counts_hash: str


class StoredEvaluation(NamedTuple):
    """An evaluation with its counts (a JSON list by variant) and its verdict."""

    id: UUID
    evaluated_at: datetime
    state: str
    reason: str
    counts: list[dict[str, Any]]
    verdict: dict[str, Any]


class ABTestsOverview(NamedTuple):
    """Numbers of tests: with something new to count, running, with a time limit or an open window,
    never counted.
    """

    changed: int
    running: int
    moved_by_time: int
    uncounted: int


class SplitGraphRow(NamedTuple):
    """The compiled graph of a published version with more than one split."""

    test_id: UUID
    version: int
    compiled_graph: dict[str, Any]


class CohortStepRow(NamedTuple):
    """What one time step adds to the cohort of a variant. `step`: from 0."""

    variant_group: str
    step: int
    contacts: int
    successes: int
    score_sum: Decimal
    score_sum_squares: Decimal


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """The evaluated columns of one variant to write."""

    test_id: UUID
    variant_group: str
    p_value: Decimal | None
    confidence_level: Decimal
    is_significant: bool


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """An evaluation to store. `counts` and `verdict` can be converted to JSON."""

    id: UUID
    workspace_id: UUID
    test_id: UUID
    campaign_id: UUID
    state: str
    reason: str
    leader: str | None
    counts: list[dict[str, Any]]
    verdict: dict[str, Any]
    counts_hash: str
    config_hash: str


# --- reading --------------------------------------------------------------------------------------


def tests_to_evaluate(
    connection: Connection, campaign_ids: Sequence[UUID] | None
) -> list[ABTestRow]:
    """Lock and return the running tests of these campaigns, or of all that are not archived."""
    queries.run(connection, "lock_uncounted_campaigns", campaign_ids=listed(campaign_ids))
    return queries.records(
        connection, "tests_to_evaluate", ABTestRow, campaign_ids=listed(campaign_ids)
    )


def tests_of(connection: Connection, campaign_ids: Sequence[UUID] | None) -> list[ABTestRow]:
    """Return all tests of these campaigns; without a list, the tests of all campaigns that were not
    superseded.
    """
    return queries.records(connection, "tests_of", ABTestRow, campaign_ids=listed(campaign_ids))


def decided_tests_of(connection: Connection, campaign_ids: Sequence[UUID]) -> list[ABTestRow]:
    """Return the decided tests of these campaigns."""
    return queries.records(
        connection, "decided_tests_of", ABTestRow, campaign_ids=list(campaign_ids)
    )


def overview(connection: Connection) -> ABTestsOverview:
    """Count the tests that an evaluation could change."""
    row = queries.record(connection, "changed_tests_overview", ABTestsOverview)
    assert row is not None
    return row


def drain_changes(connection: Connection, campaign_ids: Sequence[UUID] | None) -> set[UUID]:
    """Delete the recorded changes of these campaigns, or of all, and return their campaigns."""
    return set(queries.column(connection, "drain_test_changes", campaign_ids=listed(campaign_ids)))


def tests_with_open_windows(connection: Connection, test_ids: Sequence[UUID]) -> set[UUID]:
    """Return those of these tests that were never counted or have a cohort that grows with time."""
    return set(queries.column(connection, "tests_with_open_windows", test_ids=list(test_ids)))


def graphs_with_several_splits(
    connection: Connection, test_ids: Sequence[UUID]
) -> list[SplitGraphRow]:
    """Return the versions of these tests that have more than one split."""
    return queries.records(
        connection, "graphs_with_several_splits", SplitGraphRow, test_ids=list(test_ids)
    )


def count_variants(
    connection: Connection, requests: Sequence[CountRequest], now: datetime
) -> list[VariantCountRow]:
    """Count the variants of tests from assignments and outcomes. Writes nothing."""
    return queries.records(
        connection, "count_variants", VariantCountRow, **_columns(requests), now=now
    )


def count_variants_until(
    connection: Connection, requests: Sequence[CountRequest], until: datetime
) -> list[VariantCountRow]:
    """Count what had happened by a past time. Writes nothing."""
    return queries.records(
        connection, "count_variants_until", VariantCountRow, **_columns(requests), until=until
    )


def counted_variants(connection: Connection, test_ids: Sequence[UUID]) -> list[VariantCountRow]:
    """Return the stored counts of the last count."""
    return queries.records(connection, "counted_variants", VariantCountRow, test_ids=list(test_ids))


def results_of(connection: Connection, test_ids: Sequence[UUID]) -> list[VariantResultRow]:
    """Return the evaluated columns of campaign_ab_test_results."""
    return queries.records(connection, "results_of", VariantResultRow, test_ids=list(test_ids))


def latest_evaluations(
    connection: Connection, test_ids: Sequence[UUID]
) -> dict[UUID, EvaluationKey]:
    """Return the key of each test's latest evaluation."""
    rows = queries.records(connection, "latest_evaluations", EvaluationKey, test_ids=list(test_ids))
    return {row.ab_test_id: row for row in rows}


def latest_evaluation(
    connection: Connection, test_id: UUID, *, until: datetime | None = None
) -> StoredEvaluation | None:
    """Return the latest evaluation of a test, or the latest up to `until`."""
    return queries.record(
        connection, "latest_evaluation", StoredEvaluation, test_id=test_id, until=until
    )


def evaluation(connection: Connection, evaluation_id: UUID) -> StoredEvaluation | None:
    """Return one evaluation."""
    return queries.record(
        connection, "evaluation_by_id", StoredEvaluation, evaluation_id=evaluation_id
    )


def cohort_steps(
    connection: Connection,
    request: CountRequest,
    *,
    starts_at: datetime,
    step_seconds: float,
    now: datetime,
) -> list[CohortStepRow]:
    """Return what each time step adds to the cohort of each variant."""
    return queries.records(
        connection,
        "cohort_steps",
        CohortStepRow,
        **request._asdict(),
        starts_at=starts_at,
        step_seconds=step_seconds,
        now=now,
    )


# --- evaluating -----------------------------------------------------------------------------------


def write_inner_nodes(
    connection: Connection, nodes: Mapping[UUID, Mapping[str, Sequence[str]]]
) -> int:
    """Store per test and variant the nodes behind another split; return the number of tests."""
    return queries.run(
        connection,
        "write_inner_nodes",
        test_ids=list(nodes),
        inner_nodes=[dump_json(of_test).decode() for of_test in nodes.values()],
    )


@contextmanager
def pipelined(connection: Connection) -> Iterator[None]:
    """Send statements without waiting for the result of the previous one: the server executes one
    while the client builds the next. Row counts inside are not reliable; errors are raised at the
    end.
    """
    with translated_errors(), connection.pipeline():
        yield


def write_counts(connection: Connection, requests: Sequence[CountRequest], now: datetime) -> int:
    """Count tests into the results table; return the number of rows."""
    return queries.run(connection, "write_counts", **_columns(requests), now=now)


def write_verdicts(connection: Connection, rows: Sequence[VerdictRow], now: datetime) -> int:
    """Write evaluated columns; return the number of rows changed."""
    return queries.run(
        connection,
        "write_verdicts",
        test_ids=[row.test_id for row in rows],
        variants=[row.variant_group for row in rows],
        p_values=[row.p_value for row in rows],
        confidence_levels=[row.confidence_level for row in rows],
        significant=[row.is_significant for row in rows],
        now=now,
    )


def write_test_states(connection: Connection, states: Mapping[UUID, str]) -> int:
    """Write the states of running tests; return the number changed."""
    return queries.run(
        connection, "write_test_states", test_ids=list(states), states=list(states.values())
    )


def append_evaluations(
    connection: Connection,
    rows: Sequence[EvaluationRow],
    *,
    engine_version: str,
    run_id: str | None,
    now: datetime,
) -> int:
    """Store evaluations; return their number."""
    return queries.run(
        connection,
        "append_evaluations",
        evaluations=dump_json(rows).decode(),
        engine_version=engine_version,
        run_id=run_id,
        now=now,
    )


def listed(campaign_ids: Sequence[UUID] | None) -> list[UUID] | None:
    """Return the ids as a list for psycopg, None for all campaigns."""
    return None if campaign_ids is None else list(campaign_ids)


def _columns(requests: Sequence[CountRequest]) -> dict[str, list[UUID] | list[str] | list[float]]:
    return {
        "test_ids": [request.test_id for request in requests],
        "metrics": [request.metric for request in requests],
        "window_hours": [request.window_hours for request in requests],
    }
