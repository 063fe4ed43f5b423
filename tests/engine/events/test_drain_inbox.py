"""Draining the inbox: everything that came in is taken in once, and what cannot be is kept."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import inbox as inbox_db
from drip_pipeline.db.events.inbox import Arrival
from drip_pipeline.engine.events.drain_inbox import DrainReport, drain_inbox
from tests.domain.events.providers import samples
from tests.engine.events.incoming import LATER, mailed, minutes, rows, value
from tests.engine.factories import Sent


def came_in(
    database: Database, *payloads: Any, provider: str = "generic", at: datetime = LATER
) -> None:
    """What the receiver does with payloads."""
    with database.transaction() as connection:
        inbox_db.append(
            connection,
            [
                Arrival(provider, p if isinstance(p, bytes) else orjson.dumps(p), at)
                for p in payloads
            ],
        )


def drained(database: Database, at: datetime = LATER, **options: Any) -> DrainReport:
    return drain_inbox(database, now=at, **options)


def opened(number: int, sent: Sent) -> dict[str, Any]:
    return {
        "event_id": f"e-{number}",
        "event_type": "email_opened",
        "occurred_at": minutes(5),
        "message_id": str(sent.message_id),
    }


def inbox(database: Database) -> list[tuple[Any, ...]]:
    return rows(database, "SELECT status, attempts, reason FROM event_inbox ORDER BY id")


def test_events_of_a_payload_are_logged_and_the_payload_is_stored(database: Database):
    _, sent = mailed(database, 3)
    came_in(database, *[opened(n, s) for n, s in enumerate(sent)])
    report = drained(database)
    assert (report.rows, report.done, report.accepted) == (3, 3, 3)
    assert inbox(database) == [("done", 1, None)] * 3
    assert value(database, "SELECT sum(open_count) FROM campaign_message_outcomes") == 3
    assert value(database, "SELECT payload FROM event_inbox ORDER BY id LIMIT 1") == orjson.dumps(
        opened(0, sent[0])
    )


def test_a_repeated_payload_counts_once(database: Database):
    _, (sent,) = mailed(database)
    came_in(database, opened(1, sent), opened(1, sent))
    drained(database)
    with database.transaction() as connection:
        connection.execute("UPDATE event_inbox SET status = 'pending', due_at = %s, "
                           "settled_at = NULL", [LATER])  # fmt: skip
    again = drained(database)
    assert (again.rows, again.accepted, again.duplicates) == (2, 0, 2)
    assert value(database, "SELECT open_count FROM campaign_message_outcomes") == 1


def test_an_unreadable_payload_is_rejected_with_its_reason_and_blocks_no_other(
    database: Database,
):
    _, (sent,) = mailed(database)
    came_in(database, b"{not json", opened(1, sent), b"\xff\x00", b"7", [opened(2, sent), 7])
    report = drained(database)
    assert (report.done, report.rejected, report.accepted) == (1, 4, 2)
    assert [reason for _, _, reason in inbox(database)] == [
        "the payload is not JSON",
        None,
        "the payload is not JSON",
        "the payload is neither an event nor a list of events",
        "an event is not a JSON object",
    ]
    assert value(database, "SELECT count(*) FROM rejected_events") == 0


def test_an_invalid_event_does_not_affect_valid_ones(database: Database):
    _, (sent,) = mailed(database)
    bad = opened(2, sent) | {"event_type": "email_sent"}
    came_in(database, [opened(1, sent), bad, bad | {"event_id": "e-3"}, opened(4, sent)])
    report = drained(database)
    assert report.accepted == 2
    assert inbox(database) == [
        ("rejected", 1, "2 × event_type is one that only the engine itself writes")
    ]


def test_an_event_of_an_unknown_message_is_retried(database: Database):
    _, (sent,) = mailed(database)
    named_by_provider = {**opened(1, sent), "message_id": "relay-77"}
    came_in(database, named_by_provider)
    first = drained(database)
    assert (first.again, first.accepted) == (1, 0)
    assert drained(database).rows == 0  # not due yet
    with database.transaction() as connection:
        connection.execute("UPDATE campaign_deliveries SET provider_message_id = 'relay-77'")
    later = drained(database, LATER + timedelta(minutes=2))
    assert (later.done, later.accepted) == (1, 1)


def test_an_event_of_an_unknown_message_is_finally_rejected_and_can_be_retried(
    database: Database,
):
    mailed(database)
    came_in(database, {"event_id": "e", "event_type": "email_opened", "message_id": "stranger"})
    for hours in (0, 1, 2):
        drained(database, LATER + timedelta(hours=hours))
    assert inbox(database) == [("rejected", 3, "no such message")]
    with database.transaction() as connection:
        assert inbox_db.retry(connection, ids=None, provider="generic", now=LATER) == 1
    assert inbox(database) == [("pending", 0, "no such message")]


def test_a_concurrent_drain_skips_claimed_rows(database: Database):
    _, (sent,) = mailed(database)
    came_in(database, opened(1, sent), opened(2, sent))
    with database.transaction() as connection:
        taken = inbox_db.claim(connection, now=LATER, batch_size=1, most_bytes=1_000)
        assert len(taken) == 1
        assert drained(database).rows == 1
    assert drained(database).rows == 1


def test_a_batch_is_limited_in_bytes(database: Database):
    came_in(database, *[b"x" * 1_000] * 5)
    with database.transaction() as connection:
        claimed = inbox_db.claim(connection, now=LATER, batch_size=100, most_bytes=2_500)
    assert len(claimed) == 3


def test_a_stop_in_the_inbox_suppresses_the_number(database: Database):
    mailed(database)
    with database.transaction() as connection:
        connection.execute("UPDATE contacts SET phone = '+15005550006'")
    stop = b"MessageSid=SM1&From=%2B15005550006&To=%2B15005550001&Body=STOP"
    came_in(database, stop, provider="twilio")
    assert drained(database).suppressed == 1
    assert rows(database, "SELECT channel, reason FROM campaign_suppressions") == [
        ("sms", "unsubscribed")
    ]


def test_a_payload_of_an_unknown_provider_is_rejected(database: Database):
    came_in(database, b"{}", provider="carrier-pigeon")
    drained(database)
    assert inbox(database) == [("rejected", 1, "unknown provider")]


def test_a_crash_between_ingesting_and_settling_loses_and_repeats_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    _, sent = mailed(database, 3)
    came_in(database, *[opened(n, s) for n, s in enumerate(sent)])

    def crash(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(inbox_db, "settle", crash)
        with pytest.raises(KeyboardInterrupt):
            drained(database)
    assert inbox(database) == [("pending", 0, None)] * 3  # the events are in already
    report = drained(database)
    assert (report.done, report.accepted, report.duplicates) == (3, 0, 3)
    assert value(database, "SELECT sum(open_count) FROM campaign_message_outcomes") == 3


def test_payloads_of_every_provider_resolve_their_message_and_end_the_run(database: Database):
    """Who complained, unsubscribed or whose address is no good is written to no more, and their
    run ends with the reason; a full mailbox ends nothing.
    """
    _, sent = mailed(database, 4)
    with database.transaction() as connection:  # as if there were more to come
        connection.execute("UPDATE campaign_workflow_states SET workflow_status = 'waiting', "
                           "completed_at = NULL, exit_reason = NULL, current_node_id = 'mail', "
                           "next_execution_at = %s", [LATER])  # fmt: skip
    complained, left, bounced, full = (str(each.message_id) for each in sent)
    parts = samples.SES_PARTS["complaint"], samples.SES_PARTS["full mailbox"]
    mails = [{**samples.SES_MAIL, "tags": {"drip_message_id": [m]}} for m in (complained, full)]
    for part, mail in zip(parts, mails, strict=True):
        notice = samples.ses(part, mail) | {"MessageId": mail["tags"]["drip_message_id"][0]}
        came_in(database, notice, provider="ses")
    came_in(
        database, [samples.sendgrid("unsubscribe") | {"drip_message_id": left}], provider="sendgrid"
    )
    bounce = samples.POSTMARK["bounce"] | {"Metadata": {"drip-message-id": bounced}}
    came_in(database, bounce, provider="postmark")
    report = drained(database)
    assert (report.done, report.accepted, report.suppressed, report.ended) == (4, 4, 3, 3)
    assert rows(
        database,
        "SELECT k.email, s.workflow_status, s.exit_reason, x.reason, x.source "
        "FROM campaign_workflow_states s JOIN contacts k ON k.id = s.contact_id "
        "LEFT JOIN campaign_suppressions x ON x.contact_id = k.id ORDER BY k.email",
    ) == [
        ("person1@example.com", "exited", "suppressed", "complained", "ses"),
        ("person2@example.com", "exited", "unsubscribed", "unsubscribed", "sendgrid"),
        ("person3@example.com", "exited", "suppressed", "bounced", "postmark"),
        ("person4@example.com", "waiting", None, None, None),
    ]
