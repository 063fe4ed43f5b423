"""Goals that belong to one run of a contact, and to the variant of a test."""

from __future__ import annotations

from typing import Any

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.enrollment.audience import Everybody
from drip_pipeline.engine.enrollment.enroll import EntryOptions, enroll
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.settings import Settings
from tests.engine.events.goals import (
    DAY,
    FILE,
    holds,
    purchase,
)
from tests.engine.events.incoming import ingest, rows
from tests.engine.factories import (
    NOW,
    a_workspace,
    contacts,
    run_until_idle,
)

BY_ORDER = (
    "SELECT e.personalization_data ->> 'order_id', s.exit_reason, o.first_converted_at IS NOT NULL"
    " FROM campaign_workflow_states s JOIN campaign_enrollments e ON e.id = s.id"
    " JOIN campaign_message_outcomes o ON o.enrollment_id = e.id ORDER BY 1"
)


def two_orders(database: Database, **keys: Any) -> None:
    """One contact in two runs, of the orders 17 and 18."""
    file = FILE | {
        "re_entry": {"per_key": "order_id"},
        "goal_event": {"event_type": "purchase", "match": {"order_id": "entry.order_id"}},
    }
    file |= keys
    with database.transaction() as connection:
        contacts(connection, a_workspace(connection), 1)
    publish(database, file, PublishOptions(now=NOW, settings=Settings()))
    for order in (17, 18):
        enroll(
            database, "Goal", Everybody(), now=NOW, options=EntryOptions(data={"order_id": order})
        )


def test_a_goal_of_one_order_ends_the_run_of_this_order(database: Database) -> None:
    two_orders(database)
    run_until_idle(database)
    events = [
        purchase(1, 1, 60, order_id="18"),
        purchase(2, 1, 61, order_id=19),
        purchase(3, 1, 62),
    ]
    report = ingest(database, events)
    assert (report.ended, report.conversions) == (1, 1)
    assert rows(database, BY_ORDER) == [("17", None, False), ("18", "goal", True)]
    holds(database, NOW)


def test_a_purchase_of_one_order_that_is_known_before_the_mails_converts_this_order(
    database: Database,
) -> None:
    two_orders(database, exit_on_goal=False)
    events = [purchase(1, 1, 0, order_id="18"), purchase(2, 1, 0, order_id=19)]
    assert ingest(database, events, now=NOW).ended == 0
    run_until_idle(database)
    assert rows(database, BY_ORDER) == [("17", None, False), ("18", None, True)]
    holds(database, NOW)


TESTED: dict[str, Any] = {
    "name": "Tested",
    "campaign_type": "ab_test",
    "goal_metric": "conversion_rate",
    "goal_event": {"event_type": "purchase"},
    "ab_test_config": {"enabled": True, "winner_metric": "conversion_rate", "variants": [
        {"id": "a", "name": "A", "percentage": 50, "step_ids": ["mail_a"]},
        {"id": "b", "name": "B", "percentage": 50, "step_ids": ["mail_b"]}]},
    "steps": [
        {"node_type": "trigger", "node_id": "start"},
        {"node_type": "split", "node_id": "arms"},
        {"node_type": "email", "node_id": "mail_a", "variant_group": "a", "channel_config": {
            "email": {"subject": "A", "body": "x {{ unsubscribe_url }}"}}},
        {"node_type": "email", "node_id": "mail_b", "variant_group": "b", "channel_config": {
            "email": {"subject": "B", "body": "x {{ unsubscribe_url }}"}}},
        {"node_type": "wait", "node_id": "pause", "wait_config": {
            "type": "duration", "value": 2, "unit": "days"}},
    ],
    "canvas_data": {
        "nodes": [{"id": n, "type": t} for n, t in (
            ("start", "trigger"), ("arms", "split"), ("mail_a", "email"), ("mail_b", "email"),
            ("pause", "wait"))],
        "edges": [
            {"id": "1", "source": "start", "target": "arms"},
            {"id": "2", "source": "arms", "target": "mail_a", "sourceHandle": "a"},
            {"id": "3", "source": "arms", "target": "mail_b", "sourceHandle": "b"},
            {"id": "4", "source": "mail_a", "target": "pause"},
            {"id": "5", "source": "mail_b", "target": "pause"}],
    },
}  # fmt: skip


def test_the_event_of_the_goal_and_the_test_name_the_variant(database: Database) -> None:
    with database.transaction() as connection:
        contacts(connection, a_workspace(connection), 12)
    publish(database, TESTED, PublishOptions(now=NOW, settings=Settings()))
    enroll(database, "Tested", Everybody(), now=NOW)
    run_until_idle(database)
    assert ingest(database, [purchase(n, n, 60) for n in range(1, 7)]).ended == 6
    reached = dict(
        rows(
            database,
            "SELECT variant_group, count(*) FROM campaign_events"
            " WHERE event_type = 'goal_reached' GROUP BY 1",
        )
    )
    counted = dict(
        rows(
            database,
            "SELECT c.variant_group, c.total_converted FROM campaign_ab_tests t CROSS JOIN LATERAL"
            " count_ab_test_variants(ARRAY[t.id], ARRAY['conversion_rate'], ARRAY[0.0], %s) c"
            " WHERE c.total_converted > 0",
            NOW + DAY,
        )
    )
    assert reached == counted
    assert sum(counted.values()) == 6
    assert set(reached) <= {"a", "b"}
