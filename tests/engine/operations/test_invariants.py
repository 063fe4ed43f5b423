"""The invariants hold after real work, and each detects its violations."""

from __future__ import annotations

from datetime import timedelta

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.metrics.daily_metrics import refresh_stale_days
from drip_pipeline.engine.operations.invariants import INVARIANTS, check_invariants
from tests.engine.events.incoming import LATER, ingest
from tests.engine.factories import NOW, an_event, people_inside, sent_messages
from tests.engine.graphs import email, end, graph, split, trigger, wait_for

CAMPAIGN = graph(
    trigger("split"),
    split("split", {"a": 40, "b": 40, "holdout": 20}, a="mail_a", b="mail_b"),
    email("mail_a", default="wait"),
    email("mail_b", default="wait"),
    wait_for("wait", "email_opened", event="end", timeout="end"),
    end(),
)


@pytest.fixture
def worked(database: Database) -> Database:
    """Run a campaign and ingest events of every kind."""
    campaign, _ = people_inside(database, CAMPAIGN, 60)
    with database.transaction() as connection:
        sent = sent_messages(connection, campaign)
    kinds = ("email_opened", "email_clicked", "email_unsubscribed", "email_bounced", "converted")
    ingest(
        database,
        [
            an_event(n, kinds[n % 5], message_id=s.message_id, data={"value": 1})
            for n, s in enumerate(sent)
        ],
    )
    refresh_stale_days(database, now=LATER)
    return database


def broken(database: Database) -> dict[str, int]:
    """Return the violated invariants with the number of violations."""
    results = check_invariants(database, now=LATER, are_metrics_fresh=True)
    assert [result.name for result in results] == list(INVARIANTS)
    assert all(result.holds == (result.violations == 0) for result in results)
    assert all(bool(result.sample) != result.holds for result in results)
    return {result.name: result.violations for result in results if not result.holds}


def test_every_invariant_holds_after_real_work(worked):
    assert broken(worked) == {}


# A statement, the invariant it violates, and the number of violations (None: random).
BREAKS: list[tuple[str, str, int | None]] = [
    (
        """DELETE FROM campaign_workflow_states
        WHERE id IN (SELECT id FROM campaign_workflow_states LIMIT 1)""",
        "population",
        1,
    ),
    (
        """UPDATE campaign_message_outcomes SET open_count = open_count + 1
        WHERE message_id IN (SELECT message_id FROM campaign_message_outcomes LIMIT 2)""",
        "outcomes_match_log",
        2,
    ),
    ("UPDATE campaign_daily_metrics SET opens_total = 9999", "metrics_match_outcomes", 2),
    ("DELETE FROM campaign_events WHERE event_type = 'email_sent'", "sent_once", None),
    ("DELETE FROM campaign_message_outcomes", "sent_once", None),
    (
        """INSERT INTO campaign_events (event_type, message_id, created_at, enrollment_id)
        SELECT event_type, message_id, created_at, enrollment_id
        FROM campaign_events WHERE event_type = 'email_sent' LIMIT 1""",
        "sent_once",
        1,
    ),
    (
        "UPDATE campaign_daily_metrics SET opened = sent + 1 WHERE node_id = 'mail_a'",
        "rates",
        1,
    ),
    ("UPDATE campaign_daily_metrics SET failed = -1", "rates", 2),
    (
        """INSERT INTO recorded_messages (
            delivery_id, workspace_id, campaign_id, enrollment_id, node_id, channel, recipient,
            recorded_at
        )
        SELECT delivery_id, workspace_id, campaign_id, enrollment_id, node_id, channel, recipient,
            recorded_at
        FROM recorded_messages LIMIT 3""",
        "recorded_once",
        3,
    ),
    (
        """INSERT INTO campaign_events (event_type, enrollment_id, created_at)
        VALUES ('email_opened', gen_random_uuid(), '2026-03-02')""",
        "no_orphans",
        1,
    ),
    (
        """INSERT INTO contact_events (workspace_id, contact_id, event_type, occurred_at)
        VALUES (gen_random_uuid(), gen_random_uuid(), 'purchase', '2026-03-02')""",
        "no_orphans",
        1,
    ),
]


@pytest.mark.parametrize(("statement", "invariant", "violations"), BREAKS)
def test_an_invariant_detects_its_violations(worked, statement, invariant, violations):
    with worked.transaction() as connection:
        changed = connection.execute(statement).rowcount
        connection.execute("UPDATE campaign_enrollments SET status = 'completed'")
    assert changed
    violated = broken(worked)
    assert invariant in violated
    assert violations is None or violated[invariant] == violations


def test_metrics_that_are_about_to_be_recomputed_are_not_compared(worked):
    with worked.transaction() as connection:
        connection.execute("UPDATE campaign_daily_metrics SET sent = sent + 1")
    [fresh] = check_invariants(
        worked, now=LATER, names=("metrics_match_outcomes",), are_metrics_fresh=True
    )
    [pending] = check_invariants(worked, now=LATER, names=("metrics_match_outcomes",))
    assert (fresh.holds, pending.holds) == (False, True)


def test_older_events_can_be_excluded(worked):
    with worked.transaction() as connection:
        connection.execute("UPDATE campaign_message_outcomes SET open_count = 77")
    names = ("outcomes_match_log",)
    [all_of_it] = check_invariants(worked, now=LATER, names=names)
    [recent] = check_invariants(worked, now=LATER, names=names, since=NOW + timedelta(days=1))
    assert (all_of_it.holds, recent.holds) == (False, True)
