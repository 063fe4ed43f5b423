"""Frequency caps: nobody gets one marketing message more, the highest priorities go first, and what
is held or skipped names its cap.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from drip_pipeline.channels.protocol import (
    Outcome,
)
from drip_pipeline.db.connection import Database
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.domain.conditions.time_zones import zone_of
from drip_pipeline.engine.campaigns.campaign import show_campaign
from drip_pipeline.engine.campaigns.frequency_caps import (
    set_cap,
)
from drip_pipeline.engine.delivery.fair_share import by_priority, fair_quotas
from drip_pipeline.engine.delivery.group_priorities import ranks_of
from drip_pipeline.engine.delivery.resolve_unknown import resolve_unknown
from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.engine.metrics.daily_metrics import aggregate_days
from drip_pipeline.engine.metrics.funnel import campaign_funnel
from drip_pipeline.engine.metrics.prometheus import read_metrics
from drip_pipeline.engine.operations.invariants import check_invariants
from tests.engine.delivery.capped import (
    DAY,
    MINUTE,
    NOW,
    WEEKLY,
    Provider,
    entering,
    events,
    most_in,
    one_mail,
    one_sms,
    people,
    rows,
    sent,
)
from tests.engine.factories import (
    run_until_done,
    run_until_idle,
)


def test_the_highest_priorities_go_first_and_the_others_wait_until_there_is_a_place(
    database: Database,
) -> None:
    ids = people(database, 30)
    set_cap(database, None, WEEKLY, now=NOW)
    # In the order in which the outbox is filled, the lowest priority is the first.
    entering(database, ids, Low=one_mail(), Middle=one_mail(5), High=one_mail(10))
    for _ in range(6):
        advance_batch(database, now=NOW, batch_size=7)
    run_until_done(database, NOW)
    assert sent(database) == {("High", NOW): 30, ("Middle", NOW): 30, ("Low", NOW + 7 * DAY): 30}
    held = events(database, "message_held")
    until = (NOW + 7 * DAY).isoformat()
    assert [(data["rule"], datetime.fromisoformat(data["until"])) for data in held] == [
        ("cap:weekly", datetime.fromisoformat(until))
    ] * 30
    results = check_invariants(database, now=NOW + 8 * DAY)
    assert [each for each in results if not each.holds] == []


def test_held_messages_are_shown_with_their_cap_and_until_when(database: Database) -> None:
    ids = people(database, 3)
    set_cap(database, None, WEEKLY | {"max": 1}, now=NOW)
    entering(database, ids, Low=one_mail(), High=one_mail(1))
    run_until_idle(database, NOW)
    run_until_idle(database, NOW + MINUTE)
    (count,) = show_campaign(database, "Low", now=NOW + MINUTE).held
    assert (count.node_id, count.rule, count.messages) == ("mail", "cap:weekly", 3)
    assert count.last_until == NOW + 7 * DAY
    funnel = campaign_funnel(database, "Low", now=NOW + MINUTE)
    assert funnel.nodes["mail"].describe_held() == "cap:weekly 3, until 2026-03-09 09:00 UTC"
    metrics = {
        each.labels["reason"]: each.value
        for each in read_metrics(database, now=NOW + MINUTE)
        if each.name == "drip_held_messages"
    }
    assert metrics == {"cap:weekly": 3}


def test_a_cap_may_skip_instead_and_the_enrollment_goes_on(database: Database) -> None:
    ids = people(database, 5)
    set_cap(database, None, WEEKLY | {"max": 1, "on_cap": "skip"}, now=NOW)
    entering(database, ids, Low=one_mail(), High=one_mail(1))
    run_until_done(database, NOW)
    assert {name for name, _ in sent(database)} == {"High"}
    assert [data["reason"] for data in events(database, "message_skipped")] == ["cap:weekly"] * 5
    assert events(database, "message_held") == []
    aggregate_days(database, [NOW.date()])
    counted = rows(database, "SELECT skipped FROM campaign_daily_metrics WHERE skipped <> '{}'")
    assert counted == [({"cap:weekly": 5},)]
    done = rows(database, "SELECT DISTINCT status FROM campaign_enrollments")
    assert done == [("completed",)]


def test_a_message_that_would_wait_too_long_is_skipped(database: Database) -> None:
    ids = people(database, 2)
    limits = {"max": 1, "max_defer": {"value": 3, "unit": "days"}}
    set_cap(database, None, WEEKLY | limits, now=NOW)
    entering(database, ids, First=one_mail())
    run_until_idle(database, NOW)
    entering(database, ids, NOW + DAY, Early=one_mail())  # would wait for six days
    run_until_done(database, NOW + DAY)
    entering(database, ids, NOW + 5 * DAY, Late=one_mail())  # waits for two
    run_until_done(database, NOW + 5 * DAY)
    assert sent(database) == {("First", NOW): 2, ("Late", NOW + 7 * DAY): 2}


def test_several_caps_hold_together_and_each_for_its_channels(database: Database) -> None:
    ids = people(database, 1)
    with database.transaction() as connection:
        connection.execute("UPDATE contacts SET phone = '+15550100001'")
    set_cap(
        database,
        None,
        {"name": "mails", "max": 1, "per": {"value": 1, "unit": "days"}, "channels": ["email"]},
        now=NOW,
    )
    set_cap(database, None, WEEKLY, now=NOW)
    entering(database, ids, First=one_mail())
    run_until_idle(database, NOW)
    entering(database, ids, Text=one_sms(), Second=one_mail(), Third=one_mail(-1))
    run_until_done(database, NOW)
    # The SMS is not an email, but one of two messages a week; it waits for nothing.
    assert sent(database) == {
        ("First", NOW): 1,
        ("Text", NOW): 1,
        ("Second", NOW + 7 * DAY): 1,
        ("Third", NOW + 8 * DAY): 1,
    }


def test_transactional_and_exempt_messages_neither_wait_nor_count(database: Database) -> None:
    ids = people(database, 2)
    set_cap(database, None, WEEKLY | {"max": 1}, now=NOW)
    urgent = one_mail()
    nodes = {**urgent.nodes, "mail": replace(urgent.nodes["mail"], kind="transactional")}
    entering(
        database,
        ids,
        Urgent=replace(urgent, nodes=nodes),
        Exempt=one_mail(100, cap_exempt=True),
        News=one_mail(),
        More=one_mail(-1),
    )
    run_until_done(database, NOW)
    assert sent(database) == {
        ("Urgent", NOW): 2,
        ("Exempt", NOW): 2,
        ("News", NOW): 2,
        ("More", NOW + 7 * DAY): 2,
    }


ZONES = ["Europe/Berlin", "Asia/Kathmandu", "America/Santiago", "Pacific/Kiritimati", None]


@pytest.mark.parametrize(
    ("per", "at"),
    [
        # Midnight of 6 September does not exist in Santiago.
        ("calendar_day", datetime(2026, 9, 5, 12, tzinfo=UTC)),
        ("calendar_day", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        ("calendar_week", datetime(2026, 9, 5, 23, tzinfo=UTC)),
    ],
)
def test_days_and_weeks_are_those_of_the_contact(
    database: Database, per: str, at: datetime
) -> None:
    ids = people(database, len(ZONES))
    with database.transaction() as connection:
        connection.execute("UPDATE workspaces SET time_zone = 'America/New_York'")
        connection.execute(
            "UPDATE contacts k SET custom_fields = jsonb_build_object('timezone', u.zone)"
            " FROM unnest(%s::uuid[], %s::text[]) AS u (id, zone) WHERE k.id = u.id",
            [ids, ZONES],
        )
    set_cap(database, None, {"name": "one", "max": 1, "per": per}, now=at)
    entering(database, ids, at, First=one_mail(1), Second=one_mail())
    run_until_done(database, at)
    found = dict(
        rows(
            database,
            "SELECT contact_id, max(sent_at) FROM campaign_message_outcomes GROUP BY contact_id",
        )
    )
    expected = {}
    for contact, zone in zip(ids, ZONES, strict=True):
        clock = zone_of(zone or "America/New_York")

        def period(instant: datetime, clock: Any = clock) -> Any:
            local = instant.astimezone(clock)
            return local.date() if per == "calendar_day" else local.isocalendar()[:2]

        instant = at
        while period(instant) == period(at):
            instant += 15 * MINUTE
        expected[contact] = instant
    assert found == expected


def test_a_message_behind_one_that_is_suppressed_goes_in_the_next_tick(database: Database) -> None:
    ids = people(database, 2)
    set_cap(database, None, WEEKLY | {"max": 1}, now=NOW)
    entering(database, ids, High=one_mail(9), Low=one_mail())
    advance_batch(database, now=NOW, batch_size=100)
    # The higher message is due, but its enrollment is paused.
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_enrollments e SET status = 'paused' FROM drip_campaigns c"
            " WHERE c.id = e.campaign_id AND c.name = 'High' AND e.contact_id = %s",
            [ids[0]],
        )
    run_until_idle(database, NOW)
    run_until_idle(database, NOW + MINUTE)
    assert sum(sent(database).values()) == 2
    assert sent(database)["High", NOW] == 1
    held = events(database, "message_held")
    assert [data["rule"] for data in held] == ["cap:weekly"]  # behind the one that was sent


def test_a_retry_keeps_its_place_and_a_failed_message_leaves_it(database: Database) -> None:
    ids = people(database, 2)
    set_cap(database, None, WEEKLY | {"max": 1}, now=NOW)
    entering(database, ids, High=one_mail(1), Low=one_mail())
    run_until_idle(database, NOW, email=Provider(Outcome.NOT_SENT))
    run_until_idle(database, NOW + MINUTE, email=Provider(Outcome.NOT_SENT))
    assert sent(database) == {}
    assert len(rows(database, "SELECT FROM contact_sends")) == 2
    retry = NOW + timedelta(hours=1)
    run_until_idle(database, retry, email=Provider(Outcome.REJECTED))
    assert {row[0] for row in rows(database, "SELECT held_by FROM campaign_deliveries")} == {
        None,
        "cap:weekly",
    }
    # What failed does not count: when the held message is checked, there is a place.
    entering(database, ids, retry, Other=one_mail())
    run_until_idle(database, retry)
    assert sent(database) == {("Other", retry): 2}
    run_until_done(database, retry)
    assert sent(database)["Low", retry + 7 * DAY] == 2


def test_a_retry_counts_from_its_own_time(database: Database) -> None:
    ids = people(database, 1)
    set_cap(database, None, WEEKLY | {"max": 1}, now=NOW)
    entering(database, ids, High=one_mail(1))
    run_until_idle(database, NOW, email=Provider(Outcome.NOT_SENT))
    retry = NOW + timedelta(hours=1)
    run_until_idle(database, retry)
    entering(database, ids, retry, Low=one_mail())
    run_until_done(database, retry)
    assert sent(database) == {("High", retry): 1, ("Low", retry + 7 * DAY): 1}


@pytest.mark.parametrize("resolution", ["sent", "not-sent", "skip", None])
def test_an_unknown_outcome_keeps_its_place_until_it_is_known(
    database: Database, resolution: Any
) -> None:
    ids = people(database, 1)
    set_cap(database, None, WEEKLY | {"max": 1}, now=NOW)
    entering(database, ids, High=one_mail(1), Low=one_mail())
    run_until_idle(database, NOW, email=Provider(Outcome.UNKNOWN))
    run_until_idle(database, NOW + MINUTE)
    assert sent(database) == {}
    later = NOW + timedelta(hours=1)
    if resolution is not None:
        resolve_unknown(database, resolution, now=later, channel="email")
    run_until_done(database, later)
    # Low was deferred for a week when the place was taken, and is checked then.
    expected = {("Low", later + 7 * DAY): 1, ("High", later): 1}
    if resolution == "skip":
        expected = {("Low", NOW + 7 * DAY): 1}
    assert sent(database) == expected


def test_engines_that_run_at_once_never_send_one_too_many(database: Database) -> None:
    ids = people(database, 60)
    set_cap(database, None, WEEKLY, now=NOW)
    entering(
        database, ids, A=one_mail(10), B=one_mail(5), C=one_mail(), D=one_mail(-5), E=one_mail(3)
    )
    while advance_batch(database, now=NOW, batch_size=50).claimed:
        pass
    with ThreadPoolExecutor(3) as pool:
        for minute in range(2):
            at = NOW + minute * MINUTE
            list(pool.map(lambda _, at=at: run_until_idle(database, at, email=Provider()), "abc"))
    assert most_in(database, 7 * DAY) <= 2
    for minute in range(2, 5):  # one engine alone sends what the others left to each other
        run_until_idle(database, NOW + minute * MINUTE)
    assert most_in(database, 7 * DAY) == 2
    times = sent(database)
    assert {name for name, _ in times} == {"A", "B"}
    assert sum(times.values()) == 120


def test_the_outbox_is_read_by_priority_and_others_do_not_wait_for_it(database: Database) -> None:
    ids = people(database, 40)
    entering(
        database,
        ids,
        Low=one_mail(),
        High=one_mail(10),
        Exempt=one_mail(cap_exempt=True),
    )
    advance_batch(database, now=NOW, batch_size=1_000)
    with database.transaction() as connection:
        groups = deliveries_db.due_groups(connection, channel="email", count_limit=100, now=NOW)
        assert ranks_of(connection, groups, NOW) is None  # a workspace without caps
    set_cap(database, None, WEEKLY, now=NOW)
    names = dict(rows(database, "SELECT id, name FROM drip_campaigns"))
    with database.transaction() as connection:
        ranks = ranks_of(connection, groups, NOW)
    assert ranks is not None
    quotas = by_priority([group.due for group in groups], fair_quotas([40, 40, 40], 60), ranks)
    found = {names[group.campaign_id]: n for group, n in zip(groups, quotas, strict=True)}
    assert found == {"High": 40, "Low": 0, "Exempt": 20}
