"""Daily metrics: what is counted, which days are computed again, and where totals are written."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.metrics import daily_metrics as metrics_db
from drip_pipeline.engine.metrics.daily_metrics import (
    aggregate_days,
    campaign_summary,
    days_between,
    days_to_refresh,
    refresh_stale_days,
)
from drip_pipeline.engine.metrics.rebuild_outcomes import rebuild_outcomes
from tests.engine.events.incoming import ingest, mailed, minutes, rows, value
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    an_event,
    contacts,
    enrolled,
    people_inside,
    rows_of,
    run_until_idle,
)
from tests.engine.graphs import email, end, graph, split, trigger, wait_hours

TODAY = NOW.date()
DAY = timedelta(days=1)


def one_day(database: Database, **wanted: Any) -> dict[str, Any]:
    """Return these columns of the only row of metrics."""
    columns = ", ".join(wanted)
    [found] = rows(database, f"SELECT {columns} FROM campaign_daily_metrics")
    return dict(zip(wanted, found, strict=True))


# --- what is counted ------------------------------------------------------------------------------


def test_a_day_counts_messages_once_and_events_in_total(database):
    campaign, sent = mailed(database, 4)
    first, second, third, _ = (s.message_id for s in sent)
    events = [
        an_event(1, "email_delivered", message_id=first),
        an_event(2, "email_opened", message_id=first),
        an_event(3, "email_opened", message_id=first),
        an_event(4, "email_opened", message_id=second, user_agent="Mozilla/5.0"),
        an_event(5, "email_clicked", message_id=second),
        an_event(6, "email_clicked", message_id=second, data={"machine": True}),
        an_event(7, "email_replied", message_id=first),
        an_event(8, "converted", message_id=first, data={"value": 10}),
        an_event(9, "converted", message_id=first, data={"value": 2.5}),
        an_event(10, "email_bounced", message_id=third, data={"bounce_type": "soft"}),
        an_event(11, "email_unsubscribed", message_id=second),
        an_event(12, "email_complained", message_id=second),
        an_event(13, "email_failed", message_id=third),
    ]
    assert ingest(database, events).accepted == len(events)
    [counted] = aggregate_days(database, [TODAY])
    assert (counted.day, counted.rows, counted.sent) == (TODAY, 1, 4)
    expected = {
        "metric_date": TODAY,
        "workspace_id": campaign.workspace_id,
        "campaign_id": campaign.campaign_id,
        "campaign_version": 1,
        "node_id": "mail",
        "channel": "email",
        "variant_group": "",
        "sent": 4,
        "sent_uncertain": 0,
        "delivered": 1,
        "opened": 1,
        "opens_total": 2,
        "machine_opened": 1,
        "clicked": 1,
        "clicks_total": 1,
        "machine_clicked": 1,
        "replied": 1,
        "converted": 1,
        "conversion_value": Decimal("12.50"),
        "unsubscribed": 1,
        "complained": 1,
        "bounced": 1,
        "failed": 1,
        "skipped": {},
    }
    assert one_day(database, **expected) == expected


def test_a_late_event_counts_on_the_day_its_message_was_sent(database):
    _, [sent] = mailed(database)
    late = an_event(1, "email_opened", message_id=sent.message_id, occurred_at=minutes(3 * 24 * 60))
    ingest(database, [late], now=NOW + 4 * DAY)
    aggregate_days(database, days_between(TODAY, TODAY + 4 * DAY))
    assert rows(database, "SELECT metric_date, opened FROM campaign_daily_metrics") == [(TODAY, 1)]


def test_days_end_at_midnight_of_utc(database):
    late_in_the_day = NOW.replace(hour=23, minute=59, second=59)
    with database.transaction() as connection:
        campaign = a_published_campaign(
            connection, graph(trigger("mail"), email("mail", default="end"), end())
        )
        people = contacts(connection, campaign.workspace_id, 2)
        enrolled(connection, campaign, people[:1], at=NOW)
    run_until_idle(database, late_in_the_day)
    with database.transaction() as connection:
        enrolled(connection, campaign, people[1:], at=NOW)
    run_until_idle(database, late_in_the_day + timedelta(seconds=1))
    aggregate_days(database, [TODAY, TODAY + DAY])
    assert rows(
        database, "SELECT metric_date, sent FROM campaign_daily_metrics ORDER BY metric_date"
    ) == [(TODAY, 1), (TODAY + DAY, 1)]


def test_variants_and_nodes_are_counted_separately(database):
    parted = graph(
        trigger("split"),
        split("split", {"a": 50, "b": 50}, a="mail_a", b="mail_b"),
        email("mail_a", default="end"),
        email("mail_b", default="end"),
        end(),
        variant_of_node={"mail_a": ("split", "a"), "mail_b": ("split", "b")},
    )
    people_inside(database, parted, 40)
    aggregate_days(database, [TODAY])
    found = rows(
        database,
        "SELECT node_id, variant_group, sent FROM campaign_daily_metrics ORDER BY node_id",
    )
    assert [row[:2] for row in found] == [("mail_a", "a"), ("mail_b", "b")]
    assert sum(row[2] for row in found) == 40
    summary = campaign_summary(database, by=["variant"])
    assert [row["variant_group"] for row in summary] == ["a", "b"]
    assert sum(row["sent"] for row in summary) == 40


def test_messages_that_were_not_sent_are_counted_by_reason(database):
    two = graph(
        trigger("first"),
        email("first", default="pause"),
        wait_hours("pause", 24, default="second"),
        email("second", default="end"),
        end(),
    )
    people_inside(database, two, 3)
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_suppressions (workspace_id, address, reason, created_at) "
            "SELECT workspace_id, email, CASE email WHEN 'person1@example.com' THEN 'unsubscribed' "
            "ELSE 'complained' END, %s FROM contacts WHERE email <> 'person3@example.com'",
            [NOW],
        )
    run_until_idle(database, NOW + DAY)
    refresh_stale_days(database, now=NOW + DAY)
    assert rows(
        database,
        "SELECT metric_date, node_id, sent, skipped FROM campaign_daily_metrics ORDER BY 1",
    ) == [
        (TODAY, "first", 3, {}),
        (TODAY + DAY, "second", 1, {"unsubscribed": 1, "complained": 1}),
    ]
    [total] = campaign_summary(database)
    assert (total["sent"], total["skipped"]) == (4, 2)


def test_unsent_messages_stay_counted_when_the_log_is_archived(database):
    people_inside(
        database, graph(trigger("mail"), email("mail", default="end"), end()), 1, name="Before"
    )
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_suppressions (workspace_id, address, reason, created_at) "
            "SELECT workspace_id, 'held1@example.com', 'manual', %s FROM contacts LIMIT 1",
            [NOW],
        )
    people_inside(
        database,
        graph(trigger("mail"), email("mail", default="end"), end()),
        2,
        name="After",
        prefix="held",
    )
    refresh_stale_days(database, now=NOW)
    counted = "SELECT c.name, m.sent, m.skipped FROM campaign_daily_metrics m "
    counted += "JOIN drip_campaigns c ON c.id = m.campaign_id ORDER BY 1"
    before = rows(database, counted)
    assert before == [("After", 1, {"manual": 1}), ("Before", 1, {})]
    with database.transaction() as connection:
        connection.execute("TRUNCATE campaign_events")
        connection.execute(
            "INSERT INTO campaign_retention_watermarks (kind, kept_from) VALUES ('log', %s)",
            [NOW + DAY],
        )
    aggregate_days(database, [TODAY])
    aggregate_days(database, [TODAY])
    assert rows(database, counted) == before


# --- which days -----------------------------------------------------------------------------------


def test_late_events_mark_their_day_and_computing_it_deletes_the_mark(database):
    _, [sent] = mailed(database)
    refresh_stale_days(database, now=NOW)
    now = NOW + 9 * DAY
    refresh_stale_days(database, now=now)
    late = an_event(1, "email_opened", message_id=sent.message_id)
    ingest(database, [late], now=now)
    assert rows(database, "SELECT metric_date FROM stale_metric_days") == [(TODAY,)]
    assert TODAY in days_to_refresh(database, now=now)
    refresh_stale_days(database, now=now)
    assert value(database, "SELECT count(*) FROM stale_metric_days") == 0
    assert one_day(database, opened=1) == {"opened": 1}


def test_every_day_since_the_last_one_counted_is_counted(database):
    two = graph(
        trigger("first"),
        email("first", default="pause"),
        wait_hours("pause", 72, default="second"),
        email("second", default="end"),
        end(),
    )
    people_inside(database, two, 2)
    assert days_to_refresh(database, now=NOW) == [TODAY]
    refresh_stale_days(database, now=NOW)
    run_until_idle(database, NOW + 3 * DAY)
    now = NOW + 5 * DAY
    assert days_to_refresh(database, now=now) == days_between(TODAY - DAY, TODAY + 5 * DAY)
    counted = refresh_stale_days(database, now=now)
    assert {day.day: day.sent for day in counted if day.sent} == {TODAY: 2, TODAY + 3 * DAY: 2}


def test_a_day_without_messages_is_not_an_error(database):
    assert days_to_refresh(database, now=NOW) == [TODAY]
    assert [day.rows for day in refresh_stale_days(database, now=NOW)] == [0]
    assert campaign_summary(database) == []
    assert days_between(date(2026, 1, 2), date(2026, 1, 1)) == []


# --- at the same time -----------------------------------------------------------------------------


def test_events_that_are_not_committed_when_their_day_is_counted_mark_it_again(database):
    _, [sent] = mailed(database)
    ingest(database, [an_event(1, "email_opened", message_id=sent.message_id)])
    with database.transaction() as late:
        late.execute("UPDATE campaign_message_outcomes SET first_clicked_at = %s", [NOW])
        aggregate_days(database, [TODAY])
        assert one_day(database, opened=1, clicked=0) == {"opened": 1, "clicked": 0}
    now = NOW + 9 * DAY
    assert TODAY in days_to_refresh(database, now=now)
    refresh_stale_days(database, now=now)
    assert one_day(database, opened=1, clicked=1) == {"opened": 1, "clicked": 1}


def test_the_same_days_can_be_computed_concurrently(database):
    mailed(database, 20)
    days = days_between(TODAY - 3 * DAY, TODAY + 3 * DAY)
    with ThreadPoolExecutor(4) as pool:
        for counted in pool.map(lambda _: aggregate_days(database, days), range(8)):
            assert sum(day.sent for day in counted) == 20
    assert one_day(database, sent=20) == {"sent": 20}


# --- shown ----------------------------------------------------------------------------------------


def test_totals_are_written_to_campaigns_and_steps_next_to_other_keys(database):
    campaign, sent = mailed(database, 3)
    with database.transaction() as connection:
        connection.execute('UPDATE drip_campaigns SET metrics = \'{"own": 1, "sent": 99}\'')
    events = [an_event(n, "email_opened", message_id=s.message_id) for n, s in enumerate(sent[:2])]
    ingest(database, events)
    refresh_stale_days(database, now=NOW)
    shown = value(database, "SELECT metrics FROM drip_campaigns")
    assert {name: shown[name] for name in ("own", "sent", "opened", "clicked", "open_rate")} == {
        "own": 1,
        "sent": 3,
        "opened": 2,
        "clicked": 0,
        "open_rate": 66.67,
    }
    step = campaign.graph.nodes["mail"].step_id
    of_step = value(database, "SELECT metrics FROM campaign_steps WHERE id = %s", step)
    assert (of_step["sent"], of_step["open_rate"]) == (3, 66.67)
    untouched = "SELECT xmin FROM drip_campaigns"
    before = value(database, untouched)
    aggregate_days(database, [TODAY])
    assert value(database, untouched) == before


def test_totals_return_to_zero_when_their_day_is_empty(database):
    mailed(database, 3)
    aggregate_days(database, [TODAY])
    with database.transaction() as connection:
        connection.execute("DELETE FROM campaign_message_outcomes")
    aggregate_days(database, [TODAY])
    shown = value(database, "SELECT metrics FROM drip_campaigns")
    assert (shown["sent"], shown["open_rate"]) == (0, None)


@pytest.mark.parametrize(("part", "whole", "rate"), [(1, 800, 0.13), (2, 3, 66.67), (3, 3, 100.0)])
def test_rates_are_rounded_half_up(database, part, whole, rate):
    mailed(database, 1)
    aggregate_days(database, [TODAY])
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_daily_metrics SET sent = %s, clicked = %s", [whole, part]
        )
        campaign_ids = [row[0] for row in connection.execute("SELECT id FROM drip_campaigns")]
        metrics_db.write_totals(connection, campaign_ids)
    [summary] = campaign_summary(database)
    assert summary["click_rate"] == rate
    assert value(database, "SELECT (metrics ->> 'click_rate')::float FROM drip_campaigns") == rate


# --- rebuilding -----------------------------------------------------------------------------------


def test_outcomes_are_rebuilt_from_the_log_where_they_differ(database):
    _, sent = mailed(database, 3)
    events = [
        an_event(f"{n}-{kind}", kind, message_id=s.message_id, data={"value": 3})
        for n, s in enumerate(sent)
        for kind in ("email_opened", "converted")
    ]
    ingest(database, events)
    with database.transaction() as connection:
        before = rows_of(connection, "campaign_message_outcomes")
        connection.execute(
            "UPDATE campaign_message_outcomes SET open_count = 7, conversion_value = 0, "
            "first_opened_at = NULL WHERE message_id = %s",
            [sent[0].message_id],
        )
        connection.execute("DELETE FROM stale_metric_days")
    assert rebuild_outcomes(database, [TODAY]) == 1
    assert rebuild_outcomes(database, [TODAY]) == 0
    with database.transaction() as connection:
        assert rows_of(connection, "campaign_message_outcomes") == before
    assert value(database, "SELECT metric_date FROM stale_metric_days") == TODAY


def test_messages_that_the_log_no_longer_has_are_not_rebuilt(database):
    _, [sent] = mailed(database)
    ingest(database, [an_event(1, "email_opened", message_id=sent.message_id)])
    with database.transaction() as connection:
        connection.execute("DELETE FROM campaign_events")
    assert rebuild_outcomes(database, [TODAY]) == 0
    assert value(database, "SELECT open_count FROM campaign_message_outcomes") == 1
