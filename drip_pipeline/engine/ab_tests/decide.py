"""Taking a decision: one transaction under the campaign's row lock that ends a test, names the
winner everywhere it is read, and leaves a version and an event behind. The first decision wins.

Whether a decision is due is the business of `judge.py`; a person's own is in `declare.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from drip_pipeline.db import ab_tests as ab_tests_db
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.engine.campaigns import version_cache as graphs
from drip_pipeline.errors import VersionNotFound
from drip_pipeline.experiments import State

ENGINE = "engine"
Outcome = Literal["decided_winner", "decided_no_winner"]


@dataclass(frozen=True, slots=True)
class Decision:
    """How a test ended. `reason`: the reason code, or what the person who declared said."""

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
    """Take every decision that the latest evaluations call for, each in a transaction of its own;
    those that were taken. One that somebody else took meanwhile is not among them.
    """
    with database.transaction(is_read_only=True) as connection:
        due = ab_tests_db.tests_to_decide(connection, campaign_ids)
    taken = [_decide_one(database, campaign_id, test_id, now) for test_id, campaign_id in due]
    return [decision for decision in taken if decision is not None]


def _decide_one(
    database: Database, campaign_id: UUID, test_id: UUID, now: datetime
) -> Decision | None:
    with database.transaction() as connection:
        campaign = ab_tests_db.lock_campaign(connection, campaign_id)
        test = ab_tests_db.lock_test(connection, test_id)
        if campaign is None or test is None or test["status"] != "running":
            return None
        # Read again under the lock: an evaluation that came in between may say something else.
        evaluation = ab_tests_db.latest_evaluation(connection, test_id)
        if evaluation is None or not State(evaluation["state"]).is_terminal:
            return None
        return take(
            connection,
            campaign,
            test,
            outcome=evaluation["state"],
            winner=evaluation["verdict"]["winner"],
            decided_by=ENGINE,
            reason=evaluation["reason"],
            is_by_hand=False,
            evaluation_id=evaluation["id"],
            now=now,
        )


def take(
    connection: Connection,
    campaign: Mapping[str, Any],
    test: Mapping[str, Any],
    *,
    outcome: Outcome,
    winner: str | None,
    decided_by: str,
    reason: str,
    is_by_hand: bool,
    evaluation_id: UUID | None,
    now: datetime,
) -> Decision | None:
    """Write the decision on a test; None when there is one already. Campaign and test must be
    locked, the campaign first.
    """
    test_id: UUID = test["id"]
    campaign_id: UUID = campaign["id"]
    decision_id = ab_tests_db.insert_decision(
        connection,
        test_id,
        outcome=outcome,
        winner=winner,
        decided_by=decided_by,
        reason=reason,
        is_by_hand=is_by_hand,
        evaluation_id=evaluation_id,
        now=now,
    )
    if decision_id is None:
        return None
    ab_tests_db.end_test(connection, test_id, outcome=outcome, winner=winner, now=now)
    steps = [] if winner is None else first_steps(connection, campaign, test, winner)
    ab_tests_db.mark_campaign_decided(connection, campaign_id, step_ids=steps, now=now)
    ending = f"{winner} won" if winner is not None else "no winner"
    ab_tests_db.snapshot(
        connection,
        campaign_id,
        description=f"A/B test at {test['split_node_id']} ended: {ending}",
        now=now,
    )
    decision = Decision(
        decision_id=decision_id,
        test_id=test_id,
        campaign_id=campaign_id,
        campaign=campaign["name"],
        split_node_id=test["split_node_id"],
        outcome=outcome,
        winner_variant=winner,
        decided_by=decided_by,
        reason=reason,
        is_by_hand=is_by_hand,
        evaluation_id=evaluation_id,
        decided_at=now,
    )
    ab_tests_db.log_decision(
        connection,
        test_id,
        winner=winner,
        is_by_hand=is_by_hand,
        event_data={
            "ab_test_id": test_id,
            "outcome": outcome,
            "winner": winner,
            "decided_by": decided_by,
            "reason": reason,
            "evaluation_id": evaluation_id,
        },
        version=campaign["published_version"],
        now=now,
    )
    return decision


def first_steps(
    connection: Connection, campaign: Mapping[str, Any], test: Mapping[str, Any], winner: str
) -> list[str]:
    """The ids of the winning variant's first step, the best known first: as published now, then as
    it was when the test began.
    """
    found: list[str] = []
    try:
        graph = graphs.version(connection, campaign["id"], campaign["published_version"] or 0).graph
        node_id = graph.first_node_of_variant(test["split_node_id"], winner)
        step_id = graph.nodes[node_id].step_id if node_id is not None else None
        found += [step_id] if step_id else []
    except (VersionNotFound, KeyError):
        pass  # the split is not in what is published now
    listed = test["config"].get("variants") or ()
    found += [
        variant["first_step_id"]
        for variant in listed
        if variant.get("id") == winner and variant.get("first_step_id")
    ]
    return found
