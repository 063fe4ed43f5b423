"""Days of figures are days on the clock of each workspace, through every change of clocks, and
however they are counted, the same figures come of it.
"""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.campaigns.workspaces import set_time_zone
from drip_pipeline.engine.metrics.daily_metrics import (
    aggregate_days,
    days_between,
    days_to_refresh,
    refresh_stale_days,
)
from drip_pipeline.engine.metrics.rebuild_outcomes import rebuild_outcomes
from drip_pipeline.engine.operations.invariants import check_invariants
from drip_pipeline.errors import DataRejected, NotAllowed
from tests.engine.events.incoming import ONE_MAIL, ingest, mailed, rows, value
from tests.engine.factories import (
    NOW,
    Published,
    a_published_campaign,
    a_workspace,
    an_event,
    contacts,
    enrolled,
    run_until_idle,
)

TODAY = NOW.date()
DAY = timedelta(days=1)
KEY = "metric_date, campaign_id, campaign_version, node_id, channel, variant_group"
# East and west of everybody, half an hour off, and two whose clocks go back over midnight.
ZONES = ("UTC", "America/New_York", "Pacific/Kiritimati", "Asia/Kolkata", "Atlantic/Azores")
# BACKFILL_MESSAGES=200000 is a size for an afternoon.
MESSAGES = int(os.environ.get("BACKFILL_MESSAGES", "1000"))


def a_campaign_in(database: Database, time_zone: str) -> Published:
    with database.transaction() as connection:
        workspace_id = a_workspace(connection, f"People of {time_zone}")
        campaign = a_published_campaign(
            connection, ONE_MAIL, workspace_id=workspace_id, name=f"Welcome to {time_zone}"
        )
    set_time_zone(database, f"People of {time_zone}", time_zone, now=NOW)
    return campaign


def sent_at(database: Database, campaign: Published, moments: list[datetime]) -> list[UUID]:
    """Insert a message at each of these times; return their ids."""
    with database.transaction() as connection:
        people = contacts(
            connection, campaign.workspace_id, len(moments), prefix=f"{campaign.campaign_id.hex}-"
        )
        ids = enrolled(connection, campaign, people)
        connection.execute(
            "WITH sent AS (INSERT INTO campaign_message_outcomes (message_id, workspace_id, "
            "campaign_id, campaign_version, enrollment_id, contact_id, node_id, channel, sent_at, "
            "variant_group) "
            "SELECT s.id, s.workspace_id, s.campaign_id, 1, s.id, s.contact_id, 'mail', 'email', "
            "u.at, chr(97 + (u.n %% 2)::int) "
            "FROM campaign_workflow_states s "
            "JOIN unnest(%s::uuid[], %s::timestamptz[]) WITH ORDINALITY AS u (id, at, n) "
            "ON u.id = s.id RETURNING *) "
            "INSERT INTO campaign_events (id, campaign_id, enrollment_id, contact_id, event_type, "
            "node_id, created_at, workspace_id, campaign_version, variant_group, message_id) "
            "SELECT t.message_id, t.campaign_id, t.enrollment_id, t.contact_id, 'email_sent', "
            "t.node_id, t.sent_at, t.workspace_id, 1, t.variant_group, t.message_id FROM sent t",
            [ids, moments],
        )
    return ids


def figures(database: Database) -> list[tuple[Any, ...]]:
    return rows(database, f"SELECT * FROM campaign_daily_metrics ORDER BY {KEY}")


def sent_by_day(database: Database) -> dict[date, int]:
    return dict(
        rows(database, "SELECT metric_date, sum(sent)::int FROM campaign_daily_metrics GROUP BY 1")
    )


