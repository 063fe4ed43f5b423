from __future__ import annotations

import json
from datetime import UTC, datetime
from email import message_from_bytes
from uuid import UUID

import pytest

from drip_pipeline.channels.email.message import EmailWriter
from drip_pipeline.channels.email.relay_headers import Relay, relay_of_host
from drip_pipeline.channels.protocol import OutgoingMessage

OURS = UUID("0b9c6e52-7d4a-5f0e-9c1d-2a3b4c5d6e7f")


def headers(relay: Relay) -> dict[str, str]:
    message = OutgoingMessage(
        delivery_id=OURS,
        channel="email",
        recipient="ada@example.com",
        created_at=datetime(2026, 3, 2, tzinfo=UTC),
        subject="Hello",
        text="Hi",
    )
    written = EmailWriter("hello@example.com", relay=relay).write(message)
    return dict(message_from_bytes(written.content).items())


def test_each_relay_gets_our_id_in_its_own_header():
    assert headers("ses")["X-SES-MESSAGE-TAGS"] == f"drip_message_id={OURS}"
    assert json.loads(headers("sendgrid")["X-SMTPAPI"]) == {
        "unique_args": {"drip_message_id": str(OURS)}
    }
    assert headers("postmark")["X-PM-Metadata-drip-message-id"] == str(OURS)
    assert json.loads(headers("mailgun")["X-Mailgun-Variables"]) == {"drip_message_id": str(OURS)}


def test_other_relays_get_only_message_id():
    written = headers("other")
    assert written["Message-ID"] == f"<{OURS}@example.com>"
    assert not any(name.lower().startswith("x-") for name in written)


@pytest.mark.parametrize(
    ("host", "relay"),
    [
        ("email-smtp.eu-central-1.amazonaws.com", "ses"),
        ("smtp.sendgrid.net", "sendgrid"),
        ("smtp-broadcasts.postmarkapp.com", "postmark"),
        ("SMTP.EU.MAILGUN.ORG.", "mailgun"),
        ("smtp.notmailgun.org", "other"),
        ("mail.example.com", "other"),
    ],
)
def test_the_provider_is_derived_from_the_host_name(host, relay):
    assert relay_of_host(host) == relay
