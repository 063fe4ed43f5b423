"""Tests of splits as judging reads and writes them: counts, verdicts, evaluations, decisions.

Rows by column name; what the figures mean is the business of engine/ and experiments/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, dump_json
from drip_pipeline.db.error_translation import translated_errors

CountRequest = tuple[UUID, str, float]
"""A test to count: its id, the metric its cohort is for, and the attribution window in hours."""


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """The judged figures of one variant."""

    test_id: UUID
    variant_group: str
    p_value: Decimal | None
    confidence_level: Decimal
    is_significant: bool


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """An evaluation to keep. `counts` and `verdict` are JSON-able."""

    id: UUID
    workspace_id: UUID
    test_id: UUID
    campaign_id: UUID
    state: str
    reason: str
    leader: str | None
    counts: Any
    verdict: Any
    counts_hash: str
    config_hash: str


# --- reading --------------------------------------------------------------------------------------


def tests_to_judge(
    connection: Connection, campaign_ids: Sequence[UUID] | None
) -> list[dict[str, Any]]:
    """Running tests of these campaigns, or of all that are not archived; locked."""
    queries.run(connection, "hold_uncounted_campaigns", campaign_ids=_listed(campaign_ids))
    return queries.rows(connection, "tests_to_judge", campaign_ids=_listed(campaign_ids))


def tests_of(connection: Connection, campaign_ids: Sequence[UUID] | None) -> list[dict[str, Any]]:
    """All tests of these campaigns; without a list, of every campaign those not superseded."""
    return queries.rows(connection, "tests_of", campaign_ids=_listed(campaign_ids))


def decided_tests_of(connection: Connection, campaign_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """The decided tests of these campaigns."""
    return queries.rows(connection, "decided_tests_of", campaign_ids=list(campaign_ids))


def overview(connection: Connection) -> dict[str, Any]:
    """How many running tests there are, and how many have something new for the judge."""
    found = queries.one(connection, "changed_tests_overview")
    assert found is not None
    return found


def drain_changes(connection: Connection, campaign_ids: Sequence[UUID] | None) -> set[UUID]:
    """Take the notes of changes; the campaigns they name."""
    found = queries.tuples(connection, "drain_test_changes", campaign_ids=_listed(campaign_ids))
    return {row[0] for row in found}


def tests_with_open_windows(connection: Connection, test_ids: Sequence[UUID]) -> set[UUID]:
    """Of these tests, those never counted and those whose cohort still grows with time."""
    found = queries.tuples(connection, "tests_with_open_windows", test_ids=list(test_ids))
    return {row[0] for row in found}


def graphs_with_several_splits(
    connection: Connection, test_ids: Sequence[UUID]
) -> list[tuple[UUID, int, dict[str, Any]]]:
    """(test, version, compiled graph) of versions with more than one split."""
    return [
        (row[0], row[1], row[2])
        for row in queries.tuples(connection, "graphs_with_several_splits", test_ids=list(test_ids))
    ]


def count_variants(
    connection: Connection, wishes: Sequence[CountRequest], now: datetime
) -> list[dict[str, Any]]:
    """Fresh counts, nothing written."""
    return queries.rows(connection, "count_variants", **_wished(wishes), now=now)


def count_variants_until(
    connection: Connection, wishes: Sequence[CountRequest], until: datetime
) -> list[dict[str, Any]]:
    """Counts of what had happened by a moment in the past, nothing written."""
    return queries.rows(connection, "count_variants_until", **_wished(wishes), until=until)


def counted_variants(connection: Connection, test_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """The figures as they were counted last."""
    return queries.rows(connection, "counted_variants", test_ids=list(test_ids))


def results_of(connection: Connection, test_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """The rows of campaign_ab_test_results."""
    return queries.rows(connection, "results_of", test_ids=list(test_ids))


def latest_evaluations(
    connection: Connection, test_ids: Sequence[UUID]
) -> dict[UUID, tuple[UUID, str, str, str]]:
    """By test: id, state, reason and counts' hash of its latest evaluation."""
    found = queries.tuples(connection, "latest_evaluations", test_ids=list(test_ids))
    return {row[0]: (row[1], row[2], row[3], row[4]) for row in found}


def latest_evaluation(
    connection: Connection, test_id: UUID, *, until: datetime | None = None
) -> dict[str, Any] | None:
    """The whole latest evaluation of a test, by a moment where one is given."""
    return queries.one(connection, "latest_evaluation", test_id=test_id, until=until)


def evaluation(connection: Connection, evaluation_id: UUID) -> dict[str, Any] | None:
    """One whole evaluation."""
    return queries.one(connection, "evaluation_by_id", evaluation_id=evaluation_id)


