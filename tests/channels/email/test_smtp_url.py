"""Parse DRIP_SMTP_URL, and the texts of replies."""

from __future__ import annotations

import ssl

import pytest

from drip_pipeline.channels.email.smtp_replies import Phase, classify_reply
from drip_pipeline.channels.email.smtp_url import SmtpServer, parse_smtp_url
from drip_pipeline.channels.protocol import Outcome
from drip_pipeline.errors import SettingsError
from drip_pipeline.settings import Secret


def test_urls_are_parsed() -> None:
    assert parse_smtp_url("smtp://localhost:2525") == SmtpServer("localhost", 2525, is_local=True)
    assert parse_smtp_url("smtp://127.0.0.1/") == SmtpServer("127.0.0.1", 25, is_local=True)
    assert parse_smtp_url("smtp://[::1]") == SmtpServer("::1", 25, is_local=True)
    assert parse_smtp_url("smtps://mail.example.com") == SmtpServer(
        "mail.example.com", 465, begins_with_tls=True
    )
    assert parse_smtp_url("smtp://ada%40example.com:p%2Fw%3A@mail.example.com") == SmtpServer(
        "mail.example.com", 587, username="ada@example.com", password=Secret("p/w:")
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://canary.example.com",
        "smtp://",
        "smtp://canary:secret@mail.example.com:99999",
        "smtp://canary@mail.example.com",
        "smtp://canary:se/cret@mail.example.com",
        "smtp://canary:secret@mail.example.com/?x=1",
        "canary.example.com",
    ],
)
def test_invalid_urls_are_refused_without_quoting_them(url: str) -> None:
    with pytest.raises(SettingsError, match="DRIP_SMTP_URL") as caught:
        parse_smtp_url(url)
    assert "canary" not in str(caught.value)
    assert "cret" not in str(caught.value)


def test_the_password_is_never_shown() -> None:
    server = parse_smtp_url("smtp://ada:sesame@mail.example.com")
    assert "sesame" not in f"{server} {server!r}"


def test_certificates_are_verified_except_on_this_machine() -> None:
    assert parse_smtp_url("smtp://mail.example.com").tls_context().check_hostname
    assert parse_smtp_url("smtp://localhost").tls_context().verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize(
    ("words", "message_id"),
    [
        ("2.0.0 Ok: queued as 4XyZabc123", "4XyZabc123"),
        ("Ok 0100018d-abc-000000", "0100018d-abc-000000"),
        ("OK id=1rTx2Y-0001AB-2C", "1rTx2Y-0001AB-2C"),
        ("2.0.0 OK  1706400000 d2-20020a.12 - gsmtp", None),
        ("OK", None),
        ("", None),
    ],
)
def test_the_servers_message_id_is_parsed(words: str, message_id: str | None) -> None:
    verdict = classify_reply(Phase.END, 250, words)
    assert verdict.outcome is Outcome.ACCEPTED
    assert verdict.provider_message_id == message_id


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("4.7.1 try again in 300 seconds", 300),
        ("4.7.1 Greylisted for 5 minutes, retry after 5 min", 300),
        ("please wait 2 hours", 7200),
        ("4.7.1 try again later", None),
    ],
)
def test_waiting_times_are_parsed(words: str, seconds: float | None) -> None:
    assert classify_reply(Phase.RECIPIENT, 450, words).retry_after_seconds == seconds


def test_a_nonstandard_reply_is_not_a_success() -> None:
    assert classify_reply(Phase.END, 354, "go on").outcome is Outcome.UNKNOWN
    assert classify_reply(Phase.END, -1, "").outcome is Outcome.UNKNOWN
    assert classify_reply(Phase.SENDER, 334, "what").outcome is Outcome.NOT_SENT