# --- whose day it is ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time_zone", "moments", "expected"),
    [
        ("UTC", ["2026-03-01T23:59:59Z", "2026-03-02T00:00:00Z"], [1, 2]),
        ("Asia/Kolkata", ["2026-03-01T18:29:59Z", "2026-03-01T18:30:00Z"], [1, 2]),
        ("Pacific/Kiritimati", ["2026-03-01T09:59:59Z", "2026-03-01T10:00:00Z"], [1, 2]),
        ("Pacific/Pago_Pago", ["2026-03-02T10:59:59Z", "2026-03-02T11:00:00Z"], [1, 2]),
        # Summer time begins on the 8th: that day has 23 hours.
        ("America/New_York", ["2026-03-08T04:59:59Z", "2026-03-08T05:00:00Z"], [7, 8]),
        ("America/New_York", ["2026-03-09T03:59:59Z", "2026-03-09T04:00:00Z"], [8, 9]),
        # Midnight itself does not exist when summer time begins at midnight.
        ("Asia/Beirut", ["2026-03-28T21:59:59Z", "2026-03-28T22:00:00Z"], [28, 29]),
    ],
)
def test_a_day_is_one_on_the_clock_of_the_workspace(database, time_zone, moments, expected):
    campaign = a_campaign_in(database, time_zone)
    sent_at(database, campaign, [datetime.fromisoformat(moment) for moment in moments])
    marked = rows(database, "SELECT DISTINCT metric_date FROM stale_metric_days ORDER BY 1")
    assert [day.day for (day,) in marked] == expected
    aggregate_days(database, days_between(date(2026, 2, 27), date(2026, 4, 1)))
    assert {day.day: sent for day, sent in sent_by_day(database).items()} == dict.fromkeys(
        expected, 1
    )


@pytest.mark.parametrize(
    ("time_zone", "moments"),
    [
        # Here the first hour of the day comes twice, there the last hour of the day before.
        ("Atlantic/Azores", ["2026-10-24T23:30:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30Z"]),
        ("Asia/Beirut", ["2026-10-24T20:30Z", "2026-10-24T21:30Z", "2026-10-24T22:30Z"]),
    ],
)
def test_an_hour_that_comes_twice_is_counted_on_the_date_that_clocks_show(
    database, time_zone, moments
):
    campaign = a_campaign_in(database, time_zone)
    at = [datetime.fromisoformat(moment) for moment in moments]
    sent_at(database, campaign, at)
    aggregate_days(database, days_between(date(2026, 10, 23), date(2026, 10, 27)))
    shown = [moment.astimezone(ZoneInfo(time_zone)).date() for moment in at]
    assert sent_by_day(database) == {day: shown.count(day) for day in set(shown)}
    assert sum(sent_by_day(database).values()) == 3


def test_one_day_holds_each_workspaces_own_hours(database):
    moment = datetime(2026, 3, 2, 3, tzinfo=UTC)  # still the 1st in New York
    for time_zone in ("UTC", "America/New_York"):
        sent_at(database, a_campaign_in(database, time_zone), [moment])
    aggregate_days(database, [date(2026, 3, 1)])
    found = (
        "SELECT w.time_zone FROM campaign_daily_metrics m JOIN workspaces w ON w.id = workspace_id"
    )
    assert rows(database, found) == [("America/New_York",)]
    aggregate_days(database, [date(2026, 3, 2)])
    assert rows(database, f"{found} ORDER BY metric_date") == [("America/New_York",), ("UTC",)]


def test_the_day_that_has_begun_in_the_east_is_counted(database):
    campaign = a_campaign_in(database, "Pacific/Auckland")
    evening = datetime(2026, 3, 2, 20, tzinfo=UTC)
    sent_at(database, campaign, [evening])
    assert days_to_refresh(database, now=evening)[-1] == date(2026, 3, 3)
    refresh_stale_days(database, now=evening)
    assert sent_by_day(database) == {date(2026, 3, 3): 1}


