"""The recorder accepts messages and sends nothing; responses are redacted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.channels.email.smtp_channel import SmtpChannel
from drip_pipeline.channels.email.smtp_url import SmtpServer
from drip_pipeline.channels.protocol import Channel, Outcome, OutgoingMessage, Severity
from drip_pipeline.channels.recorder import RecordedMessage, RecorderChannel
from drip_pipeline.redaction import redact_response

NAMESPACE = UUID("6f0e2c1a-7f3b-5c4d-9e8f-0123456789ab")


def outgoing(number: int) -> OutgoingMessage:
    return OutgoingMessage(
        delivery_id=uuid5(NAMESPACE, str(number)),
        channel="sms",
        recipient="+15550100",
        created_at=datetime(2026, 1, 28, tzinfo=UTC),
        text="Hi",
    )


def test_all_channels_implement_the_protocol() -> None:
    channels: list[Channel] = [
        RecorderChannel("sms"),
        SmtpChannel(SmtpServer("localhost", 25), "news@example.com"),
    ]
    assert [channel.name for channel in channels] == ["sms", "email"]
    assert [channel.capabilities.is_idempotent for channel in channels] == [True, False]
    assert [channel.capabilities.is_recorder for channel in channels] == [True, False]


def test_recorded_messages_are_accepted_in_order_and_complete() -> None:
    recorder = RecorderChannel("sms")
    messages = [outgoing(number) for number in range(5)]
    results = recorder.send(messages)
    assert [result.delivery_id for result in results] == [m.delivery_id for m in messages]
    assert {result.outcome for result in results} == {Outcome.ACCEPTED}
    assert recorder.messages == messages
    assert [finding.severity for finding in recorder.check()] == [Severity.OK]


def test_the_sink_gets_every_batch_once_and_its_error_stops_the_batch() -> None:
    batches: list[int] = []

    def sink(messages: Sequence[RecordedMessage]) -> None:
        batches.append(len(messages))
        if len(messages) == 2:
            raise RuntimeError("disk full")

    recorder = RecorderChannel("email", sink)
    recorder.send([outgoing(1)])
    recorder.send([])
    with pytest.raises(RuntimeError, match="disk full"):
        recorder.send([outgoing(1), outgoing(2)])
    assert batches == [1, 2]
    assert recorder.messages == []


def test_addresses_and_secrets_are_masked_in_a_response() -> None:
    response = "5.1.1 <Ada.L@Example.org>:\r\n user ada.l unknown (see bob@example.net)"
    assert redact_response(response, "ada.l@example.org") == (
        "5.1.1 <<address>>: user <address> unknown (see <address>)"
    )
    assert redact_response("no mailbox for x y", "x@example.org") == "no mailbox for x y"
    assert redact_response("max size", "") == "max size"
    assert len(redact_response("word " * 1000)) == 500


@given(st.text(), st.emails(), st.text())
def test_no_address_is_kept(before: str, address: str, after: str) -> None:
    kept = redact_response(f"{before[:200]} <{address}> {after}", address)
    assert address not in kept
