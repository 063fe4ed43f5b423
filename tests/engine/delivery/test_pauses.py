"""An application pauses enrollments while their email is being sent. Whatever its status is, the
states continue once the enrollments are active again, and each email is received once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Final, cast

import pytest

from drip_pipeline.db.operations.overview import other_pending_work
from drip_pipeline.engine.delivery.resolve_unknown import Resolution, resolve_unknown
from drip_pipeline.engine.execution.advance import advance_batch
from tests.channels.email.smtp_servers import Script, store_and_hang_up
from tests.engine.delivery.sending import Sender
from tests.engine.factories import NOW
from tests.engine.graphs import email, end, graph, trigger, wait_hours

Start = Callable[..., Sender]
HOUR: Final = timedelta(hours=1)
TWO_MAILS: Final = graph(
    trigger("first"),
    email("first", default="pause"),
    wait_hours("pause", 1, default="second"),
    email("second", default="end"),
    end(),
)
PEOPLE: Final = 3


@pytest.fixture
def mailing(smtp: Callable[..., Script], sending: Start) -> tuple[Sender, Script]:
    script = smtp()
    sender = sending(smtp=script)
    sender.enroll(TWO_MAILS, PEOPLE)
    return sender, script


def pause(sender: Sender) -> None:
    sender.rows("UPDATE campaign_enrollments SET status = 'paused' RETURNING id")


def go_on(sender: Sender) -> None:
    """Active again, and a day of ticks."""
    sender.rows("UPDATE campaign_enrollments SET status = 'active' RETURNING id")
    for hour in range(24, 48):
        sender.run(NOW + hour * HOUR)


def all_contacts_got_both_emails_once(sender: Sender, script: Script) -> None:
    """Each message under one id, two for each person, and everybody at the end."""
    assert sender.states() == {"completed": PEOPLE}
    got = Counter(envelope.rcpt_tos[0] for envelope in script.received)
    assert got == {f"Welcome{n}@example.com": 2 for n in range(1, PEOPLE + 1)}
    assert sender.deliveries() == {"sent": 2 * PEOPLE}
    assert sender.events()["email_sent"] == 2 * PEOPLE
    assert sender.events()["enrollment_completed"] == PEOPLE


def test_paused_before_the_email_was_sent(mailing: tuple[Sender, Script]):
    sender, script = mailing
    advance_batch(sender.database, now=NOW, batch_size=99)
    pause(sender)
    sender.run()
    assert script.received == []
    go_on(sender)
    all_contacts_got_both_emails_once(sender, script)


def test_paused_while_the_email_is_being_sent(mailing: tuple[Sender, Script]):
    sender, script = mailing
    accepted = script.on_data

    def answer(*_: object) -> str:
        pause(sender)
        return str(accepted)

    script.on_data = answer
    sender.run()
    script.on_data = accepted
    assert len(script.received) == PEOPLE
    assert sender.states() == {"paused": PEOPLE}
    sent_at = sender.rows("SELECT DISTINCT last_message_at FROM campaign_workflow_states")
    assert sent_at == [(NOW,)]
    counted = sender.rows("SELECT current_step, last_email_sent_at FROM campaign_enrollments")
    assert counted == [(1, NOW)] * PEOPLE
    sender.run(NOW + HOUR)
    assert sender.states() == {"paused": PEOPLE}
    go_on(sender)
    all_contacts_got_both_emails_once(sender, script)


def test_paused_after_the_email_was_sent(mailing: tuple[Sender, Script]):
    sender, script = mailing
    sender.run()
    assert len(script.received) == PEOPLE
    pause(sender)
    sender.run(NOW + 2 * HOUR)
    assert len(script.received) == PEOPLE
    go_on(sender)
    all_contacts_got_both_emails_once(sender, script)


def test_paused_with_an_unknown_outcome(mailing: tuple[Sender, Script]):
    sender, script = mailing
    accepted, script.on_data = script.on_data, store_and_hang_up
    sender.run()
    script.on_data = accepted
    assert sender.deliveries() == {"unknown": PEOPLE}
    pause(sender)
    # The grace time runs out during the pause.
    sender.run(NOW + 2 * HOUR)
    assert sender.states() == {"paused": PEOPLE}
    go_on(sender)
    all_contacts_got_both_emails_once(sender, script)


@pytest.mark.parametrize(("answer", "mails"), [("sent", 2), ("not-sent", 3), ("skip", 2)])
def test_an_operator_settles_the_email_of_paused_enrollments(
    mailing: tuple[Sender, Script], answer: str, mails: int
):
    sender, script = mailing
    sender.channel("email", {"on_unknown": "hold"})
    accepted, script.on_data = script.on_data, store_and_hang_up
    sender.run()
    script.on_data = accepted
    pause(sender)
    resolve_unknown(sender.database, cast("Resolution", answer), now=NOW + HOUR, channel="email")
    sender.run(NOW + 2 * HOUR)
    assert len(script.received) == PEOPLE
    go_on(sender)
    assert sender.states() == {"completed": PEOPLE}
    assert len(script.received) == mails * PEOPLE
    ids = {envelope.mail_from for envelope in script.received}
    assert len(ids) == 2 * PEOPLE


def test_states_left_behind_by_an_earlier_release_continue(mailing: tuple[Sender, Script]):
    sender, script = mailing
    advance_batch(sender.database, now=NOW, batch_size=99)
    # As it was left: paused on a message that is settled.
    sender.rows("UPDATE campaign_workflow_states SET workflow_status = 'paused' RETURNING id")
    assert sender.deliver("email").sent == PEOPLE
    with sender.database.transaction() as connection:
        assert other_pending_work(connection, now=NOW, count_limit=99).resumable_states == PEOPLE
    go_on(sender)
    all_contacts_got_both_emails_once(sender, script)
    with sender.database.transaction() as connection:
        assert other_pending_work(connection, now=NOW, count_limit=99).resumable_states == 0
