"""Mailboxes that are full or closed for now, by the replies of the SMTP server: each message that
is given up is a soft bounce, and many of them suppress the address.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from drip_pipeline.channels.email.smtp_replies import Phase, classify_reply
from drip_pipeline.domain.graph.nodes import EmailConfig
from tests.channels.email.smtp_servers import Script
from tests.engine import factories
from tests.engine.delivery.sending import Sender, one_step
from tests.engine.factories import NOW

Start = Callable[..., Sender]
MAIL = one_step(EmailConfig(subject="Hello", body="Dear {{ name }}"), node_type="email")
FULL = "552 5.2.2 mailbox full"


@pytest.fixture
def script(smtp: Callable[..., Script]) -> Script:
    return smtp(on_rcpt=FULL)


class OneContact:
    """One contact, and messages of campaigns of their own."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        with sender.database.transaction() as connection:
            workspace = factories.the_workspace(connection)
            (self.contact_id,) = factories.contacts(connection, workspace, 1)
        self.sent = 0

    def mail(self, now: datetime = NOW) -> None:
        """Send a message, and try again until it is sent or given up."""
        self.sent += 1
        with self.sender.database.transaction() as connection:
            campaign = factories.a_published_campaign(connection, MAIL, name=f"Mail {self.sent}")
            factories.enrolled(connection, campaign, [self.contact_id])
        for hours in range(4):
            self.sender.run(now + timedelta(hours=hours))

    def suppressions(self) -> list[tuple[Any, ...]]:
        return list(self.sender.rows("SELECT reason, channel FROM campaign_suppressions"))


def test_the_fifth_refused_message_suppresses_the_address(script: Script, sending: Start):
    one = OneContact(sending(smtp=script))
    for day in range(4):
        one.mail(NOW + timedelta(days=day))
    assert one.suppressions() == []
    assert one.sender.states() == {"failed": 4}
    one.mail(NOW + timedelta(days=4))
    assert one.suppressions() == [("soft_bounced", "email")]
    assert one.sender.states() == {"failed": 4, "exited/suppressed": 1}
    assert [data["bounce_type"] for data in one.sender.data("email_failed")] == ["soft"] * 5
    script.on_rcpt = "250 OK"
    one.mail(NOW + timedelta(days=5))
    assert script.received == []


def test_attempts_of_one_message_are_one_bounce_and_count_when_it_is_given_up(
    script: Script, sending: Start
):
    script.on_rcpt = "451 4.2.1 mailbox closed for now"
    one = OneContact(sending(smtp=script))
    for day in range(5):
        assert one.suppressions() == []
        one.mail(NOW + timedelta(days=day))
    assert one.suppressions() == [("soft_bounced", "email")]


def test_an_accepted_message_starts_the_series_again(script: Script, sending: Start):
    one = OneContact(sending(smtp=script))
    for day in range(4):
        one.mail(NOW + timedelta(days=day))
    script.on_rcpt = "250 OK"
    one.mail(NOW + timedelta(days=4))
    script.on_rcpt = FULL
    for day in range(5, 9):
        one.mail(NOW + timedelta(days=day))
    assert one.suppressions() == []
    one.mail(NOW + timedelta(days=9))
    assert one.suppressions() == [("soft_bounced", "email")]


def test_refusals_in_a_longer_time_do_not_count(script: Script, sending: Start):
    one = OneContact(sending(smtp=script))
    for number in range(6):
        one.mail(NOW + timedelta(days=4 * number))
    assert one.suppressions() == []


@pytest.mark.parametrize(
    ("phase", "code", "text", "is_mailbox"),
    [
        (Phase.RECIPIENT, 452, "4.2.2 The recipient's inbox is out of storage", True),
        (Phase.RECIPIENT, 450, "4.2.1 The user is receiving mail too quickly", True),
        (Phase.END, 452, "4.2.2 over quota", True),
        (Phase.RECIPIENT, 452, "Mailbox full", True),
        (Phase.RECIPIENT, 552, "5.2.2 mailbox full", True),
        (Phase.RECIPIENT, 552, "mailbox is full", True),
        (Phase.RECIPIENT, 450, "4.2.0 Greylisted, come back later", False),
        (Phase.RECIPIENT, 450, "4.7.1 rate limit", False),
        (Phase.RECIPIENT, 451, "4.7.0 try again later", False),
        (Phase.RECIPIENT, 452, "4.3.1 Insufficient system storage", False),
        (Phase.RECIPIENT, 452, "4.5.3 Too many recipients", False),
        (Phase.RECIPIENT, 452, "Too many recipients", False),
        (Phase.RECIPIENT, 421, "4.2.1 closing", False),
        (Phase.CONNECT, 452, "4.2.2 mailbox full", False),
        (Phase.SENDER, 452, "4.2.2 mailbox full", False),
        (Phase.RECIPIENT, 550, "5.1.1 no such user", False),
        (Phase.RECIPIENT, 550, "5.2.1 mailbox disabled", False),
        (Phase.END, 554, "5.7.1 spam", False),
        (Phase.END, 552, "5.3.4 message too big", False),
    ],
)
def test_only_replies_about_the_mailbox_count(
    phase: Phase, code: int, text: str, is_mailbox: bool
) -> None:
    assert classify_reply(phase, code, text).is_mailbox_unavailable is is_mailbox
