"""Messages are sent inside the window of their campaign and outside of quiet hours.

What is right is computed for each person by itself, by trying times. WINDOW_PEOPLE sets the number
of contacts (50,000 is the full size).
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from typing import Any
from uuid import UUID

import pytest

from drip_pipeline.db.campaigns import workspace_rules as rules_db
from drip_pipeline.db.connection import Database
from drip_pipeline.db.delivery import held_messages as held_db
from drip_pipeline.domain.conditions.time_zones import zone_of
from drip_pipeline.domain.graph.graph import CampaignGraph, GraphNode
from drip_pipeline.domain.graph.local_times import DAYS
from drip_pipeline.domain.graph.windows import SendWindow
from drip_pipeline.engine.campaigns.campaign import show_campaign
from drip_pipeline.engine.campaigns.workspace_rules import clear_quiet_hours, set_quiet_hours
from drip_pipeline.engine.enrollment.audience import Everybody
from drip_pipeline.engine.enrollment.enroll import enroll
from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.engine.metrics.daily_metrics import aggregate_days
from drip_pipeline.engine.metrics.funnel import campaign_funnel
from drip_pipeline.engine.operations.invariants import check_invariants
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import InFlightPolicy, PublishOptions
from drip_pipeline.errors import NotAllowed
from drip_pipeline.settings import Settings
from tests.engine.factories import (
    a_published_campaign,
    contacts,
    enrolled,
    run_until_done,
    run_until_idle,
    the_workspace,
)
from tests.engine.graphs import email, end, graph, trigger

PEOPLE = int(os.environ.get("WINDOW_PEOPLE", "40"))
ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Asia/Tokyo", None]
WORKSPACE_ZONE = "Africa/Casablanca"
MINUTE = timedelta(minutes=1)
WINDOW = {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "20:00"}


def windowed(node: GraphNode, **spec: Any) -> GraphNode:
    return replace(node, send_window=SendWindow.model_validate(spec))


def one_mail(**spec: Any) -> CampaignGraph:
    mail = email("mail", default="end")
    return graph(trigger("mail"), windowed(mail, **spec) if spec else mail, end())


def people(
    database: Database, flow: CampaignGraph, at: datetime, count: int = len(ZONES)
) -> dict[UUID, str | None]:
    """Contacts of all zones in turn, enrolled at `at`: enrollment → time zone."""
    zones = list(islice(cycle(ZONES), count))
    with database.transaction() as connection:
        workspace = the_workspace(connection)
        connection.execute("UPDATE workspaces SET time_zone = %s", [WORKSPACE_ZONE])
        ids = contacts(connection, workspace, count)
        connection.execute(
            "UPDATE contacts k SET custom_fields = jsonb_build_object('timezone', u.zone)"
            " FROM unnest(%s::uuid[], %s::text[]) AS u (id, zone) WHERE k.id = u.id",
            [ids, zones],
        )
        campaign = a_published_campaign(connection, flow, workspace_id=workspace, now=at)
        enrollments = enrolled(connection, campaign, ids, at=at)
    return dict(zip(enrollments, zones, strict=True))


def rows(database: Database, statement: str, *params: Any) -> list[Any]:
    with database.transaction() as connection:
        return connection.execute(statement, params).fetchall()


def sent_times(database: Database) -> dict[UUID, datetime]:
    return dict(rows(database, "SELECT enrollment_id, sent_at FROM campaign_message_outcomes"))


def events(database: Database, event_type: str) -> list[Any]:
    return rows(
        database,
        "SELECT enrollment_id, event_data FROM campaign_events WHERE event_type = %s",
        event_type,
    )


def is_inside(local: datetime, spec: dict[str, Any]) -> bool:
    """Whether a local time is in a range, by its clock alone."""
    clock = f"{local:%H:%M}"
    days = spec.get("days", DAYS)
    today, before = DAYS[local.weekday()], DAYS[local.weekday() - 1]
    if spec["from"] < spec["to"]:
        return today in days and spec["from"] <= clock < spec["to"]
    return (today in days and clock >= spec["from"]) or (before in days and clock < spec["to"])


def first_open(at: datetime, zone: str | None, spec: dict[str, Any]) -> datetime:
    """The first quarter of an hour from `at` on that is inside of the range, by trying."""
    clock = zone_of(zone or WORKSPACE_ZONE)
    while not is_inside(at.astimezone(clock), spec):
        at += 15 * MINUTE
    return at


@pytest.mark.parametrize(
    ("at", "spec"),
    [
        # Before the changes to and from summer time of Berlin and of New York; weekends.
        (datetime(2026, 3, 28, 12, tzinfo=UTC), WINDOW),
        (datetime(2026, 10, 24, 12, tzinfo=UTC), WINDOW),
        (datetime(2026, 3, 7, 23, tzinfo=UTC), {"from": "02:30", "to": "05:00"}),
        (datetime(2026, 10, 31, 20, tzinfo=UTC), {"from": "22:00", "to": "04:00", "days": ["sun"]}),
        (datetime(2026, 3, 2, 9, tzinfo=UTC), {"from": "21:00", "to": "06:00"}),
    ],
)
def test_everybody_is_mailed_when_their_window_opens(
    database: Database, at: datetime, spec: dict[str, Any]
) -> None:
    zones = people(database, one_mail(**spec), at, PEOPLE)
    run_until_done(database, at)
    times = sent_times(database)
    assert times == {each: first_open(at, zone, spec) for each, zone in zones.items()}
    held = {each for each, sent_at in times.items() if sent_at > at}
    assert {row[0] for row in events(database, "message_held")} == held
    results = check_invariants(database, now=max(times.values()))
    assert [each for each in results if not each.holds] == []


def test_a_message_that_would_wait_too_long_is_skipped_with_its_rule(database: Database) -> None:
    at = datetime(2026, 3, 2, 9, tzinfo=UTC)
    limit = {"value": 12, "unit": "hours"}
    zones = people(database, one_mail(**WINDOW, max_delay=limit), at, PEOPLE)
    run_until_done(database, at)
    openings = {each: first_open(at, zone, WINDOW) for each, zone in zones.items()}
    kept = {each: on for each, on in openings.items() if on - at <= timedelta(hours=12)}
    assert sent_times(database) == kept
    skipped = {each: data["reason"] for each, data in events(database, "message_skipped")}
    assert skipped == dict.fromkeys(openings.keys() - kept.keys(), "send_window")


def test_a_closed_window_may_skip_instead_of_waiting(database: Database) -> None:
    at = datetime(2026, 3, 1, 9, tzinfo=UTC)  # a Sunday
    zones = people(database, one_mail(**WINDOW, otherwise="skip"), at)
    run_until_idle(database, at)
    skipped = events(database, "message_skipped")
    assert [data["reason"] for _, data in skipped] == ["send_window"] * len(zones)
    aggregate_days(database, [at.date()])
    counted = rows(database, "SELECT skipped FROM campaign_daily_metrics WHERE skipped <> '{}'")
    assert counted == [({"send_window": len(zones)},)]
    done = rows(database, "SELECT count(*) FROM campaign_enrollments WHERE status = 'completed'")
    assert done == [(len(zones),)]


def test_quiet_hours_hold_marketing_messages_only(database: Database) -> None:
    at = datetime(2026, 3, 2, 21, tzinfo=UTC)
    urgent = replace(email("urgent", default="mail"), kind="transactional")
    flow = graph(trigger("urgent"), urgent, email("mail", default="end"), end())
    zones = people(database, flow, at, PEOPLE)
    set_quiet_hours(database, None, {"from": "20:00", "to": "08:00"}, now=at)
    run_until_done(database, at)
    sent = rows(
        database, "SELECT enrollment_id, sent_at FROM campaign_message_outcomes ORDER BY sent_at"
    )
    open_hours = {"from": "08:00", "to": "20:00"}
    expected = [(each, at) for each in zones]
    expected += [(each, first_open(at, zone, open_hours)) for each, zone in zones.items()]
    assert sorted(sent) == sorted(expected)
    held = events(database, "message_held")
    assert {data["rule"] for _, data in held} == {"quiet_hours"}
    assert all(
        datetime.fromisoformat(data["until"]) == first_open(at, zones[each], open_hours)
        for each, data in held
    )


def held_by_rule(database: Database, at: datetime) -> list[tuple[str, str, int]]:
    with database.transaction() as connection:
        (campaign,) = connection.execute("SELECT id FROM drip_campaigns").fetchone() or (None,)
        assert campaign is not None
        counts = held_db.held(connection, campaign, at)
    return [(each.node_id, each.rule, each.messages) for each in counts]


def test_messages_are_checked_again_when_quiet_hours_end_early(database: Database) -> None:
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    zones = people(database, one_mail(), at)
    quiet = {"from": "00:00", "to": "24:00", "days": ["mon"]}
    set_quiet_hours(database, None, quiet, now=at)
    run_until_idle(database, at)
    in_monday = [zone for zone in zones.values() if zone != "Asia/Tokyo"]  # also Monday there
    assert held_by_rule(database, at) == [("mail", "quiet_hours", len(in_monday) + 1)]
    change = set_quiet_hours(
        database, None, {**quiet, "timezone": "Europe/Berlin"}, now=at + MINUTE
    )
    assert (change.is_changed, change.rechecked) == (True, len(zones))
    run_until_idle(database, at + MINUTE)
    assert sent_times(database) == {}
    cleared = clear_quiet_hours(database, None, now=at + 2 * MINUTE)
    assert cleared.rechecked == len(zones)
    run_until_idle(database, at + 2 * MINUTE)
    assert set(sent_times(database).values()) == {at + 2 * MINUTE}
    again = clear_quiet_hours(database, None, now=at + 2 * MINUTE)
    assert (again.is_changed, again.rechecked) == (False, 0)


def test_the_window_is_checked_again_when_a_message_is_late(database: Database) -> None:
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    people(database, one_mail(**{"from": "14:00", "to": "15:00", "timezone": "UTC"}), at)
    run_until_idle(database, at)
    late = datetime(2026, 3, 2, 18, tzinfo=UTC)  # nothing ran while the window was open
    run_until_idle(database, late)
    assert sent_times(database) == {}
    assert held_by_rule(database, late) == [("mail", "send_window", len(ZONES))]
    funnel = campaign_funnel(database, "Welcome", now=late)
    assert funnel.nodes["mail"].describe_held() == "send window 5, until 2026-03-03 14:00 UTC"
    assert "5 messages wait because of a rule" in funnel.describe()
    (count,) = show_campaign(database, "Welcome", now=late).held
    assert (count.node_id, count.rule, count.messages) == ("mail", "send_window", 5)
    assert show_campaign(database, "Welcome", now=late + timedelta(days=1)).held == []
    run_until_done(database, late)
    assert set(sent_times(database).values()) == {datetime(2026, 3, 3, 14, tzinfo=UTC)}


@pytest.mark.parametrize("window", [None, {"from": "16:00", "to": "18:00", "timezone": "UTC"}])
def test_a_held_message_follows_the_window_of_a_new_version(
    database: Database, window: dict[str, Any] | None
) -> None:
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    options = PublishOptions(now=at, settings=Settings(), in_flight=InFlightPolicy("migrate"))

    def publish_with(window: dict[str, Any] | None) -> None:
        text = {"subject": "Hello", "body": "A text. {{ unsubscribe_url }}"}
        step = {"node_id": "mail", "node_type": "email", "channel_config": {"email": text}}
        file = {"name": "Welcome", "steps": [step], "send_window": window}
        publish(database, file, options)

    with database.transaction() as connection:
        contacts(connection, the_workspace(connection), 3)
    publish_with({"from": "20:00", "to": "21:00", "timezone": "UTC"})
    enroll(database, "Welcome", Everybody(), now=at)
    run_until_idle(database, at)
    assert held_by_rule(database, at) == [("mail", "send_window", 3)]
    publish_with(window)
    run_until_done(database, at)
    sent_at = at if window is None else datetime(2026, 3, 2, 16, tzinfo=UTC)
    assert list(sent_times(database).values()) == [sent_at] * 3


def test_rules_that_appear_later_hold_what_is_in_the_outbox(database: Database) -> None:
    at = datetime(2026, 3, 2, 21, tzinfo=UTC)
    people(database, one_mail(), at)
    assert advance_batch(database, now=at, batch_size=100).claimed == len(ZONES)
    quiet = {"from": "20:00", "to": "08:00", "timezone": "UTC"}
    set_quiet_hours(database, None, quiet, now=at)
    run_until_idle(database, at)
    assert sent_times(database) == {}
    run_until_done(database, at)
    assert set(sent_times(database).values()) == {datetime(2026, 3, 3, 8, tzinfo=UTC)}


def test_a_workspace_without_rules_runs_no_statement_for_them(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: list[str] = []

    def counted(name: str, original: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            run.append(name)
            return original(*arguments, **named)

        return call

    monkeypatch.setattr(rules_db, "rules", counted("rules", rules_db.rules))
    monkeypatch.setattr(held_db, "queued", counted("queued", held_db.queued))
    monkeypatch.setattr(held_db, "hold", counted("hold", held_db.hold))
    at = datetime(2026, 3, 2, 9, tzinfo=UTC)
    mails = [email(f"m{n}", default=f"m{n + 1}") for n in range(4)]
    people(database, graph(trigger("m0"), *mails, end("m4")), at, 100)
    run_until_idle(database, at)
    assert len(rows(database, "SELECT FROM campaign_message_outcomes")) == 400
    # One lookup for all batches of the tick.
    assert run == ["rules"]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"from": "00:00", "to": "24:00"}, "never end"),
        ({"from": "20:00"}, "to is missing"),
        ({"from": "20:00", "to": "8 o'clock"}, "is not a time of day"),
        ({"from": "20:00", "to": "08:00", "timezone": "Middle-earth"}, "is not a time zone"),
    ],
)
def test_quiet_hours_that_mean_nothing_are_refused(
    database: Database, config: dict[str, Any], reason: str
) -> None:
    with database.transaction() as connection:
        the_workspace(connection)
    with pytest.raises(NotAllowed, match=reason):
        set_quiet_hours(database, None, config, now=datetime(2026, 3, 2, tzinfo=UTC))
