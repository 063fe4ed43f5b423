"""Soft bounces: one followed by a delivery is none, and repeated ones suppress the address."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.events.soft_bounces import SoftBounceLimit
from tests.engine.events.incoming import ingest, mailed, minutes, rows, value
from tests.engine.events.test_event_exits import TWO_MAILS
from tests.engine.factories import NOW, an_event, people_inside, run_until_idle, sent_messages

DAY = 24 * 60
FULL = {"bounce_type": "Transient", "bounce_subtype": "MailboxFull"}
HARD = {"bounce_type": "Permanent", "status": "5.1.1"}


def bounced(number: int, at: float, data: dict[str, Any] = FULL, **fields: Any) -> dict[str, Any]:
    return an_event(number, "email_bounced", data=data) | {"occurred_at": minutes(at)} | fields


def delivered(number: int, at: float, **fields: Any) -> dict[str, Any]:
    return an_event(number, "email_delivered") | {"occurred_at": minutes(at)} | fields


def reasons(database: Database) -> list[str]:
    return [row[0] for row in rows(database, "SELECT reason FROM campaign_suppressions")]


CASES = [
    ([bounced(1, 5), delivered(2, 9)], None),
    ([bounced(1, 5)], 5),
    ([delivered(1, 3), bounced(2, 5)], 5),
    ([bounced(1, 2), bounced(2, 5), delivered(3, 9)], None),
    ([bounced(1, 5, HARD), delivered(2, 9)], 5),
    ([bounced(1, 2), bounced(2, 5, HARD), delivered(3, 9)], 5),
    ([bounced(1, 7), bounced(2, 5, HARD)], 5),
    ([bounced(1, 5, {"status": "5.7.1"}), delivered(2, 9)], None),
]


@pytest.mark.parametrize(("events", "at"), CASES)
def test_a_soft_bounce_followed_by_a_delivery_is_not_a_bounce_in_any_order(database, events, at):
    orders = list(permutations(events))
    _, sent = mailed(database, len(orders))
    for number, (message, order) in enumerate(zip(sent, orders, strict=True)):
        for event in order:  # each in a chunk of its own
            own = event | {"event_id": f"{number}/{event['event_id']}",
                           "message_id": str(message.message_id)}  # fmt: skip
            assert ingest(database, [own]).accepted == 1
    expected = None if at is None else minutes(at)
    stored = rows(database, "SELECT bounced_at FROM campaign_message_outcomes")
    assert {time and time.isoformat() for (time,) in stored} == {expected}
    assert rows(
        database,
        "SELECT * FROM message_outcomes_that_differ(%s, %s)",
        minutes(-DAY), minutes(DAY),
    ) == []  # fmt: skip


def campaigns_of(database: Database, count: int) -> list[str]:
    """The messages that one contact has received, each in a run of its own."""
    _, (sent,) = mailed(database)
    ids = [str(sent.message_id)]
    # The contact's other messages are copies of it, each with an enrollment of its own.
    copies = rows(
        database,
        "WITH e AS (INSERT INTO campaign_enrollments (campaign_id, contact_id, entry_key, "
        "workspace_id, status, started_at) SELECT x.campaign_id, x.contact_id, 'copy-' || n, "
        "x.workspace_id, 'completed', x.started_at FROM campaign_enrollments x, "
        "generate_series(2, %s) AS n RETURNING id) "
        "INSERT INTO campaign_message_outcomes (message_id, workspace_id, campaign_id, "
        "campaign_version, enrollment_id, contact_id, node_id, channel, sent_at) "
        "SELECT gen_random_uuid(), o.workspace_id, o.campaign_id, 1, e.id, o.contact_id, "
        "o.node_id, o.channel, o.sent_at FROM campaign_message_outcomes o, e "
        "RETURNING message_id::text",
        count,
    )
    return [*ids, *(message_id for (message_id,) in copies)]


def test_repeated_soft_bounces_suppress_with_their_own_reason(database):
    ids = campaigns_of(database, 5)
    events = [bounced(n, n * DAY, message_id=each) for n, each in enumerate(ids)]
    later = NOW.replace(year=NOW.year + 1)
    assert ingest(database, events[:4], now=later).suppressed == 0
    report = ingest(database, events[4:], now=later)
    assert (report.suppressed, report.ended) == (1, 0)
    assert reasons(database) == ["soft_bounced"]


@pytest.mark.parametrize(
    "others",
    [
        [delivered(9, 3.5 * DAY)],
        [delivered(9, 5 * DAY)],
        [an_event(9, "email_opened") | {"occurred_at": minutes(3.5 * DAY)}],
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_a_delivery_between_soft_bounces_or_after_them_starts_again(database, others, is_first):
    *ids, last = campaigns_of(database, 6)
    events = [bounced(n, n * DAY, message_id=each) for n, each in enumerate(ids)]
    others = [other | {"message_id": last} for other in others]
    later = NOW.replace(year=NOW.year + 1)
    report = ingest(database, others + events if is_first else [*events[:4], *others, events[4]],
                    now=later)  # fmt: skip
    assert (report.accepted, report.suppressed) == (6, 0)


def test_soft_bounces_in_a_longer_time_do_not_suppress(database):
    ids = campaigns_of(database, 5)
    later = NOW.replace(year=NOW.year + 1)
    events = [bounced(n, n * 4 * DAY, message_id=each) for n, each in enumerate(ids)]
    assert ingest(database, events, now=later).suppressed == 0


@pytest.mark.parametrize("data", [{"status": "5.7.1"}, {"bounce_type": "blocked"}])
def test_blocks_are_not_counted(database, data):
    ids = campaigns_of(database, 5)
    later = NOW.replace(year=NOW.year + 1)
    events = [bounced(n, n, data, message_id=each) for n, each in enumerate(ids)]
    assert ingest(database, events, now=later).suppressed == 0


def test_several_bounces_of_one_message_count_once_and_the_order_does_not_matter(database):
    ids = campaigns_of(database, 5)
    later = NOW.replace(year=NOW.year + 1)
    twice = [bounced(n, n, message_id=ids[0]) for n in range(9)]
    assert ingest(database, twice, now=later).suppressed == 0
    rest = [bounced(10 + n, n * DAY, message_id=each) for n, each in enumerate(ids[1:], 1)]
    for event in reversed(rest[1:]):
        assert ingest(database, [event], now=later).suppressed == 0
    assert ingest(database, rest[:1], now=later).suppressed == 1


def test_the_limit_is_a_setting_and_zero_is_never(database):
    ids = campaigns_of(database, 5)
    later = NOW.replace(year=NOW.year + 1)
    events = [bounced(n, n * DAY, message_id=each) for n, each in enumerate(ids)]
    off = SoftBounceLimit(0, 14)
    assert ingest(database, events[:3], now=later, soft_bounces=off).suppressed == 0
    limit = SoftBounceLimit(2, 1)
    assert ingest(database, events[3:4], now=later, soft_bounces=limit).suppressed == 1


def test_a_repeatedly_soft_bounced_contact_gets_no_further_mail(database):
    campaign, _ = people_inside(database, TWO_MAILS, 2)
    with database.transaction() as connection:
        first, _ = sent_messages(connection, campaign)
    event = bounced(1, 5, message_id=str(first.message_id))
    assert ingest(database, [event], soft_bounces=SoftBounceLimit(1, 1)).suppressed == 1
    run_until_idle(database, NOW + timedelta(days=2))
    ends = "SELECT workflow_status, exit_reason FROM campaign_workflow_states ORDER BY 1"
    assert rows(database, ends) == [("completed", None), ("exited", "suppressed")]
    assert value(
        database,
        "SELECT event_data ->> 'reason' FROM campaign_events WHERE event_type = 'message_skipped'",
    ) == "soft_bounced"  # fmt: skip
    assert value(
        database, "SELECT count(*) FROM campaign_enrollments WHERE status = 'bounced'"
    ) == 1  # fmt: skip
