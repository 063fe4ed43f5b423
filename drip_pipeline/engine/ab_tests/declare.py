"""What a person decides about a test: declaring a winner by hand, and lifting the block of a
sample-ratio mismatch. Both are kept with who said so and why.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from drip_pipeline.db import ab_tests as ab_tests_db
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.engine.ab_tests.counts import Experiment, read_experiment
from drip_pipeline.engine.ab_tests.decide import Decision, take
from drip_pipeline.engine.ab_tests.judge import evaluate
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
) -> Decision:
    """Declare a variant (its id or name) the winner of a campaign's running test, whatever the
    figures say. `split_node_id` is needed only when several tests have that variant.

    Works from any state but a decided one. Raises NotAllowed, naming the first decision where there
    is one.
    """
    if not reason.strip():
        raise NotAllowed("a winner cannot be declared without a reason", hint="Say why: --reason.")
    with database.transaction(is_read_only=True) as connection:
        found = find_campaign(connection, campaign)
        chosen = _test_of_variant(connection, found.campaign_id, found.name, variant, split_node_id)
    # The decision points at what was known when it was taken.
    evaluate(database, [found.campaign_id], now=now, run_id=run_id)
    with database.transaction() as connection:
        locked = ab_tests_db.lock_campaign(connection, found.campaign_id)
        test = ab_tests_db.lock_test(connection, chosen.test_id)
        if locked is None or test is None or test["status"] != "running":
            raise _decided_before(connection, found.name, chosen.test_id)
        if locked["status"] == "archived":
            raise NotAllowed(f"campaign {found.name!r} is archived: its tests are over")
        winner = chosen.variant(variant)
        assert winner is not None  # chosen for having it
        evaluation = ab_tests_db.latest_evaluation(connection, chosen.test_id)
        decision = take(
            connection,
            locked,
            test,
            outcome="decided_winner",
            winner=winner.variant_group,
            decided_by=decided_by,
            reason=reason.strip(),
            is_by_hand=True,
            evaluation_id=evaluation["id"] if evaluation else None,
            now=now,
        )
        if decision is None:
            raise _decided_before(connection, found.name, chosen.test_id)
        return decision


def clear_sample_ratio(
    database: Database,
    campaign: str | UUID,
    *,
    reason: str,
    cleared_by: str,
    now: datetime,
    split_node_id: str | None = None,
) -> Experiment:
    """Let a test go on that a sample-ratio mismatch blocked; it is judged again at the next
    judging. Raises NotAllowed when no running test is blocked.
    """
    if not reason.strip():
        raise NotAllowed("a block cannot be lifted without a reason", hint="Say why: --reason.")
    with database.transaction() as connection:
        found = find_campaign(connection, campaign)
        blocked = [
            test
            for test in _readable(ab_tests_db.tests_of(connection, [found.campaign_id]))
            if test.status == "running"
            and test.state == "srm_blocked"
            and split_node_id in (None, test.split_node_id)
        ]
        for test in blocked:
            ab_tests_db.clear_sample_ratio(
                connection, test.test_id, cleared_by=cleared_by, reason=reason.strip(), now=now
            )
            return test
    raise NotAllowed(
        f"no running test of campaign {found.name!r} is blocked by its sample ratio",
        hint=f"`drip ab results {found.name!r}` shows where its tests stand.",
    )


def _test_of_variant(
    connection: Connection,
    campaign_id: UUID,
    campaign: str,
    variant: str,
    split_node_id: str | None,
) -> Experiment:
    """The running test that is meant, and has that variant among those that compete."""
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
            hint=f"Name the split: --split, one of {splits}.",
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
    """The answer to whoever comes second."""
    first = ab_tests_db.decisions_of(connection, [test_id]).get(test_id)
    if first is None:
        return NotAllowed(
            f"the test of campaign {campaign!r} no longer runs: a newer version replaced it",
            hint=f"`drip ab results {campaign!r}` shows the test that runs now.",
        )
    who = "the engine" if not first["is_by_hand"] else first["decided_by"]
    ending = (
        f"{first['winner_variant']} won"
        if first["winner_variant"] is not None
        else "it ended without a winner"
    )
    return NotAllowed(
        f"the test of campaign {campaign!r} was decided before: {ending}, decided by {who} at"
        f" {first['decided_at'].isoformat(timespec='seconds')} ({first['reason']})",
        hint="The first decision stands. A change of the variants or weights starts a new test.",
    )


def _readable(rows: list[dict[str, Any]]) -> list[Experiment]:
    return [read_experiment(row) for row in rows if _has_variants(row)]


def _has_variants(row: Mapping[str, Any]) -> bool:
    return bool(row["config"].get("variants"))
