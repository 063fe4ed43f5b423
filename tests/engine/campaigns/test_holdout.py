"""The global holdout: sticky, mails nobody in it, and its report has the right lift."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.db.metrics.holdout import HoldoutCounts
from drip_pipeline.domain.graph.holdout import (
    Holdout,
    Period,
    ShareChange,
    periods,
    position,
    threshold,
)
from drip_pipeline.engine.campaigns.holdout import clear_holdout, holdout, set_holdout
from drip_pipeline.engine.enrollment.audience import Everybody
from drip_pipeline.engine.enrollment.enroll import EntryOptions, enroll
from drip_pipeline.engine.metrics.holdout_report import holdout_report, lifts_of
from drip_pipeline.errors import NotAllowed
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    a_workspace,
    contacts,
    enrolled,
    run_until_idle,
)
from tests.engine.graphs import email, end, graph, trigger

MAIL = email("hello", default="end")
LETTER = graph(trigger("hello"), MAIL, end())
RECEIPT = graph(trigger("hello"), replace(MAIL, kind="transactional"), end())
PEOPLE = 200


def prepared(database, flow=LETTER):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        people = contacts(connection, workspace, PEOPLE)
        campaign = a_published_campaign(connection, flow, workspace_id=workspace)
    return campaign, people


def held_out(people: list[UUID], percent: float, salt: str = "holdout") -> set[UUID]:
    return {each for each in people if position(salt, each) < percent / 100 * 2**32}


def mailed(database) -> set[UUID]:
    with database.transaction() as connection:
        rows = connection.execute("SELECT contact_id FROM campaign_message_outcomes").fetchall()
    return {row[0] for row in rows}


# --- who is in ------------------------------------------------------------------------------------


@given(st.uuids(), st.text(max_size=20), st.floats(0.01, 50), st.floats(0.01, 50))
def test_a_larger_share_keeps_who_is_in(contact, salt, one, other):
    small, large = sorted((one, other))
    if Holdout(salt, threshold(small)).has(contact):
        assert Holdout(salt, threshold(large)).has(contact)


def test_the_share_is_met_and_does_not_depend_on_other_shares():
    ids = [UUID(int=number) for number in range(20_000)]
    share = len(held_out(ids, 5)) / len(ids)
    assert 0.045 < share < 0.055
    both = len(held_out(ids, 5) & held_out(ids, 5, "other")) / len(ids)
    assert both < 0.005  # 0.25 % by chance


# --- what it stops --------------------------------------------------------------------------------


def test_contacts_in_the_holdout_are_refused_and_nobody_in_it_is_mailed(database):
    _, people = prepared(database)
    change = set_holdout(database, None, 20, now=NOW)
    assert (change.percent, change.salt, change.is_changed) == (20, "holdout", True)
    out = held_out(people, 20)
    planned = enroll(
        database, "Welcome", Everybody(), now=NOW, options=EntryOptions(is_dry_run=True)
    )
    report = enroll(database, "Welcome", Everybody(), now=NOW)
    assert report.refused == planned.refused == {"holdout": len(out)}
    run_until_idle(database)
    assert mailed(database) == set(people) - out


def test_people_who_entered_before_the_holdout_get_no_further_message(database):
    campaign, people = prepared(database)
    with database.transaction() as connection:  # as an application does
        enrolled(connection, campaign, people)
    set_holdout(database, None, 20, salt="spring", now=NOW)
    report = run_until_idle(database)
    out = held_out(people, 20, "spring")
    assert mailed(database) == set(people) - out
    assert report.delivered["email"].skipped == {"holdout": len(out)}
    with database.transaction() as connection:
        events = connection.execute(
            "SELECT contact_id FROM campaign_events WHERE event_type = 'message_skipped' "
            "AND event_data ->> 'reason' = 'holdout'"
        ).fetchall()
    assert {row[0] for row in events} == out


def test_transactional_messages_are_sent_to_everybody(database):
    _, people = prepared(database, RECEIPT)
    set_holdout(database, None, 50, now=NOW)
    assert enroll(database, "Welcome", Everybody(), now=NOW).enrolled == PEOPLE
    run_until_idle(database)
    assert mailed(database) == set(people)


def test_the_holdout_of_one_workspace_is_not_that_of_another(database):
    prepared(database)
    with database.transaction() as connection:
        a_workspace(connection, "Other")
    set_holdout(database, "Other", 50, now=NOW)
    assert enroll(database, "Welcome", Everybody(), now=NOW).enrolled == PEOPLE


def test_a_share_grows_keeps_its_salt_and_is_cleared(database):
    _, people = prepared(database)
    set_holdout(database, None, 10, salt="spring", now=NOW)
    grown = set_holdout(database, None, 30, now=NOW)
    assert (grown.salt, grown.is_regrouped) == ("spring", False)
    assert not set_holdout(database, None, 30, now=NOW).is_changed
    assert held_out(people, 10, "spring") <= held_out(people, 30, "spring")
    assert set_holdout(database, None, 30, salt="autumn", now=NOW).is_regrouped
    assert clear_holdout(database, None, now=NOW).is_changed
    assert not clear_holdout(database, None, now=NOW).is_changed
    assert holdout(database, None).percent == 0
    assert enroll(database, "Welcome", Everybody(), now=NOW).enrolled == PEOPLE


@pytest.mark.parametrize("percent", [0, -1, 50.1, float("nan")])
def test_impossible_shares_are_refused(database, percent):
    prepared(database)
    with pytest.raises(NotAllowed, match="not possible"):
        set_holdout(database, None, percent, now=NOW)
    assert holdout(database, None).percent == 0


def test_an_empty_salt_is_refused(database):
    prepared(database)
    with pytest.raises(NotAllowed, match="salt"):
        set_holdout(database, None, 5, salt=" ", now=NOW)


# --- the report -----------------------------------------------------------------------------------


def purchases(database, workspace_id: UUID, buyers: list[UUID], at: datetime) -> None:
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO contact_events (workspace_id, contact_id, event_type, occurred_at) "
            "SELECT %s, u.id, 'purchase', %s FROM unnest(%s::uuid[]) AS u (id)",
            [workspace_id, at, buyers + buyers[:3]],  # a second purchase counts once
        )


def test_the_report_counts_both_groups_as_an_independent_count_does(database):
    campaign, people = prepared(database)
    workspace_id = campaign.workspace_id
    since = NOW.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=60)
    with database.transaction() as connection:
        connection.execute("UPDATE contacts SET created_at = %s", [since - timedelta(days=1)])
    set_holdout(database, None, 20, now=since)
    buyers = people[::3]
    month_before = NOW.replace(day=1) - timedelta(days=5)
    purchases(database, workspace_id, buyers, month_before)
    report = holdout_report(database, None, "purchase", now=NOW, months=3)
    month = next(m for m in report.months if m.month == month_before.date().replace(day=1))
    out = held_out(people, 20)
    assert (month.held_out, month.held_out_with_event) == (len(out), len(out & set(buyers)))
    others = set(people) - out
    assert (month.others, month.others_with_event) == (len(others), len(others & set(buyers)))
    assert month.lift is not None
    assert month.holdout_rate is not None
    assert month.rate is not None
    assert month.lift == pytest.approx(month.rate - month.holdout_rate)
    assert month.interval is not None
    assert month.interval[0] < month.lift < month.interval[1]
    # This month has no purchase yet.
    assert report.months[-1].reason is not None


def test_a_workspace_that_never_had_a_holdout_has_no_report(database):
    prepared(database)
    with pytest.raises(NotAllowed, match="never had a holdout"):
        holdout_report(database, None, "purchase", now=NOW)


def day(number: int) -> datetime:
    return datetime(2026, 3, number, tzinfo=UTC)


def test_a_month_in_which_the_share_changes_leaves_out_who_changed_groups():
    five, eight = threshold(5), threshold(8)
    grown = [ShareChange(day(3), "a", 5), ShareChange(day(10), "a", 8)]
    assert periods(grown, day(1), day(31)) == [Period(day(3), day(31), "a", five, eight)]
    assert periods(grown, day(11), day(31)) == [Period(day(11), day(31), "a", eight, eight)]
    ended = [ShareChange(day(3), "a", 5), ShareChange(day(10), "a", 0)]
    assert periods(ended, day(1), day(31)) == [Period(day(3), day(10), "a", five, five)]
    assert periods(ended, day(10), day(31)) == []
    other = [ShareChange(day(3), "a", 5), ShareChange(day(10), "b", 5)]
    assert [each.salt for each in periods(other, day(1), day(31))] == ["a", "b"]


@pytest.mark.parametrize(
    ("people", "percent", "holdout_rate", "rate"),
    [(100_000, 5, 0.020, 0.024), (20_000, 5, 0.02, 0.02), (4_000, 10, 0.10, 0.15)],
)
def test_the_interval_has_the_truth_in_95_percent_of_500_months_at_every_look(
    people, percent, holdout_rate, rate
):
    months, looks = 500, 10
    chance = np.random.default_rng(people)
    n_out = chance.binomial(people, percent / 100, months)
    covered = np.ones(months, dtype=bool)
    hits_out, hits = np.zeros(months, dtype=int), np.zeros(months, dtype=int)
    for look in range(1, looks + 1):
        # Each contact has the event in one of ten equal parts of the month, or not at all.
        part_out = holdout_rate / looks / (1 - holdout_rate * (look - 1) / looks)
        part = rate / looks / (1 - rate * (look - 1) / looks)
        hits_out += chance.binomial(n_out - hits_out, part_out)
        hits += chance.binomial(people - n_out - hits, part)
        truth = 100 * (rate - holdout_rate) * look / looks
        counts = [
            HoldoutCounts(int(a), int(b), int(people - a), int(c))
            for a, b, c in zip(n_out, hits_out, hits, strict=True)
        ]
        for index, lift in enumerate(lifts_of(counts)):
            if lift.interval is not None:
                covered[index] &= lift.interval[0] <= truth <= lift.interval[1]
    assert covered.mean() >= 0.95
