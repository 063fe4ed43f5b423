"""The overview of A/B tests by email."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from drip_pipeline.channels.email.message import EmailWriter
from drip_pipeline.channels.email.smtp_channel import SmtpChannel
from drip_pipeline.channels.recorder import RecorderChannel
from drip_pipeline.engine.ab_tests.judge import judge
from drip_pipeline.engine.ab_tests.results import results_of_all
from drip_pipeline.engine.transports.operator_mail import mail_channel
from drip_pipeline.errors import ChannelUnavailable
from drip_pipeline.reports.mail_overview import mail_overview
from drip_pipeline.settings import Secret, Settings
from tests.engine.ab_tests.split_contacts import a_split_test, people
from tests.engine.factories import NOW

LATER = NOW + timedelta(days=1)
SENDER = "Drip <drip@example.com>"


def test_each_address_gets_the_verdicts_once(database):
    with database.transaction() as connection:
        waiting = a_split_test(connection, name="Spring & co", auto_select_winner=False)
        people(connection, waiting, "a", 1_000, opened=200)
        people(connection, waiting, "b", 1_000, opened=300, machine_opened=400)
        decided = a_split_test(connection, name="Autumn")
        people(connection, decided, "a", 1_000, opened=300)
        people(connection, decided, "b", 1_000, opened=200)
    judge(database, now=LATER)
    found = results_of_all(database, now=LATER)
    channel = RecorderChannel("email")
    to = ["ada@example.com", "bob@example.com", "ada@example.com"]
    assert mail_overview(channel, SENDER, found, to, LATER) == {"accepted": 2}
    first, second = channel.messages
    assert (first.recipient, second.recipient) == ("ada@example.com", "bob@example.com")
    assert first.subject == "A/B tests on 3 Mar 2026: 1 running, 1 waiting for a decision"
    assert "Spring & co, split s: Waiting for confirmation" in first.text
    assert "b is significantly ahead with an open rate of 30.00 %" in first.text
    assert "400 of 1,000 of b (40 %)" in first.text
    assert "Autumn, split s: Winner" in first.text
    assert first.html is not None
    assert "<h2>Spring &amp; co, split s</h2>" in first.html
    # Sent again on the same day, it is the same message.
    mail_overview(channel, SENDER, found, to, LATER + timedelta(hours=2))
    assert [m.delivery_id for m in channel.messages[2:]] == [first.delivery_id, second.delivery_id]
    written = EmailWriter(SENDER).write(first)
    assert b"Auto-Submitted: auto-generated" in written.content


def test_nothing_is_mailed_while_messages_are_recorded(tmp_path: Path):
    assert mail_channel(Settings(home=tmp_path)) is None


def test_sending_needs_a_relay(tmp_path: Path):
    sending = Settings(home=tmp_path, delivery="send")
    with pytest.raises(ChannelUnavailable, match="DRIP_SMTP_URL is not set"):
        mail_channel(sending)
    channel = mail_channel(sending.model_copy(update={"smtp_url": Secret("smtp://localhost:2525")}))
    assert isinstance(channel, SmtpChannel)
    channel.close()
