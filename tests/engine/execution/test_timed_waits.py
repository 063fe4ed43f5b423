"""Waits until a time of day and for calendar months: in the contact's zone, once per zone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.domain.compiler.api import load_definition, validate
from drip_pipeline.domain.graph.nodes import DurationWait, FieldUpdateAction, TimeWait
from drip_pipeline.domain.graph.waits import TimedWait
from drip_pipeline.engine.publishing.migrate_states import migrate_states
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.settings import Settings
from tests.engine.factories import (
    Published,
    a_published_campaign,
    contacts,
    enrolled,
    run_until_idle,
    the_workspace,
)
from tests.engine.graphs import end, graph, node, trigger

AT = datetime(2026, 1, 31, 20, tzinfo=UTC)
ZONES = [
    "Europe/Berlin",
    "asia/kathmandu",
    "Tokyo Standard Time",
    "UTC-05:00",
    "Middle-earth",
    None,
]
WORKSPACE_ZONE = "America/New_York"


def zoned_contacts(connection: Connection, workspace: UUID, zones: Sequence[Any]) -> list[UUID]:
    ids = contacts(connection, workspace, len(zones))
    connection.execute(
        "UPDATE contacts k SET custom_fields = jsonb_build_object('timezone', u.zone)"
        " FROM unnest(%s::uuid[], %s::text[]) AS u (id, zone) WHERE k.id = u.id",
        [ids, list(zones)],
    )
    return ids


def waiting(database: Database, wait: TimedWait) -> tuple[Published, list[UUID]]:
    """A campaign that begins with this wait, and the enrollments of contacts in ZONES."""
    flow = graph(trigger("w"), node("w", "wait", wait, default="end"), end())
    with database.transaction() as connection:
        workspace = the_workspace(connection)
        connection.execute("UPDATE workspaces SET time_zone = %s", [WORKSPACE_ZONE])
        ids = zoned_contacts(connection, workspace, ZONES)
        campaign = a_published_campaign(connection, flow, workspace_id=workspace, now=AT)
        enrollments = enrolled(connection, campaign, ids, at=AT)
    run_until_idle(database, AT)
    return campaign, enrollments


def untils(database: Database, enrollments: Sequence[UUID]) -> list[str]:
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT to_char(s.next_execution_at AT TIME ZONE 'UTC', 'MM-DD HH24:MI')"
            " FROM unnest(%s::uuid[]) WITH ORDINALITY AS u (id, n)"
            " JOIN campaign_workflow_states s ON s.id = u.id ORDER BY u.n",
            [list(enrollments)],
        ).fetchall()
    return [row[0] for row in rows]


def test_a_wait_ends_at_the_time_of_day_of_each_contact(database: Database) -> None:
    # It is Saturday, 20:00 UTC. In Kathmandu and Tokyo it is Sunday already.
    _, enrollments = waiting(database, TimeWait(time="09:00", days=("mon", "sun")))
    assert untils(database, enrollments) == [
        "02-01 08:00", "02-01 03:15", "02-01 00:00", "02-01 14:00", "02-01 14:00", "02-01 14:00",
    ]  # fmt: skip
    run_until_idle(database, datetime(2026, 2, 1, 8, tzinfo=UTC))
    with database.transaction() as connection:
        done = connection.execute(
            "SELECT id FROM campaign_workflow_states WHERE workflow_status = 'completed'"
        ).fetchall()
        logged = connection.execute(
            "SELECT count(*) FROM campaign_events WHERE event_type = 'wait_completed'"
        ).fetchone()
    assert {row[0] for row in done} == set(enrollments[:3])
    assert logged == (3,)


def test_a_wait_may_name_another_zone_than_the_contacts(database: Database) -> None:
    _, by_name = waiting(database, TimeWait(time="21:30", timezone="europe/berlin"))
    assert set(untils(database, by_name)) == {"01-31 20:30"}


def test_a_wait_may_follow_the_clock_of_the_workspace(database: Database) -> None:
    _, enrollments = waiting(database, TimeWait(time="15:00", timezone="workspace"))
    # It is 15:00 in New York now: the wait ends tomorrow.
    assert set(untils(database, enrollments)) == {"02-01 20:00"}


def test_a_month_ends_on_the_last_day_of_a_shorter_month(database: Database) -> None:
    # In Kathmandu and Tokyo it is 1 February already, so that the wait ends on 1 March there.
    _, enrollments = waiting(database, DurationWait(value=1, unit="months"))
    assert set(untils(database, enrollments)) == {"02-28 20:00"}
    zones = dict(zip(ZONES, untils(database, enrollments), strict=True))
    assert zones["asia/kathmandu"] == zones["Tokyo Standard Time"] == "02-28 20:00"


def test_a_time_zone_that_an_action_sets_counts_at_once(database: Database) -> None:
    flow = graph(
        trigger("move"),
        node(
            "move", "action", FieldUpdateAction(field="timezone", value="Asia/Tokyo"), default="w"
        ),
        node("w", "wait", TimeWait(time="09:00"), default="end"),
        end(),
    )
    with database.transaction() as connection:
        workspace = the_workspace(connection)
        ids = zoned_contacts(connection, workspace, ZONES)
        campaign = a_published_campaign(connection, flow, workspace_id=workspace, now=AT)
        enrollments = enrolled(connection, campaign, ids, at=AT)
    run_until_idle(database, AT)
    assert set(untils(database, enrollments)) == {"02-01 00:00"}


@pytest.mark.parametrize(
    ("value", "codes"),
    [("Middle-earth", ["timezone_unknown"]), ("asia/tokyo", []), ("{{ entry.zone }}", [])],
)
def test_an_action_sets_a_known_time_zone(value: str, codes: list[str]) -> None:
    action = {"type": "field_update", "config": {"field": "timezone", "value": value}}
    file = a_file({"value": 1, "unit": "days"})
    file["steps"].insert(0, {"node_id": "set", "node_type": "action", "action_config": action})
    problems = validate(
        load_definition(file), known_custom_fields=frozenset(), available_channels=frozenset()
    )
    assert [each.code for each in problems if each.severity == "error"] == codes


def a_file(wait: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "Welcome",
        "steps": [
            {"node_id": "w", "node_type": "wait", "step_name": "Wait", "wait_config": wait},
            {"node_id": "end", "node_type": "exit", "step_name": "End"},
        ],
    }


def options() -> PublishOptions:
    return PublishOptions(now=AT, settings=Settings())


@pytest.mark.parametrize("by_dry_run", [True, False])
@pytest.mark.parametrize(
    ("wait", "expected"),
    [
        (
            {"type": "until_time", "time": "09:00"},
            ["02-01 08:00", "02-01 03:15", "02-01 00:00", *["02-01 14:00"] * 3],
        ),
        ({"type": "duration", "value": 1, "unit": "months"}, ["02-28 20:00"] * 6),
        ({"type": "duration", "value": 5, "unit": "hours"}, ["02-01 01:00"] * 6),
    ],
)  # fmt: skip
def test_a_new_version_measures_the_wait_from_the_arrival(
    database: Database, wait: dict[str, Any], expected: list[str], by_dry_run: bool
) -> None:
    before = a_file({"type": "duration", "value": 9, "unit": "days"})
    with database.transaction() as connection:
        workspace = the_workspace(connection)
        connection.execute("UPDATE workspaces SET time_zone = %s", [WORKSPACE_ZONE])
        ids = zoned_contacts(connection, workspace, ZONES)
    report = publish(database, before, options())
    with database.transaction() as connection:
        published = Published(report.campaign_id, workspace, "Welcome", 1, None)  # type: ignore[arg-type]
        enrollments = enrolled(connection, published, ids, at=AT)
    run_until_idle(database, AT)
    assert set(untils(database, enrollments)) == {"02-09 20:00"}
    later = AT + timedelta(hours=6)
    publish(database, a_file(wait), options())
    report_of = migrate_states(database, "Welcome", now=later, dry_run=by_dry_run).in_flight
    ended = sum(group.ended_by_time for group in report_of.groups)
    assert ended == sum(f"{later:%m-%d %H:%M}" >= until for until in expected)
    if not by_dry_run:
        assert untils(database, enrollments) == expected


@pytest.mark.parametrize(
    ("wait", "code"),
    [
        ({"type": "until_time", "time": "25:00"}, "time_of_day"),
        ({"type": "until_time", "time": "24:00"}, "time_of_day"),
        ({"type": "until_time", "time": 9}, "time_of_day"),
        ({"type": "until_time"}, "config_missing"),
        ({"type": "until_time", "time": "09:00", "days": []}, "weekday"),
        ({"type": "until_time", "time": "09:00", "days": ["someday"]}, "weekday"),
        ({"type": "until_time", "time": "09:00", "timezone": "Middle-earth"}, "zone_unknown"),
        ({"type": "until_time", "time": "09:00", "day": "mon"}, "config_unknown_key"),
        ({"type": "duration", "value": 1.5, "unit": "months"}, "wait_months"),
        ({"type": "duration", "value": 121, "unit": "months"}, "wait_too_long"),
        ({"type": "until_event", "event_type": "purchase", "value": 1, "unit": "months"},
         "config_invalid"),
    ],
)  # fmt: skip
def test_a_wait_that_means_nothing_is_refused(wait: dict[str, Any], code: str) -> None:
    problems = validate(
        load_definition(a_file(wait)),
        known_custom_fields=frozenset(),
        available_channels=frozenset(),
    )
    assert [each.code for each in problems if each.severity == "error"] == [code]


@pytest.mark.parametrize(
    "wait",
    [
        {"type": "until_time", "time": "9:05", "days": "Monday", "timezone": "Contact"},
        {"type": "until_time", "time": "23:59", "days": ["SUN", "saturday"], "timezone": "utc+2"},
        {"type": "duration", "value": 0, "unit": "months"},
        {"value": 12, "unit": "month"},
    ],
)
def test_times_and_days_are_read_as_people_write_them(wait: dict[str, Any]) -> None:
    problems = validate(
        load_definition(a_file(wait)),
        known_custom_fields=frozenset(),
        available_channels=frozenset(),
    )
    assert [each for each in problems if each.severity == "error"] == []
