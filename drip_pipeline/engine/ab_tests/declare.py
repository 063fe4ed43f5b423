"""Operator decisions on a test: declaring a winner, and clearing the block of a sample-ratio
mismatch. Both are stored with operator and reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from drip_pipeline.db.ab_tests import decisions as decisions_db
from drip_pipeline.db.ab_tests import evaluations as ab_tests_db
from drip_pipeline.db.ab_tests.decisions import NewDecision
from drip_pipeline.db.ab_tests.evaluations import ABTestRow
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.engine import audit
from drip_pipeline.engine.ab_tests.counts import Experiment, read_experiment
from drip_pipeline.engine.ab_tests.decide import Decision, record_decision
from drip_pipeline.engine.ab_tests.judge import evaluate
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.campaigns.campaign import find_campaign
from drip_pipeline.errors import NotAllowed


def declare(
    database: Database,
    campaign: str | UUID,
    *,
    variant: str,
    reason: str,
    decided_by: str,
    now: datetime,
    split_node_id: str | None = None,
    run_id: str | None = None,
    actor: Actor = LIBRARY,
) -> Decision:
    """Declare a variant (id or name) the winner of a campaign's running test, independent of its
    evaluation. `split_node_id` is needed only if several tests have that variant.

    Possible in every state of a running test. Raises NotAllowed otherwise, and names the decision
    of a decided test.
    """
    if not reason.strip():
        raise NotAllowed("a winner cannot be declared without a reason", hint="Add --reason.")
    with database.transaction(is_read_only=True) as connection:
        owner = find_campaign(connection, campaign)
        chosen = _test_of_variant(connection, owner.campaign_id, owner.name, variant, split_node_id)
    # The decision refers to an evaluation of this time.
    evaluate(database, [owner.campaign_id], now=now, run_id=run_id)
    with database.transaction() as connection:
        locked = decisions_db.lock_campaign(connection, owner.campaign_id)
        test = decisions_db.lock_test(connection, chosen.test_id)
        if locked is None or test is None or test.status != "running":
            raise _decided_before(connection, owner.name, chosen.test_id)
        if locked.status == "archived":
            raise NotAllowed(f"campaign {owner.name!r} is archived: its tests have ended")
        winner = chosen.variant(variant)
        assert winner is not None  # _test_of_variant checked it
        evaluation = ab_tests_db.latest_evaluation(connection, chosen.test_id)
        declared = NewDecision(
            outcome="decided_winner",
            winner=winner.variant_group,
            decided_by=decided_by,
            reason=reason.strip(),
            is_by_hand=True,
            evaluation_id=evaluation.id if evaluation else None,
        )
        decision = record_decision(connection, locked, test, declared, now=now)
        if decision is None:
            raise _decided_before(connection, owner.name, chosen.test_id)
        audit.record(
            connection,
            actor,
            "declare_winner",
            owner.subject,
            now=now,
            reason=reason,
            details={
                "winner": decision.winner_variant,
                "split": decision.split_node_id,
                "decided_by": decided_by,
                "decision_id": decision.decision_id,
                "version": find_campaign(connection, owner.campaign_id).version,
            },
        )
        return decision


def clear_sample_ratio(
    database: Database,
    campaign: str | UUID,
    *,
    reason: str,
    cleared_by: str,
    now: datetime,
    split_node_id: str | None = None,
    actor: Actor = LIBRARY,
) -> Experiment:
    """Unblock a test with a sample-ratio mismatch; the next evaluation includes it again. Raises
    NotAllowed if no running test is blocked.
    """
    if not reason.strip():
        raise NotAllowed("a block cannot be cleared without a reason", hint="Add --reason.")
    with database.transaction() as connection:
        owner = find_campaign(connection, campaign)
        blocked = [
            test
            for test in _readable(ab_tests_db.tests_of(connection, [owner.campaign_id]))
            if test.status == "running"
            and test.state == "srm_blocked"
            and split_node_id in (None, test.split_node_id)
        ]
        for test in blocked:
            decisions_db.clear_sample_ratio(
                connection, test.test_id, cleared_by=cleared_by, reason=reason.strip(), now=now
            )
            audit.record(
                connection,
                actor,
                "clear_sample_ratio",
                owner.subject,
                now=now,
                reason=reason,
                details={"split": test.split_node_id, "cleared_by": cleared_by},
            )
            return test
    raise NotAllowed(
        f"no running test of campaign {owner.name!r} is blocked by its sample ratio",
        hint=f"`drip ab results {owner.name!r}` shows the state of its tests.",
    )


def _test_of_variant(
    connection: Connection,
    campaign_id: UUID,
    campaign: str,
    variant: str,
    split_node_id: str | None,
) -> Experiment:
    """Return the running test with that competing variant. Raises NotAllowed."""
    tests = [
        test
        for test in _readable(ab_tests_db.tests_of(connection, [campaign_id]))
        if split_node_id in (None, test.split_node_id)
    ]
    running = [test for test in tests if test.status == "running"]
    having = [test for test in running if test.variant(variant) is not None]
    if len(having) > 1:
        splits = ", ".join(test.split_node_id for test in having)
        raise NotAllowed(
            f"several tests of campaign {campaign!r} have a variant {variant!r}",
            hint=f"Add --split, one of {splits}.",
        )
    if having:
        chosen = having[0].variant(variant)
        if chosen is not None and chosen.is_holdout:
            raise NotAllowed(
                f"{variant!r} is the holdout of the test at {having[0].split_node_id}: it was sent"
                " nothing and cannot win"
            )
        return having[0]
    if running:
        names = ", ".join(v.variant_group for t in running for v in t.variants if not v.is_holdout)
        raise NotAllowed(
            f"no running test of campaign {campaign!r} has a variant {variant!r}",
            hint=f"Its variants are {names}.",
        )
    for test in tests:
        if test.status == "decided":
            raise _decided_before(connection, campaign, test.test_id)
    where = f" at {split_node_id}" if split_node_id else ""
    raise NotAllowed(
        f"campaign {campaign!r} has no running A/B test{where}",
        hint="Publish it with an ab_test_config that is enabled.",
    )


def _decided_before(connection: Connection, campaign: str, test_id: UUID) -> NotAllowed:
    """Build the error for a test that is no longer running."""
    first = decisions_db.decisions_of(connection, [test_id]).get(test_id)
    if first is None:
        return NotAllowed(
            f"the test of campaign {campaign!r} no longer runs: a newer version replaced it",
            hint=f"`drip ab results {campaign!r}` shows the test that runs now.",
        )
    decided_by = first.decided_by if first.is_by_hand else "the engine"
    winner = first.winner_variant
    result = f"{winner} won" if winner is not None else "it ended without a winner"
    return NotAllowed(
        f"the test of campaign {campaign!r} was decided before: {result}, decided by"
        f" {decided_by} at {first.decided_at.isoformat(timespec='seconds')} ({first.reason})",
        hint="The first decision stands. A change of the variants or weights starts a new test.",
    )


def _readable(rows: Iterable[ABTestRow]) -> list[Experiment]:
    return [read_experiment(row) for row in rows if row.config.get("variants")]
