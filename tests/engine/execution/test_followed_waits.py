"""Waits until a date or a condition follow changes of their contacts, whatever changes them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.contact_waits import DateWait
from drip_pipeline.domain.graph.nodes import FieldUpdateAction
from drip_pipeline.engine.contacts.import_contacts import import_contacts
from tests.engine.events.incoming import ingest, rows, value
from tests.engine.execution.following import (
    AT,
    BOUGHT,
    HOUR,
    PORTS,
    PRO,
    TRIAL,
    bought,
    inside,
    queued,
    set_field,
    states,
    trial,
    until,
    until_date,
)
from tests.engine.factories import (
    a_published_campaign,
    enrolled,
    run_until_idle,
    the_workspace,
)
from tests.engine.graphs import end, graph, node, trigger


def test_a_date_is_awaited_and_past_and_missing_dates_take_their_ways_out(
    database: Database,
) -> None:
    fields = [
        trial("2026-02-10"), trial("2026-02-10", timezone="Asia/Kathmandu"),
        trial("2026-02-01", timezone="Asia/Tokyo"), trial("2026-01-31"), trial("2026-02-30"),
        trial(None), {}, trial("2026-01-31T23:30:00-05:00"),
    ]  # fmt: skip
    inside(database, until_date(), fields)
    assert states(database) == [
        ("w", "02-10 09:00"), ("w", "02-10 03:15"), ("w", "02-01 00:00"), ("past", None),
        ("missing", None), ("missing", None), ("missing", None), ("w", "02-01 09:00"),
    ]  # fmt: skip
    run_until_idle(database, datetime(2026, 2, 10, 9, tzinfo=UTC))
    assert [place for place, _ in states(database)] == [
        "on", "on", "on", "past", "missing", "missing", "missing", "on",
    ]  # fmt: skip
    ports = rows(
        database,
        "SELECT event_data ->> 'port', count(*) FROM campaign_events"
        " WHERE event_type = 'wait_completed' GROUP BY 1 ORDER BY 1",
    )
    assert ports == [("default", 4), ("missing", 3), ("past", 1)]
    assert queued(database) == 0


def test_a_moved_date_moves_the_wait_within_a_tick(database: Database) -> None:
    _, ids = inside(database, until_date(offset={"value": -3}), [trial("2026-02-10")] * 6)
    assert set(states(database)) == {("w", "02-07 09:00")}
    set_field(database, ids[0], trial_ends_at="2026-02-20")
    set_field(database, ids[1], trial_ends_at="2026-02-02")
    set_field(database, ids[2], trial_ends_at=None)
    set_field(database, ids[3], timezone="Asia/Kathmandu")
    set_field(database, ids[4], plan="pro")
    assert queued(database) == 4
    run_until_idle(database, AT + HOUR)
    assert states(database) == [
        ("w", "02-17 09:00"), ("past", None), ("missing", None), ("w", "02-07 03:15"),
        ("w", "02-07 09:00"), ("w", "02-07 09:00"),
    ]  # fmt: skip
    moved = rows(
        database,
        "SELECT node_id, event_data FROM campaign_events WHERE event_type = 'wait_moved'"
        " ORDER BY 2",
    )
    assert moved == [
        ("w", {"until": "2026-02-07T03:15:00+00:00"}),
        ("w", {"until": "2026-02-17T09:00:00+00:00"}),
    ]
    run_until_idle(database, datetime(2026, 2, 7, 9, tzinfo=UTC))
    assert [place for place, _ in states(database)] == ["w", "past", "missing", "on", "on", "on"]


def by_import(database: Database, folder: Path) -> None:
    file = folder / "people.csv"
    file.write_text("email,trial_ends_at\nperson1@example.com,2026-02-20\n")
    import_contacts(database, file, now=AT)


def by_action(database: Database, folder: Path) -> None:
    config = FieldUpdateAction(field="trial_ends_at", value="2026-02-20")
    flow = graph(trigger("a"), node("a", "action", config, default="end"), end())
    with database.transaction() as connection:
        campaign = a_published_campaign(
            connection, flow, workspace_id=the_workspace(connection), name="Longer trial", now=AT
        )
        ids = connection.execute("SELECT id FROM contacts").fetchall()
        enrolled(connection, campaign, [row[0] for row in ids], at=AT)


def by_merge(database: Database, folder: Path) -> None:
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO contacts AS k (id, workspace_id, email, custom_fields)"
            " SELECT id, workspace_id, email, '{}' FROM contacts"
            " ON CONFLICT (id) DO UPDATE SET custom_fields = %s",
            [Jsonb(trial("2026-02-20"))],
        )


@pytest.mark.parametrize("change", [by_import, by_action, by_merge])
def test_the_wait_moves_whatever_changes_the_contact(
    database: Database, tmp_path: Path, change: Callable[[Database, Path], None]
) -> None:
    inside(database, until_date(), [trial("2026-02-10")])
    change(database, tmp_path)
    run_until_idle(database, AT)
    assert rows(
        database,
        "SELECT to_char(wait_until AT TIME ZONE 'UTC', 'MM-DD HH24:MI')"
        " FROM campaign_workflow_states WHERE wait_until IS NOT NULL",
    ) == [("02-20 09:00",)]


def test_a_date_that_an_action_sets_before_the_wait_counts(database: Database) -> None:
    flow = graph(
        trigger("a"),
        node(
            "a",
            "action",
            FieldUpdateAction(field="trial_ends_at", value="2026-02-20"),
            default="w",
        ),
        node("w", "wait", DateWait.model_validate(TRIAL), **PORTS),
        *map(end, PORTS.values()),
    )
    inside(database, flow, [trial("2026-02-10"), {}])
    assert set(states(database)) == {("w", "02-20 09:00")}
    assert queued(database) == 0


def test_a_wait_that_is_due_is_left_by_its_date_although_another_field_changed(
    database: Database,
) -> None:
    _, ids = inside(database, until_date(), [trial("2026-02-10")])
    set_field(database, ids[0], timezone="UTC")
    run_until_idle(database, datetime(2026, 2, 11, tzinfo=UTC))
    assert states(database) == [("on", None)]


def test_a_paused_enrollment_follows_its_contact_and_stays_paused(database: Database) -> None:
    _, ids = inside(database, until_date(), [trial("2026-02-10")] * 2)
    with database.transaction() as connection:
        connection.execute("UPDATE campaign_workflow_states SET workflow_status = 'paused'")
        connection.execute("UPDATE campaign_enrollments SET status = 'paused'")
    set_field(database, ids[0], trial_ends_at="2026-02-20")
    set_field(database, ids[1], trial_ends_at=None)
    run_until_idle(database, AT)
    assert rows(
        database,
        "SELECT workflow_status, resume_port, to_char(wait_until, 'DD')"
        " FROM campaign_workflow_states ORDER BY 2",
    ) == [("paused", "default", "20"), ("paused", "missing", None)]


def test_a_condition_is_met_on_arrival_or_by_a_change_or_never(database: Database) -> None:
    _, ids = inside(database, until(PRO), [{"plan": "pro"}, {"plan": "free"}, {}])
    assert states(database) == [("met", None), ("w", "02-02 20:00"), ("w", "02-02 20:00")]
    set_field(database, ids[1], plan="pro")
    set_field(database, ids[2], plan="team")
    run_until_idle(database, AT + HOUR)
    assert states(database) == [("met", None), ("met", None), ("w", "02-02 20:00")]
    run_until_idle(database, AT + 48 * HOUR)
    assert [place for place, _ in states(database)] == ["met", "met", "timeout"]
    assert (
        value(database, "SELECT count(*) FROM campaign_events WHERE event_type = 'wait_moved'") == 0
    )


def test_without_a_longest_wait_the_condition_is_checked_once(database: Database) -> None:
    inside(database, until(PRO, 0), [{"plan": "pro"}, {}])
    assert [place for place, _ in states(database)] == ["met", "timeout"]


@pytest.mark.parametrize(
    ("condition", "change"),
    [
        ({"type": "tag", "value": "vip"}, "tags = '{vip}'"),
        ({"type": "score", "operator": ">", "value": 5}, "ai_score = 6"),
        ({"type": "field", "field": "first_name", "operator": "==", "value": "Ann"},
         "name = 'Ann Lee'"),
        ({"type": "field", "field": "company", "operator": "is empty"}, "company = ''"),
        ({"type": "field", "field": "address.city", "operator": "==", "value": "Bonn"},
         "custom_fields = '{\"address\": {\"city\": \"Bonn\"}}'"),
        ({"type": "field", "field": "custom_fields.company", "operator": "==", "value": "x"},
         "custom_fields = '{\"company\": \"x\"}'"),
        ({"type": "field", "field": "last_interaction", "operator": ">", "value": "2026-01-01"},
         "last_interaction = '2026-02-01'"),
        ({"type": "field", "field": "updated_at", "operator": ">", "value": "2026-02-01"},
         "updated_at = '2026-02-03'"),
        ({"type": "field", "field": "status", "operator": "==", "value": "lead"},
         "status = 'lead'"),
        ({"type": "field", "field": "phone", "operator": "contains", "value": "5"},
         "phone = '+15'"),
        ({"type": "field", "field": "lead_score", "operator": ">", "value": 5}, "ai_score = 6"),
    ],
)  # fmt: skip
def test_every_kind_of_field_is_followed(
    database: Database, condition: dict[str, Any], change: str
) -> None:
    inside(database, until(condition), [{"a": 1}])
    with database.transaction() as connection:
        connection.execute("UPDATE contacts SET job_title = 'Clerk'")
    assert queued(database) == 0
    with database.transaction() as connection:
        connection.execute(f"UPDATE contacts SET {change}")
    assert queued(database) == 1
    run_until_idle(database, AT)
    assert states(database) == [("met", None)]


def test_events_are_followed_together_with_fields(database: Database) -> None:
    both = {"type": "composite", "logic": "AND", "sub_conditions": [PRO, BOUGHT]}
    _, ids = inside(database, until(both), [{}] * 3)
    ingest(database, [bought(1, 1), bought(2, 2), bought(3, 3, amount=5)])
    for id_ in (ids[0], ids[2]):
        set_field(database, id_, plan="pro")
    run_until_idle(database, AT + HOUR)
    assert [place for place, _ in states(database)] == ["met", "w", "w"]
    ingest(database, [bought(9, 3)])
    run_until_idle(database, AT + HOUR)
    assert [place for place, _ in states(database)] == ["met", "w", "met"]