def decisions_of(connection: Connection, test_ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    """By test: its decision."""
    found = queries.rows(connection, "decisions_of", test_ids=list(test_ids))
    return {row["ab_test_id"]: row for row in found}


def history(
    connection: Connection,
    count_request: CountRequest,
    *,
    starts_at: datetime,
    step_seconds: float,
    now: datetime,
) -> list[dict[str, Any]]:
    """What joined the cohort in each step of time: variant_group, step (from 0), contacts,
    successes, score_sum, score_sum_squares."""
    return queries.rows(
        connection,
        "variant_history",
        test_id=count_request[0],
        metric=count_request[1],
        window_hours=count_request[2],
        starts_at=starts_at,
        step_seconds=step_seconds,
        now=now,
    )


# --- judging --------------------------------------------------------------------------------------


def write_inner_nodes(
    connection: Connection, nodes: Mapping[UUID, Mapping[str, Sequence[str]]]
) -> int:
    """Remember per test and variant the nodes that lie behind another split."""
    return queries.run(
        connection,
        "keep_inner_nodes",
        test_ids=list(nodes),
        inner_nodes=[dump_json(of_test).decode() for of_test in nodes.values()],
    )


@contextmanager
def pipelined(connection: Connection) -> Iterator[None]:
    """Statements inside are sent without waiting for the answer to the one before: the server works
    on one while the next is made. What they return is not to be relied on; errors come at the end.
    """
    with translated_errors(), connection.pipeline():
        yield


def write_counts(connection: Connection, wishes: Sequence[CountRequest], now: datetime) -> int:
    """Count into the results table; how many rows."""
    return queries.run(connection, "write_counts", **_wished(wishes), now=now)


def write_verdicts(connection: Connection, rows: Sequence[VerdictRow], now: datetime) -> int:
    """Write judged figures; how many rows changed."""
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
    """Write where tests stand; how many changed."""
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
    """Keep evaluations; how many."""
    return queries.run(
        connection,
        "append_evaluations",
        evaluations=dump_json(rows).decode(),
        engine_version=engine_version,
        run_id=run_id,
        now=now,
    )


# --- deciding -------------------------------------------------------------------------------------


def tests_to_decide(
    connection: Connection, campaign_ids: Sequence[UUID] | None
) -> list[tuple[UUID, UUID]]:
    """(test, campaign) of running tests whose latest evaluation is a decision."""
    found = queries.tuples(connection, "tests_to_decide", campaign_ids=_listed(campaign_ids))
    return [(row[0], row[1]) for row in found]


def lock_campaign(connection: Connection, campaign_id: UUID) -> dict[str, Any] | None:
    """The campaign's row, held."""
    return queries.one(connection, "lock_campaign_to_decide", campaign_id=campaign_id)


def lock_test(connection: Connection, test_id: UUID) -> dict[str, Any] | None:
    """The test's row, held. Lock its campaign first."""
    return queries.one(connection, "lock_test", test_id=test_id)


def insert_decision(
    connection: Connection,
    test_id: UUID,
    *,
    outcome: str,
    winner: str | None,
    decided_by: str,
    reason: str,
    is_by_hand: bool,
    evaluation_id: UUID | None,
    now: datetime,
) -> UUID | None:
    """The new decision's id, None when the test has a decision."""
    made: UUID | None = queries.scalar(
        connection,
        "insert_decision",
        test_id=test_id,
        outcome=outcome,
        winner=winner,
        decided_by=decided_by,
        reason=reason,
        is_by_hand=is_by_hand,
        evaluation_id=evaluation_id,
        now=now,
    )
    return made


def end_test(
    connection: Connection, test_id: UUID, *, outcome: str, winner: str | None, now: datetime
) -> None:
    """End the test and freeze its deciding figures; routing reads the winner from here."""
    queries.run(connection, "end_test", test_id=test_id, outcome=outcome, winner=winner, now=now)
    queries.run(connection, "freeze_results", test_id=test_id, winner=winner, now=now)


def mark_campaign_decided(
    connection: Connection, campaign_id: UUID, *, step_ids: Sequence[str], now: datetime
) -> None:
    """Show the winner on the campaign: the first of these steps that it still has."""
    queries.run(
        connection,
        "mark_campaign_decided",
        campaign_id=campaign_id,
        step_ids=list(step_ids),
        now=now,
    )


def snapshot(connection: Connection, campaign_id: UUID, *, description: str, now: datetime) -> UUID:
    """The history's entry `ab_test_completed`."""
    made: UUID = queries.scalar(
        connection,
        "snapshot_decided_campaign",
        campaign_id=campaign_id,
        description=description,
        now=now,
    )
    return made


def log_decision(
    connection: Connection,
    test_id: UUID,
    *,
    winner: str | None,
    is_by_hand: bool,
    event_data: Mapping[str, Any],
    version: int | None,
    now: datetime,
) -> None:
    """The event `ab_test_decided`."""
    queries.run(
        connection,
        "log_decision",
        test_id=test_id,
        winner=winner,
        is_by_hand=is_by_hand,
        event_data=dump_json(event_data).decode(),
        version=version,
        now=now,
    )


def clear_sample_ratio(
    connection: Connection, test_id: UUID, *, cleared_by: str, reason: str, now: datetime
) -> bool:
    """Lift the block of a sample-ratio mismatch; False when it was lifted before."""
    return (
        queries.run(
            connection,
            "clear_sample_ratio",
            test_id=test_id,
            cleared_by=cleared_by,
            reason=reason,
            now=now,
        )
        > 0
    )


def _listed(campaign_ids: Sequence[UUID] | None) -> list[UUID] | None:
    return None if campaign_ids is None else list(campaign_ids)


def _wished(wishes: Sequence[CountRequest]) -> dict[str, Any]:
    return {
        "test_ids": [count_request[0] for count_request in wishes],
        "metrics": [count_request[1] for count_request in wishes],
        "window_hours": [count_request[2] for count_request in wishes],
    }