def test_unsent_messages_are_counted_on_the_workspaces_day_and_mark_it(database):
    campaign = a_campaign_in(database, "Pacific/Auckland")
    with database.transaction() as connection:
        people = contacts(connection, campaign.workspace_id, 2)
        enrolled(connection, campaign, people)
        connection.execute(
            "INSERT INTO campaign_suppressions (workspace_id, address, reason, created_at) "
            "SELECT workspace_id, email, 'manual', %s FROM contacts",
            [NOW],
        )
    evening = datetime(2026, 3, 2, 20, tzinfo=UTC)
    run_until_idle(database, evening)
    assert rows(database, "SELECT DISTINCT metric_date FROM stale_metric_days") == [
        (date(2026, 3, 3),)
    ]
    refresh_stale_days(database, now=evening + 40 * DAY)
    counted = "SELECT metric_date, sent, skipped FROM campaign_daily_metrics"
    assert rows(database, counted) == [(date(2026, 3, 3), 0, {"manual": 2})]


def test_outcomes_are_rebuilt_for_the_workspaces_day_alone(database):
    campaign = a_campaign_in(database, "America/New_York")
    before, after = datetime(2026, 3, 2, 4, tzinfo=UTC), datetime(2026, 3, 2, 6, tzinfo=UTC)
    sent_at(database, campaign, [before, after])
    with database.transaction() as connection:
        connection.execute("UPDATE campaign_message_outcomes SET open_count = 7")
    assert rebuild_outcomes(database, [date(2026, 3, 1)]) == 1
    right = "SELECT sent_at FROM campaign_message_outcomes WHERE open_count = 0"
    assert rows(database, right) == [(before,)]


# --- another time zone ----------------------------------------------------------------------------


def test_changing_the_zone_marks_all_days_and_counting_them_gives_what_a_backfill_gives(database):
    mailed(database, 3)
    late = [NOW.replace(hour=hour) + n * DAY for n in range(5) for hour in (1, 12, 23)]
    campaign = a_campaign_in(database, "UTC")
    sent_at(database, campaign, late)
    refresh_stale_days(database, now=NOW + 10 * DAY)
    moved = set_time_zone(database, "People of UTC", "Asia/Tokyo", now=NOW)
    assert (moved.before, moved.time_zone, moved.stale_days) == ("UTC", "Asia/Tokyo", 7)
    refresh_stale_days(database, now=NOW + 10 * DAY)
    incremental = figures(database)
    assert sum(sent_by_day(database).values()) == 18
    assert sent_by_day(database)[TODAY + 5 * DAY] == 1
    with database.transaction() as connection:
        connection.execute("DELETE FROM campaign_daily_metrics")
    aggregate_days(database, days_between(TODAY - 3 * DAY, TODAY + 10 * DAY))
    assert figures(database) == incremental


def test_the_same_zone_again_changes_nothing(database):
    mailed(database, 3)
    refresh_stale_days(database, now=NOW)
    moved = set_time_zone(database, None, "UTC", now=NOW)
    assert (moved.before, moved.stale_days) == ("UTC", 0)


def test_messages_sent_while_the_zone_changes_are_counted_on_the_new_day(database):
    campaign = a_campaign_in(database, "UTC")
    late = datetime(2026, 3, 2, 23, tzinfo=UTC)
    with ThreadPoolExecutor(1) as pool:
        with database.transaction() as sending:
            people = contacts(sending, campaign.workspace_id, 1)
            [state] = enrolled(sending, campaign, people)
            sending.execute(
                "INSERT INTO campaign_message_outcomes (message_id, workspace_id, campaign_id, "
                "campaign_version, enrollment_id, contact_id, node_id, channel, sent_at) "
                "VALUES (%s, %s, %s, 1, %s, %s, 'mail', 'email', %s)",
                [state, campaign.workspace_id, campaign.campaign_id, state, people[0], late],
            )
            moving = pool.submit(set_time_zone, database, "People of UTC", "Asia/Tokyo", now=NOW)
            with pytest.raises(TimeoutError):
                moving.result(timeout=0.3)
        moving.result(timeout=10)
    refresh_stale_days(database, now=late + 9 * DAY)
    assert sent_by_day(database) == {date(2026, 3, 3): 1}


