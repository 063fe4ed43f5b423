"""Queries of decisions on A/B tests.

Whether a decision is due belongs to engine/ab_tests/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.ab_tests.evaluations import ABTestRow, listed
from drip_pipeline.db.connection import Connection, dump_json


class StoredDecision(NamedTuple):
    """The decision of a test. `reason`: a reason code, or the operator's text if `is_by_hand`."""

    ab_test_id: UUID
    outcome: str
    winner_variant: str | None
    decided_by: str
    reason: str
    is_by_hand: bool
    evaluation_id: UUID | None
    decided_at: datetime


class DueDecisionRow(NamedTuple):
    """A running test with a terminal evaluation."""

    id: UUID
    campaign_id: UUID


class LockedCampaign(NamedTuple):
    """A campaign locked for a decision."""

    id: UUID
    name: str
    status: str
    published_version: int | None


@dataclass(frozen=True, slots=True)
class NewDecision:
    """A decision to record. `reason`: a reason code, or the operator's text if `is_by_hand`."""

    outcome: str
    winner: str | None
    decided_by: str
    reason: str
    is_by_hand: bool
    evaluation_id: UUID | None


def tests_to_decide(
    connection: Connection, campaign_ids: Sequence[UUID] | None
) -> list[DueDecisionRow]:
    """Return the running tests with a latest evaluation that is a decision."""
    return queries.records(
        connection, "tests_to_decide", DueDecisionRow, campaign_ids=listed(campaign_ids)
    )


def lock_campaign(connection: Connection, campaign_id: UUID) -> LockedCampaign | None:
    """Lock a campaign's row."""
    return queries.record(
        connection, "lock_campaign_to_decide", LockedCampaign, campaign_id=campaign_id
    )


def lock_test(connection: Connection, test_id: UUID) -> ABTestRow | None:
    """Lock a test's row. The caller must lock its campaign first."""
    return queries.record(connection, "lock_test", ABTestRow, test_id=test_id)


def decisions_of(connection: Connection, test_ids: Sequence[UUID]) -> dict[UUID, StoredDecision]:
    """Return the decision of each decided test."""
    rows = queries.records(connection, "decisions_of", StoredDecision, test_ids=list(test_ids))
    return {row.ab_test_id: row for row in rows}


def insert_decision(
    connection: Connection, test_id: UUID, decision: NewDecision, *, now: datetime
) -> UUID | None:
    """Insert a decision; return its id, None if the test is decided already."""
    decision_id: UUID | None = queries.scalar(
        connection,
        "insert_decision",
        test_id=test_id,
        outcome=decision.outcome,
        winner=decision.winner,
        decided_by=decision.decided_by,
        reason=decision.reason,
        is_by_hand=decision.is_by_hand,
        evaluation_id=decision.evaluation_id,
        now=now,
    )
    return decision_id


def end_test(
    connection: Connection, test_id: UUID, *, outcome: str, winner: str | None, now: datetime
) -> None:
    """End a test and freeze its deciding columns. Routing reads the winner from this row."""
    queries.run(connection, "end_test", test_id=test_id, outcome=outcome, winner=winner, now=now)
    queries.run(connection, "freeze_results", test_id=test_id, winner=winner, now=now)


def mark_campaign_decided(
    connection: Connection, campaign_id: UUID, *, step_ids: Sequence[str], now: datetime
) -> None:
    """Write the winner to the campaign: the first of these steps that still exists."""
    queries.run(
        connection,
        "mark_campaign_decided",
        campaign_id=campaign_id,
        step_ids=list(step_ids),
        now=now,
    )


def snapshot(connection: Connection, campaign_id: UUID, *, description: str, now: datetime) -> UUID:
    """Add the version `ab_test_completed` to the campaign's history; return its id."""
    version_id: UUID = queries.scalar(
        connection,
        "snapshot_decided_campaign",
        campaign_id=campaign_id,
        description=description,
        now=now,
    )
    return version_id


def log_decision(
    connection: Connection,
    test_id: UUID,
    *,
    winner: str | None,
    is_by_hand: bool,
    event_data: Mapping[str, object],
    version: int | None,
    now: datetime,
) -> None:
    """Log the event `ab_test_decided`."""
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
    """Clear the block of a sample-ratio mismatch; return False if it was cleared before."""
    changed = queries.run(
        connection,
        "clear_sample_ratio",
        test_id=test_id,
        cleared_by=cleared_by,
        reason=reason,
        now=now,
    )
    return changed > 0
