"""A goal ends the run: reason `goal`, one event `goal_reached`, and no further message."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.conditions.event_matcher import GoalEvent
from drip_pipeline.domain.graph.nodes import EmailConfig
from drip_pipeline.engine.enrollment.audience import Everybody
from drip_pipeline.engine.enrollment.enroll import enroll
from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.engine.operations.requeue import requeue
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.settings import Settings
from tests.conftest import own_database
from tests.engine.events.goals import (
    DAY,
    FILE,
    at_goal,
    completed,
    holds,
    inside,
    purchase,
    runs,
    two_mails,
)
from tests.engine.events.incoming import ingest, minutes, rows, value
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    a_workspace,
    an_event,
    contacts,
    enrolled,
    people_inside,
    run_until_idle,
)
from tests.engine.graphs import email, end, goal, graph, split, trigger, wait_hours


def test_a_purchase_between_two_mails_ends_the_run_once(database: Database) -> None:
    people_inside(database, two_mails(), 3)
    run_until_idle(database)
    events = [purchase(1, 1, 60), purchase(2, 1, 61), purchase(3, 2, 62)]
    assert ingest(database, events).ended == 2
    assert ingest(database, [*events, purchase(4, 1, 90)], now=NOW + 2 * DAY).ended == 0
    run_until_idle(database, NOW + 2 * DAY)
    assert runs(database) == [at_goal(1, 1), at_goal(2, 1), completed(3)]
    # Conversions count as before: the purchase comes after the first mail.
    converted = "SELECT count(*) FROM campaign_events WHERE event_type = 'converted'"
    assert value(database, converted) == 4
    holds(database, NOW + 2 * DAY)


def test_a_purchase_before_the_first_mail_ends_the_run(database: Database) -> None:
    inside(database, 2)
    assert ingest(database, [purchase(1, 1, 1)]).ended == 1
    run_until_idle(database)
    run_until_idle(database, NOW + 2 * DAY)
    assert runs(database) == [at_goal(1, 0), completed(2)]
    holds(database, NOW + 2 * DAY)


def test_a_purchase_while_the_mail_lies_in_the_outbox_stops_it(database: Database) -> None:
    people_inside(database, two_mails(), 2)
    run_until_idle(database)
    advance_batch(database, now=NOW + DAY, batch_size=10)
    assert value(database, "SELECT count(*) FROM campaign_deliveries WHERE status = 'pending'") == 2
    assert ingest(database, [purchase(1, 1, 24 * 60 + 1)], now=NOW + DAY).ended == 1
    run_until_idle(database, NOW + DAY)
    assert runs(database) == [at_goal(1, 1), completed(2)]
    assert rows(
        database,
        "SELECT event_data ->> 'reason' FROM campaign_events WHERE event_type = 'message_skipped'",
    ) == [("goal",)]
    holds(database, NOW + DAY)


def test_a_goal_that_does_not_end_runs_counts_only(database: Database) -> None:
    people_inside(database, replace(two_mails(), exits_at_goal=False), 1)
    run_until_idle(database)
    report = ingest(database, [purchase(1, 1, 60)])
    assert (report.ended, report.conversions) == (0, 1)
    run_until_idle(database, NOW + 2 * DAY)
    assert runs(database) == [completed(1)]


def test_only_events_that_match_the_goal_end_the_run(database: Database) -> None:
    large = GoalEvent.model_validate(
        {
            "event_type": "purchase",
            "where": {"type": "field", "field": "value", "operator": ">=", "value": 100},
        }
    )
    people_inside(database, two_mails(large), 2)
    run_until_idle(database)
    events = [purchase(1, 1, 60, value=99), purchase(2, 2, 60, value=100)]
    assert ingest(database, events).ended == 1
    run_until_idle(database, NOW + 2 * DAY)
    assert runs(database) == [completed(1), at_goal(2, 1)]


def test_events_from_before_the_run_machines_and_other_campaigns_do_not_end_it(
    database: Database,
) -> None:
    people_inside(database, two_mails(), 1)
    with database.transaction() as connection:
        a_published_campaign(connection, two_mails(), name="Other")
    run_until_idle(database)
    events = [
        purchase(1, 1, -5),
        purchase(2, 1, 5, machine=True),
        purchase(3, 1, 5) | {"campaign": "Other"},
    ]
    assert ingest(database, events).ended == 0


def test_a_purchase_in_the_second_in_which_the_run_began_ends_it(database: Database) -> None:
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, two_mails())
        people = contacts(connection, campaign.workspace_id, 1)
        enrolled(connection, campaign, people, at=NOW + timedelta(milliseconds=700))
    assert ingest(database, [purchase(1, 1, 0)]).ended == 1


def test_a_no_takes_precedence_over_the_goal(database: Database) -> None:
    people_inside(database, two_mails(), 1)
    leaves = an_event(2, "email_unsubscribed", email="person1@example.com", occurred_at=minutes(61))
    assert ingest(database, [purchase(1, 1, 60), leaves]).ended == 1
    ((_, status, reason, enrollment, reached, _),) = runs(database)
    assert (status, reason, enrollment, reached) == ("exited", "unsubscribed", "unsubscribed", 0)


def test_a_paused_run_ends_too(database: Database) -> None:
    _, enrollments = people_inside(database, two_mails(), 1)
    run_until_idle(database)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_enrollments SET status = 'paused' WHERE id = ANY(%s)", [enrollments]
        )
    run_until_idle(database, NOW + DAY)
    assert ingest(database, [purchase(1, 1, 60)], now=NOW + DAY).ended == 1
    assert runs(database) == [at_goal(1, 1)]


def test_a_test_counts_contacts_who_left_by_the_goal(database: Database) -> None:
    flow = replace(
        graph(
            trigger("arms"),
            split("arms", {"a": 50, "b": 50}, a="mail_a", b="mail_b"),
            email("mail_a", default="pause"),
            email("mail_b", default="pause"),
            wait_hours("pause", 24, default="second"),
            email("second", default="end"),
            end(),
            goal=goal("purchase", 48),
        ),
        exits_at_goal=True,
    )
    people_inside(database, flow, 10)
    run_until_idle(database)
    assert ingest(database, [purchase(n, n, 60) for n in range(1, 6)]).ended == 5
    run_until_idle(database, NOW + 2 * DAY)
    reached = dict(
        rows(
            database,
            "SELECT s.assigned_variant, count(*) FROM campaign_events v"
            " JOIN campaign_workflow_states s ON s.id = v.enrollment_id"
            " WHERE v.event_type = 'goal_reached' GROUP BY 1",
        )
    )
    converted = dict(
        rows(
            database,
            "SELECT s.assigned_variant, count(*) FROM campaign_message_outcomes o"
            " JOIN campaign_workflow_states s ON s.id = o.enrollment_id"
            " WHERE o.first_converted_at IS NOT NULL GROUP BY 1",
        )
    )
    assert reached == converted
    assert sum(reached.values()) == 5


@pytest.mark.parametrize("exits", [None, True, False])
def test_a_goal_of_a_file_ends_runs_unless_it_says_otherwise(
    database: Database, exits: bool | None
) -> None:
    file = FILE if exits is None else FILE | {"exit_on_goal": exits}
    with database.transaction() as connection:
        contacts(connection, a_workspace(connection), 1)
    publish(database, file, PublishOptions(now=NOW, settings=Settings()))
    enroll(database, "Goal", Everybody(), now=NOW)
    run_until_idle(database)
    assert ingest(database, [purchase(1, 1, 60)]).ended == (exits is not False)
    run_until_idle(database, NOW + 3 * DAY)
    subjects = rows(database, "SELECT subject FROM recorded_messages ORDER BY recorded_at")
    assert subjects == [("Buy",)] if exits is not False else [("Buy",), ("Still not bought?",)]


def test_a_version_of_an_earlier_release_keeps_its_runs_until_it_is_published_again(
    database: Database,
) -> None:
    with database.transaction() as connection:
        contacts(connection, a_workspace(connection), 1)
    options = PublishOptions(now=NOW, settings=Settings())
    assert publish(database, FILE, options).version == 1
    with database.transaction() as connection:
        connection.execute("UPDATE campaign_versions SET goal_ends_runs = false")
    enroll(database, "Goal", Everybody(), now=NOW)
    run_until_idle(database)
    assert ingest(database, [purchase(1, 1, 60)]).ended == 0
    assert publish(database, FILE, options).version == 2
    assert publish(database, FILE, options).version == 2


def test_a_held_message_is_withdrawn_at_once(database: Database) -> None:
    people_inside(database, two_mails(), 2)
    run_until_idle(database)
    advance_batch(database, now=NOW + DAY, batch_size=10)
    rows(
        database,
        "UPDATE campaign_deliveries SET due_at = due_at + interval '9 hours', held_by = 'window',"
        " held_until = due_at + interval '9 hours' WHERE status = 'pending' RETURNING id",
    )
    assert ingest(database, [purchase(1, 1, 24 * 60 + 1)], now=NOW + DAY).ended == 1
    assert rows(
        database,
        "SELECT d.status, d.error_code, e.event_data ->> 'reason' FROM campaign_deliveries d"
        " JOIN campaign_events e ON e.message_id = d.id AND e.event_type = 'message_skipped'",
    ) == [("skipped", "goal", "goal")]
    assert value(database, "SELECT count(*) FROM campaign_deliveries WHERE status = 'pending'") == 1
    holds(database, NOW + DAY)


def test_a_message_that_a_sender_holds_locked_is_not_awaited(database: Database) -> None:
    people_inside(database, two_mails(), 1)
    run_until_idle(database)
    advance_batch(database, now=NOW + DAY, batch_size=10)
    with database.transaction() as sender:
        sender.execute("SELECT FROM campaign_deliveries WHERE status = 'pending' FOR UPDATE")
        assert ingest(database, [purchase(1, 1, 24 * 60 + 1)], now=NOW + DAY).ended == 1
    run_until_idle(database, NOW + DAY)
    assert runs(database) == [at_goal(1, 1)]
    holds(database, NOW + DAY)


def test_a_failed_run_ends_at_the_goal_and_is_not_requeued(database: Database) -> None:
    flow = two_mails()
    refused = replace(
        flow.nodes["second"], config=EmailConfig(subject="{{ name | split: 1, 2, 3 }}", body="x")
    )
    people_inside(database, replace(flow, nodes={**flow.nodes, "second": refused}), 2)
    run_until_idle(database, NOW + DAY)
    failed = "SELECT count(*) FROM campaign_workflow_states WHERE workflow_status = 'failed'"
    assert value(database, failed) == 2
    assert ingest(database, [purchase(1, 1, 24 * 60 + 1)], now=NOW + DAY).ended == 1
    assert value(database, failed) == 1
    assert runs(database)[0] == at_goal(1, 1)
    assert requeue(database, now=NOW + DAY, campaign="Welcome").deliveries == 1
    holds(database, NOW + DAY)


PURCHASES = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 47), st.integers(0, 47)), max_size=6
)


@settings(
    max_examples=8,
    phases=(Phase.generate,),  # an example takes a third of a second
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(PURCHASES)
def test_nobody_gets_a_mail_after_the_goal_in_any_order_of_arrival(
    server_url: str, template: str, purchases: list[tuple[int, int, int]]
) -> None:
    """Each purchase: person, hour in which it happens, and how many hours later it arrives."""
    with own_database(server_url, template) as database:
        _nobody_gets_a_mail_after_the_goal(database, purchases)


def _nobody_gets_a_mail_after_the_goal(
    database: Database, purchases: list[tuple[int, int, int]]
) -> None:
    inside(database, 3)
    arriving: dict[int, list[dict[str, Any]]] = {}
    first: dict[int, int] = {}
    for number, (person, hour, delay) in enumerate(purchases):
        arriving.setdefault(min(hour + delay, 47), []).append(purchase(number, person, hour * 60))
        first[person] = min(first.get(person, 99), min(hour + delay, 47))
    for hour in range(48):
        now = NOW + timedelta(hours=hour)
        ingest(database, arriving.get(hour, []), now=now)
        run_until_idle(database, now)
    for mail, status, reason, _, reached, messages in runs(database):
        arrived = first.get(int(mail[6]), 99)
        expected = 0 if arrived == 0 else 1 if arrived <= 24 else 2
        assert messages == expected
        assert (status, reason, reached) == (
            ("exited", "goal", 1) if arrived <= 24 else ("completed", None, 0)
        )
    holds(database, NOW + 2 * DAY)