def test_an_application_may_change_the_column_and_no_one_may_write_nonsense(database):
    mailed(database, 1)
    refresh_stale_days(database, now=NOW)
    with database.transaction() as connection:
        connection.execute("UPDATE workspaces SET time_zone = 'Europe/Berlin'")
    assert value(database, "SELECT count(*) FROM stale_metric_days") == 3
    for nonsense in ("Europe/Atlantis", "", "   "):
        with pytest.raises(DataRejected), database.transaction() as connection:
            connection.execute("UPDATE workspaces SET time_zone = %s", [nonsense])


@pytest.mark.parametrize(
    ("name", "zone", "told"),
    [
        (None, "Europe/Berln", "unknown time zone 'Europe/Berln'"),
        (None, "+02:00", "unknown time zone '\\+02:00'"),
        ("Nobody", "UTC", "unknown workspace 'Nobody'"),
    ],
)
def test_a_zone_or_a_workspace_that_is_not_there_is_named(database, name, zone, told):
    mailed(database, 1)
    with pytest.raises(NotAllowed, match=told) as raised:
        set_time_zone(database, name, zone, now=NOW)
    assert raised.value.hint
    if zone == "Europe/Berln":
        assert "Europe/Berlin" in raised.value.hint


# --- backfill equals incremental ------------------------------------------------------------------


def test_a_backfill_gives_what_the_days_gave_one_after_the_other(database):
    """Ninety days of sends in five time zones, over both changes to summer time, with events that
    arrive up to a month late, in bursts, while days are counted in between.
    """
    chance = random.Random(7)
    campaigns = [a_campaign_in(database, zone) for zone in ZONES]
    sent: list[tuple[UUID, datetime]] = []
    for campaign in campaigns:
        moments = [
            NOW + timedelta(seconds=chance.randrange(90 * 86_400))
            for _ in range(MESSAGES // len(campaigns))
        ]
        sent += zip(sent_at(database, campaign, moments), moments, strict=True)
    kinds = ("email_delivered", "email_opened", "email_clicked", "converted")
    events = [
        an_event(
            f"{n}-{kind}",
            kind,
            message_id=message_id,
            occurred_at=(at + timedelta(seconds=chance.randrange(30 * 86_400))).isoformat(),
            data={"value": n % 7},
        )
        for n, (message_id, at) in enumerate(sent)
        for kind in kinds[: n % 5]
    ]
    chance.shuffle(events)
    last = NOW + 130 * DAY
    bursts = 12
    size = -(-len(events) // bursts)
    for burst in range(bursts):
        ingest(database, events[burst * size : (burst + 1) * size], now=last)
        refresh_stale_days(database, now=NOW + burst * 130 // bursts * DAY)
    refresh_stale_days(database, now=last)
    incremental = figures(database)
    days = {row[0] for row in incremental}
    assert len(days) >= 90
    assert value(database, "SELECT sum(sent) FROM campaign_daily_metrics") == len(sent)
    assert value(database, "SELECT sum(clicked) FROM campaign_daily_metrics") > 0
    with database.transaction() as connection:
        connection.execute("DELETE FROM campaign_daily_metrics")
    aggregate_days(database, days_between(TODAY - DAY, TODAY + 91 * DAY))
    assert figures(database) == incremental
    one = TODAY + 17 * DAY
    with database.transaction() as connection:
        connection.execute("DELETE FROM campaign_daily_metrics WHERE metric_date = %s", [one])
    aggregate_days(database, [one])
    assert figures(database) == incremental
    found = check_invariants(
        database,
        now=last,
        names=("metrics_match_outcomes", "outcomes_match_log", "rates"),
        are_metrics_fresh=True,
    )
    assert [(law.name, law.violations) for law in found if not law.holds] == []
