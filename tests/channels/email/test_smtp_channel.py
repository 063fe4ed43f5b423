"""The email channel against real servers: classification of answers and timeouts."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any
from uuid import UUID, uuid5

import pytest

from drip_pipeline.channels.email.smtp_channel import SmtpChannel
from drip_pipeline.channels.email.smtp_url import SmtpServer
from drip_pipeline.channels.protocol import DeliveryResult, Outcome, OutgoingMessage, Severity
from drip_pipeline.errors import DeliveryError
from drip_pipeline.settings import Secret
from tests.channels.email.smtp_servers import (
    Script,
    accept_one_login,
    hang_up,
    say_nothing,
    store_and_hang_up,
)

NAMESPACE = UUID("6f0e2c1a-7f3b-5c4d-9e8f-0123456789ab")
Start = Callable[..., Script]
Open = Callable[..., SmtpChannel]


def mail(number: int = 0, **changes: Any) -> OutgoingMessage:
    values: dict[str, Any] = {
        "delivery_id": uuid5(NAMESPACE, str(number)),
        "channel": "email",
        "recipient": f"canary.person{number}@example.org",
        "recipient_name": "Zoë",
        "created_at": datetime(2026, 1, 28, tzinfo=UTC),
        "subject": f"Hello {number}",
        "text": "Hi\n.\n..dots\n",
        "unsubscribe_url": "https://example.com/u",
    }
    return OutgoingMessage(**(values | changes))


@pytest.fixture
def opened() -> Iterator[Open]:
    """Channels that are closed after the test."""
    channels: list[SmtpChannel] = []

    def start(server: SmtpServer | Script, **options: Any) -> SmtpChannel:
        where = server.server if isinstance(server, Script) else server
        channel = SmtpChannel(where, "Acme <news@example.com>", **options)
        channels.append(channel)
        return channel

    yield start
    for channel in channels:
        channel.close()


def only(results: list[DeliveryResult]) -> DeliveryResult:
    (result,) = results
    assert "canary" not in (result.error or "")
    return result


def test_a_message_arrives_complete(smtp: Start, opened: Open) -> None:
    script = smtp()
    result = only(opened(script).send([mail()]))
    assert (result.outcome, result.provider_message_id) == (Outcome.ACCEPTED, "4XyZabc123")
    (envelope,) = script.received
    delivery_id = mail().delivery_id
    assert envelope.mail_from == f"bounces+{delivery_id}@example.com"
    assert envelope.rcpt_tos == ["canary.person0@example.org"]
    assert isinstance(envelope.content, bytes)
    read = message_from_bytes(envelope.content, policy=policy.default)
    assert read["Message-ID"] == f"<{delivery_id}@example.com>"
    assert read["Subject"] == "Hello 0"
    assert read.get_content().replace("\r\n", "\n") == "Hi\n.\n..dots\n"


def test_many_messages_share_a_few_connections(smtp: Start, opened: Open) -> None:
    script = smtp()
    channel = opened(script, connections=3)
    messages = [mail(number) for number in range(60)]
    for _ in range(2):
        results = channel.send(messages)
        assert [result.delivery_id for result in results] == [m.delivery_id for m in messages]
        assert {result.outcome for result in results} == {Outcome.ACCEPTED}
    assert len(script.received) == 120
    assert len({envelope.rcpt_tos[0] for envelope in script.received}) == 60
    assert script.connections <= 3
    assert channel.send([]) == []


@pytest.mark.parametrize(
    ("where", "reply", "outcome", "code", "invalid"),
    [
        ("on_rcpt", "550 5.1.1 no such user", Outcome.REJECTED, "smtp_550", True),
        ("on_rcpt", "550 no such user", Outcome.REJECTED, "smtp_550", True),
        ("on_rcpt", "553 5.1.3 bad address", Outcome.REJECTED, "smtp_553", True),
        ("on_rcpt", "550 5.7.1 blocked for spam", Outcome.REJECTED, "smtp_550", False),
        ("on_rcpt", "552 5.2.2 mailbox full", Outcome.REJECTED, "smtp_552", False),
        ("on_rcpt", "554 no", Outcome.REJECTED, "smtp_554", False),
        ("on_rcpt", "450 4.2.0 greylisted", Outcome.THROTTLED, "smtp_450", False),
        ("on_rcpt", "451 4.7.1 greylisted", Outcome.THROTTLED, "smtp_451", False),
        ("on_rcpt", "451 4.3.0 local error", Outcome.NOT_SENT, "smtp_451", False),
        ("on_rcpt", "421 4.7.0 too many", Outcome.THROTTLED, "smtp_421", False),
        ("on_mail", "550 5.7.1 sender unknown", Outcome.NOT_SENT, "smtp_550", False),
        ("on_mail", "530 5.7.0 authenticate first", Outcome.NOT_SENT, "auth_required", False),
        ("on_mail", "552 5.3.4 too big", Outcome.REJECTED, "smtp_552", False),
        ("on_data", "550 5.7.1 looks like spam", Outcome.REJECTED, "smtp_550", False),
        ("on_data", "550 looks like spam", Outcome.REJECTED, "smtp_550", False),
        ("on_data", "550 5.1.1 no such user", Outcome.REJECTED, "smtp_550", True),
        ("on_data", "452 4.3.1 disk full", Outcome.THROTTLED, "smtp_452", False),
        ("on_data", "421 4.3.2 going down", Outcome.THROTTLED, "smtp_421", False),
    ],
)
def test_replies_are_classified(
    smtp: Start,
    opened: Open,
    where: str,
    reply: str,
    outcome: Outcome,
    code: str,
    invalid: bool,
) -> None:
    script = smtp(**{where: reply})
    channel = opened(script)
    result = only(channel.send([mail()]))
    assert (result.outcome, result.error_code, result.recipient_invalid) == (outcome, code, invalid)
    assert result.error == reply[4:]
    # The connection, or a new one, serves the next message.
    setattr(script, where, "250 OK")
    assert only(channel.send([mail(1)])).outcome is Outcome.ACCEPTED
    assert len(script.received) == 1


def test_one_refused_recipient_does_not_affect_the_others(smtp: Start, opened: Open) -> None:
    def refuse_one(_script: Script, _connection: Any, envelope: Any) -> str:
        return "550 no" if envelope.rcpt_tos[-1] == "canary.person3@example.org" else "250 OK"

    script = smtp(on_rcpt=refuse_one)
    results = opened(script, connections=2).send([mail(number) for number in range(8)])
    outcomes = [result.outcome for result in results]
    assert outcomes.pop(3) is Outcome.REJECTED
    assert set(outcomes) == {Outcome.ACCEPTED}
    assert script.connections <= 2


def test_a_connection_lost_before_the_end_means_not_sent(smtp: Start, opened: Open) -> None:
    result = only(opened(smtp(on_rcpt=hang_up)).send([mail()]))
    assert (result.outcome, result.error_code) == (Outcome.NOT_SENT, "disconnected")


def test_a_connection_lost_after_the_end_is_unknown(smtp: Start, opened: Open) -> None:
    script = smtp(on_data=store_and_hang_up)
    result = only(opened(script).send([mail()]))
    assert (result.outcome, result.error_code) == (Outcome.UNKNOWN, "disconnected")
    assert len(script.received) == 1  # it was stored, and it was not sent a second time


def test_timeouts_are_classified_by_phase(smtp: Start, opened: Open) -> None:
    early = opened(smtp(on_rcpt=say_nothing), timeout_seconds=0.2)
    result = only(early.send([mail()]))
    assert (result.outcome, result.error_code) == (Outcome.NOT_SENT, "timeout")
    late = opened(smtp(on_data=say_nothing), end_seconds=0.2)
    result = only(late.send([mail()]))
    assert (result.outcome, result.error_code) == (Outcome.UNKNOWN, "timeout")


def test_the_last_reply_may_take_longer_than_the_others(smtp: Start, opened: Open) -> None:
    async def think(_script: Script, _connection: Any, _envelope: Any) -> str:
        await asyncio.sleep(0.4)
        return "250 OK"

    channel = opened(smtp(on_data=think), timeout_seconds=0.2, end_seconds=5)
    assert only(channel.send([mail()])).outcome is Outcome.ACCEPTED


def test_a_stale_connection_is_replaced(smtp: Start, opened: Open) -> None:
    script = smtp()
    channel = opened(script)
    assert only(channel.send([mail(0)])).outcome is Outcome.ACCEPTED
    seen: list[str] = []

    def limit_of_messages(_script: Script, connection: Any, envelope: Any) -> str:
        seen.append("mail")
        if len(seen) > 1:
            return "250 OK"
        return hang_up(_script, connection, envelope)

    def enough_after_one(_script: Script, _connection: Any, _envelope: Any) -> str:
        seen.append("mail")
        return "250 OK" if len(seen) > 1 else "421 enough messages"

    script.on_mail = limit_of_messages
    assert only(channel.send([mail(1)])).outcome is Outcome.ACCEPTED
    seen.clear()
    script.on_mail = enough_after_one
    assert only(channel.send([mail(2)])).outcome is Outcome.ACCEPTED
    assert [envelope.rcpt_tos[0][13] for envelope in script.received] == ["0", "1", "2"]


def test_without_a_connection_no_message_is_attempted_twice(opened: Open) -> None:
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        channel = opened(SmtpServer("127.0.0.1", port, is_local=True), timeout_seconds=2)
        results = channel.send([mail(number) for number in range(20)])
    assert {result.outcome for result in results} == {Outcome.NOT_SENT}
    assert {result.error_code for result in results} == {"connect_failed"}
    assert "refused" in (results[0].error or "")


def test_a_server_that_always_disconnects_is_not_called_again(smtp: Start, opened: Open) -> None:
    script = smtp(on_data=store_and_hang_up)
    results = opened(script, connections=2).send([mail(number) for number in range(40)])
    outcomes = [result.outcome for result in results]
    assert outcomes.count(Outcome.UNKNOWN) == len(script.received) <= 6
    assert outcomes.count(Outcome.NOT_SENT) == 40 - len(script.received)


def test_connections_beyond_the_servers_limit_lose_no_message(smtp: Start, opened: Open) -> None:
    script = smtp()

    def one_at_a_time(script: Script, connection: Any, _envelope: Any) -> str:
        holders.setdefault("first", connection)
        return "250 OK" if holders["first"] is connection else "421 4.7.0 too many connections"

    holders: dict[str, Any] = {}
    script.on_mail = one_at_a_time
    results = opened(script, connections=3).send([mail(number) for number in range(30)])
    outcomes = [result.outcome for result in results]
    assert outcomes.count(Outcome.ACCEPTED) == len(script.received) >= 20
    assert set(outcomes) <= {Outcome.ACCEPTED, Outcome.THROTTLED}


@pytest.mark.parametrize(
    ("changes", "outcome", "code", "invalid"),
    [
        ({"recipient": "canary"}, Outcome.REJECTED, "address_invalid", True),
        ({"recipient": ""}, Outcome.REJECTED, "address_invalid", True),
        ({"recipient": None}, Outcome.REJECTED, "address_invalid", True),
        ({"recipient": "a@b.example\r\nDATA"}, Outcome.REJECTED, "address_invalid", True),
        ({"subject": "a\r\nBcc: canary@example.com"}, Outcome.REJECTED, "message_invalid", False),
        ({"sender": "nobody"}, Outcome.NOT_SENT, "sender_invalid", False),
    ],
)
def test_invalid_messages_never_reach_the_server(
    smtp: Start,
    opened: Open,
    changes: dict[str, Any],
    outcome: Outcome,
    code: str,
    invalid: bool,
) -> None:
    script = smtp()
    result = only(opened(script).send([mail(**changes)]))
    assert (result.outcome, result.error_code, result.recipient_invalid) == (outcome, code, invalid)
    assert script.connections == 0


def test_the_providers_response_is_stored_without_addresses(smtp: Start, opened: Open) -> None:
    reply = "550 5.1.1 <canary.person0@example.org>: user CANARY.person0 is gone, ask a@example.net"
    error = only(opened(smtp(on_rcpt=reply)).send([mail()])).error
    assert error == "5.1.1 <<address>>: user <address> is gone, ask <address>"


def test_retry_after_is_read_from_the_reply(smtp: Start, opened: Open) -> None:
    script = smtp(on_rcpt="451 4.7.1 Greylisted, please try again in 5 minutes")
    assert only(opened(script).send([mail()])).retry_after_seconds == 300


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_users_authenticate(smtp: Start, opened: Open) -> None:
    options = {
        "authenticator": accept_one_login,
        "auth_required": True,
        "auth_require_tls": False,
    }
    script = smtp(options=options)
    good = replace(script.server, username="mailer", password=Secret("sesame"))
    assert only(opened(good).send([mail()])).outcome is Outcome.ACCEPTED
    assert next(finding.severity for finding in opened(good).check()) is Severity.OK

    bad = replace(good, password=Secret("canary-password"))
    result = only(opened(bad).send([mail()]))
    assert (result.outcome, result.error_code) == (Outcome.NOT_SENT, "auth_failed")
    assert "refused user or password" in (result.error or "")
    assert [finding.code for finding in opened(bad).check()] == ["auth_failed"]

    nobody = only(opened(script).send([mail()]))
    assert (nobody.outcome, nobody.error_code) == (Outcome.NOT_SENT, "auth_required")


def test_a_server_without_authentication_is_reported(smtp: Start, opened: Open) -> None:
    server = replace(smtp().server, username="mailer", password=Secret("sesame"))
    result = only(opened(server).send([mail()]))
    assert (result.outcome, result.error_code) == (Outcome.NOT_SENT, "auth_failed")


def test_starttls_is_used_where_offered(
    smtp: Start, opened: Open, certificate: ssl.SSLContext
) -> None:
    encrypted: list[bool] = []

    def note(_script: Script, connection: Any, _envelope: Any) -> str:
        encrypted.append(connection.session.ssl is not None)
        return "250 OK"

    script = smtp(on_mail=note, options={"tls_context": certificate})
    assert only(opened(script).send([mail()])).outcome is Outcome.ACCEPTED
    assert encrypted == [True]
    codes = [finding.code for finding in opened(script).check()]
    assert codes == ["connected"]


def test_smtps_begins_with_tls(smtp: Start, opened: Open, certificate: ssl.SSLContext) -> None:
    script = smtp(tls=certificate)
    server = replace(script.server, begins_with_tls=True)
    assert only(opened(server).send([mail()])).outcome is Outcome.ACCEPTED


def test_a_remote_server_must_offer_tls_with_a_valid_certificate(
    smtp: Start, opened: Open, certificate: ssl.SSLContext
) -> None:
    bare = replace(smtp().server, is_local=False)
    assert only(opened(bare).send([mail()])).error_code == "tls_missing"
    stranger = replace(smtp(options={"tls_context": certificate}).server, is_local=False)
    result = only(opened(stranger).send([mail()]))
    assert (result.outcome, result.error_code) == (Outcome.NOT_SENT, "tls_failed")


def test_checking_sends_nothing(smtp: Start, opened: Open) -> None:
    script = smtp()
    findings = opened(script).check()
    assert [(f.severity, f.code) for f in findings] == [
        (Severity.OK, "connected"),
        (Severity.WARNING, "not_encrypted"),
    ]
    assert script.connections == 1
    assert not script.received


def test_a_closed_channel_can_send_again(smtp: Start, opened: Open) -> None:
    script = smtp()
    channel = opened(script, connections=2)
    for _ in range(2):
        assert len(channel.send([mail(0), mail(1)])) == 2
        channel.close()
    assert len(script.received) == 4


def test_an_invalid_sender_address_is_refused() -> None:
    with pytest.raises(DeliveryError, match="sender"):
        SmtpChannel(SmtpServer("localhost", 25), "Acme")
