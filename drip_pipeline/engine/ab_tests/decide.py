"""Deciding a test: one transaction under the campaign's row lock that ends the test, writes the
winner to all tables that show it, and adds a version and an event. The first decision stands.

`judge.py` evaluates whether a decision is due; `declare.py` has the decisions of operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from drip_pipeline.db.ab_tests import decisions as decisions_db
from drip_pipeline.db.ab_tests import evaluations as ab_tests_db
from drip_pipeline.db.ab_tests.decisions import LockedCampaign, NewDecision
from drip_pipeline.db.ab_tests.evaluations import ABTestRow
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.engine.campaigns import version_cache as graphs
from drip_pipeline.errors import VersionNotFound
from drip_pipeline.experiments import State

ENGINE = "engine"


@dataclass(frozen=True, slots=True)
class Decision:
    """A recorded decision. `reason`: a reason code, or the operator's text if `is_by_hand`."""

    decision_id: UUID
    test_id: UUID
    campaign_id: UUID
    campaign: str
    split_node_id: str
    outcome: str
    winner_variant: str | None
    decided_by: str
    reason: str
    is_by_hand: bool
    evaluation_id: UUID | None
    decided_at: datetime


def decide(
    database: Database, campaign_ids: Sequence[UUID] | None = None, *, now: datetime
) -> list[Decision]:
    """Record every decision that is due, each in a transaction of its own, and return them.

    A decision that another process recorded meanwhile is not returned.
    """
    with database.transaction(is_read_only=True) as connection:
        due = decisions_db.tests_to_decide(connection, campaign_ids)
    decisions = [_decide_one(database, row.campaign_id, row.id, now) for row in due]
    return [decision for decision in decisions if decision is not None]


def _decide_one(
    database: Database, campaign_id: UUID, test_id: UUID, now: datetime
) -> Decision | None:
    with database.transaction() as connection:
        campaign = decisions_db.lock_campaign(connection, campaign_id)
        test = decisions_db.lock_test(connection, test_id)
        if campaign is None or test is None or test.status != "running":
            return None
        # Read again under the lock: a newer evaluation may have another state.
        evaluation = ab_tests_db.latest_evaluation(connection, test_id)
        if evaluation is None or not State(evaluation.state).is_terminal:
            return None
        decision = NewDecision(
            outcome=evaluation.state,
            winner=evaluation.verdict["winner"],
            decided_by=ENGINE,
            reason=evaluation.reason,
            is_by_hand=False,
            evaluation_id=evaluation.id,
        )
        return record_decision(connection, campaign, test, decision, now=now)


def record_decision(
    connection: Connection,
    campaign: LockedCampaign,
    test: ABTestRow,
    decision: NewDecision,
    *,
    now: datetime,
) -> Decision | None:
    """Record the decision on a test; return None if the test is decided already. The caller must
    have locked the campaign and then the test.
    """
    winner = decision.winner
    decision_id = decisions_db.insert_decision(connection, test.id, decision, now=now)
    if decision_id is None:
        return None
    decisions_db.end_test(connection, test.id, outcome=decision.outcome, winner=winner, now=now)
    steps = [] if winner is None else first_steps(connection, campaign, test, winner)
    decisions_db.mark_campaign_decided(connection, campaign.id, step_ids=steps, now=now)
    result = f"{winner} won" if winner is not None else "no winner"
    decisions_db.snapshot(
        connection,
        campaign.id,
        description=f"A/B test at {test.split_node_id} ended: {result}",
        now=now,
    )
    decisions_db.log_decision(
        connection,
        test.id,
        winner=winner,
        is_by_hand=decision.is_by_hand,
        event_data={
            "ab_test_id": test.id,
            "outcome": decision.outcome,
            "winner": winner,
            "decided_by": decision.decided_by,
            "reason": decision.reason,
            "evaluation_id": decision.evaluation_id,
        },
        version=campaign.published_version,
        now=now,
    )
    return Decision(
        decision_id=decision_id,
        test_id=test.id,
        campaign_id=campaign.id,
        campaign=campaign.name,
        split_node_id=test.split_node_id,
        outcome=decision.outcome,
        winner_variant=winner,
        decided_by=decision.decided_by,
        reason=decision.reason,
        is_by_hand=decision.is_by_hand,
        evaluation_id=decision.evaluation_id,
        decided_at=now,
    )


def first_steps(
    connection: Connection, campaign: LockedCampaign, test: ABTestRow, winner: str
) -> list[str]:
    """Return the ids of the winning variant's first step: in the published version, then at the
    start of the test.
    """
    step_ids: list[str] = []
    try:
        graph = graphs.version(connection, campaign.id, campaign.published_version or 0).graph
        node_id = graph.first_node_of_variant(test.split_node_id, winner)
        step_id = graph.nodes[node_id].step_id if node_id is not None else None
        step_ids += [step_id] if step_id else []
    except (VersionNotFound, KeyError):
        pass  # the published version does not have the split
    step_ids += [
        variant["first_step_id"]
        for variant in test.config.get("variants") or ()
        if variant.get("id") == winner and variant.get("first_step_id")
    ]
    return step_ids
