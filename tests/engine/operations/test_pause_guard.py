"""A campaign whose complaints, bounces or failures are above their limits is paused, with why."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from drip_pipeline.domain.graph.volume import DEFAULT_PAUSE, MessageCounts, PauseWhen, VolumeGuards
from drip_pipeline.engine.audit import Actor
from drip_pipeline.engine.campaigns.campaign import find_campaign, resume, show_campaign
from drip_pipeline.engine.operations import incidents
from drip_pipeline.engine.operations.pause_guard import pause_by_guard
from drip_pipeline.errors import NotAllowed
from tests.engine.factories import NOW, people_inside, run_until_idle
from tests.engine.graphs import email, end, graph, trigger

LETTER = graph(trigger("hello"), email("hello", default="end"), end())
LATER = NOW + timedelta(hours=1)
OPERATOR = Actor("ada", "cli")


def sent(database, count: int, pause_when: PauseWhen | bool = DEFAULT_PAUSE):
    guards = VolumeGuards(pause_when=pause_when)  # type: ignore[arg-type]
    return people_inside(database, replace(LETTER, guards=guards), count)[0]


def mark(database, column: str, count: int) -> None:
    with database.transaction() as connection:
        connection.execute(
            f"UPDATE campaign_message_outcomes SET {column} = %s WHERE message_id IN "
            f"(SELECT message_id FROM campaign_message_outcomes WHERE {column} IS NULL LIMIT %s)",
            [LATER, count],
        )


def status(database) -> str:
    with database.transaction() as connection:
        return find_campaign(connection, "Welcome").status


def reported(database) -> list[str]:
    found = incidents.current(database, now=LATER, backlog_minutes=60)
    return [each.sentence for each in found if each.kind == "campaign_paused_by_guard"]


@pytest.mark.parametrize(
    ("column", "enough", "words"),
    [
        ("complained_at", 1, "complaints: 1 of 200"),
        ("bounced_at", 17, "permanent bounces: 17 of 200"),
        ("failed_at", 51, "failed messages: 51 of 200"),
    ],
)
def test_a_rate_above_its_limit_pauses_within_one_tick_and_says_why(
    database, column, enough, words
):
    sent(database, 200)
    mark(database, column, enough - 1)
    assert run_until_idle(database, LATER).paused_by_guard == []
    assert status(database) == "active"
    mark(database, column, 1)
    assert run_until_idle(database, LATER).paused_by_guard == ["Welcome"]
    assert status(database) == "paused"
    (sentence,) = reported(database)
    assert words in sentence
    with database.transaction() as connection:
        actor, action, reason = connection.execute(
            "SELECT actor, action, reason FROM operator_actions ORDER BY occurred_at DESC LIMIT 1"
        ).fetchone()
    assert (actor, action) == ("guard", "pause")
    assert words in reason
    # The next tick finds nothing to pause.
    assert run_until_idle(database, LATER).paused_by_guard == []


def test_too_few_messages_pause_nothing(database):
    sent(database, 199)
    mark(database, "complained_at", 50)
    assert pause_by_guard(database, now=LATER) == []


def test_messages_of_an_earlier_day_do_not_count(database):
    sent(database, 200)
    mark(database, "complained_at", 50)
    assert pause_by_guard(database, now=NOW + timedelta(hours=24)) == []


def test_a_campaign_with_its_own_hours_reads_them(database):
    sent(database, 20, PauseWhen(messages=10, hours=48, complaints=5))
    mark(database, "complained_at", 2)
    with database.transaction() as connection:  # one message of the last day
        connection.execute(
            "UPDATE campaign_message_outcomes SET sent_at = %s WHERE message_id = "
            "(SELECT message_id FROM campaign_message_outcomes "
            "WHERE complained_at IS NULL LIMIT 1)",
            [NOW + timedelta(hours=30)],
        )
    assert pause_by_guard(database, now=NOW + timedelta(hours=40)) == ["Welcome"]


@pytest.mark.parametrize("choice", [False, PauseWhen(complaints=False)])
def test_a_guard_that_is_switched_off_pauses_nothing(database, choice):
    sent(database, 200, choice)
    mark(database, "complained_at", 100)
    assert pause_by_guard(database, now=LATER) == []


def test_resuming_needs_a_reason_and_counts_from_then_on(database):
    sent(database, 200)
    mark(database, "complained_at", 5)
    assert pause_by_guard(database, now=LATER) == ["Welcome"]
    for reason in (None, "  "):
        with pytest.raises(NotAllowed, match="needs a reason"):
            resume(database, "Welcome", now=LATER, actor=OPERATOR, reason=reason)
    assert status(database) == "paused"
    assert reported(database)
    resume(database, "Welcome", now=LATER, actor=OPERATOR, reason="the list was cleaned")
    assert status(database) == "active"
    assert reported(database) == []
    assert pause_by_guard(database, now=LATER) == []
    guard = show_campaign(database, "Welcome").guard
    assert guard is not None
    assert guard.paused_by is None


def test_messages_that_were_never_sent_count_as_failures(database):
    sent(database, 150)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_deliveries SET status = 'failed', settled_at = %s", [LATER]
        )
        connection.execute(
            "DELETE FROM campaign_message_outcomes WHERE message_id IN "
            "(SELECT id FROM campaign_deliveries LIMIT 60)"
        )
    assert pause_by_guard(database, now=LATER) == []  # 150 messages in all
    campaign = sent_more(database, 50)
    assert pause_by_guard(database, now=LATER) == [campaign]


def sent_more(database, count: int) -> str:
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_message_outcomes (message_id, workspace_id, campaign_id, "
            "campaign_version, enrollment_id, contact_id, node_id, channel, sent_at) "
            "SELECT gen_random_uuid(), workspace_id, campaign_id, campaign_version, enrollment_id, "
            "contact_id, node_id, channel, sent_at FROM campaign_message_outcomes LIMIT %s",
            [count],
        )
    return "Welcome"


@pytest.mark.parametrize(
    ("numbers", "rate"),
    [
        (MessageCounts(1000, 3, 0, 0, 0), None),
        (MessageCounts(1000, 4, 0, 0, 0), "complaints"),
        (MessageCounts(1000, 0, 80, 0, 0), None),
        (MessageCounts(1000, 0, 81, 0, 0), "permanent_bounces"),
        (MessageCounts(750, 0, 0, 250, 250), None),
        (MessageCounts(749, 0, 0, 251, 251), "failures"),
        (MessageCounts(0, 0, 0, 200, 200), "failures"),
    ],
)
def test_limits_are_exceeded_only_above_them(numbers: MessageCounts, rate: Any):
    excess = DEFAULT_PAUSE.excess(numbers)
    assert (None if excess is None else excess.rate) == rate
