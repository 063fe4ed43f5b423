"""Fuzz targets: lines of events files, and payloads of providers."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.channels.sms.twilio_callbacks import InboundSms
from drip_pipeline.domain.events.providers.common import PayloadInvalid
from drip_pipeline.engine.events.event_parser import EventParser, InvalidLine
from drip_pipeline.engine.events.file_reader import SourceLine, parse_line
from drip_pipeline.engine.events.payload_readers import inbound_sms, read
from tests.domain.events.providers import samples
from tests.engine.factories import NOW
from tests.fuzz.hostile import FUZZ, as_json, cases, damaged, noise, replaced, value

LINE: dict[str, Any] = {
    "event_id": "e-1",
    "event_type": "purchase",
    "occurred_at": NOW.isoformat(),
    "message_id": "0b9c6e52-7d4a-5f0e-9c1d-2a3b4c5d6e7f",
    "provider_message_id": "relay-1",
    "email": "ada@example.com",
    "campaign": "Welcome",
    "user_agent": "Mozilla/5.0",
    "ip_address": "192.0.2.1",
    "url": "https://example.com/",
    "data": {"value": "12.50", "currency": "EUR", "location": {"city": "Köln"}, "machine": False},
}
RECEIVED = NOW + timedelta(minutes=5)
FORM = b"MessageSid=SM1&From=%2B15005550006&To=%2B15005550001&Body=STOP&MessageStatus=x"
PROVIDERS = ("ses", "sendgrid", "postmark", "mailgun", "twilio", "generic", "link")
DOCUMENTED = [
    value
    for name, value in sorted(vars(samples).items())
    if name.isupper() and isinstance(value, dict | list)
]


def parse(source: SourceLine) -> None:
    """Parse a line as ingestion does, and return the text that is stored if it is rejected."""
    source.text().encode()
    if source.line is not None:
        try:
            event = EventParser("fuzz", NOW).parse(source.line_number, source.line)
        except InvalidLine:
            return
        event.copy_text.encode("utf-8", "surrogatepass")


def line(random: Random) -> bytes:
    """Return the bytes of a line."""
    match random.randrange(10):
        case 0:
            return noise(random)
        case n if n < 6:
            return as_json(replaced(random, [LINE]))
        case _:
            return damaged(random, [orjson.dumps(LINE)])


def payload(random: Random) -> bytes:
    """Return the body of a call."""
    match random.randrange(10):
        case 0:
            return noise(random)
        case 1:
            return as_json(value(random))
        case n if n < 7:
            return as_json(replaced(random, DOCUMENTED))
        case _:
            return damaged(random, [*(orjson.dumps(sample) for sample in DOCUMENTED), FORM])


@FUZZ
@given(raw=cases(line))
def test_event_line(raw: bytes) -> None:
    parse(parse_line(1, raw))


@FUZZ
@given(event=cases(lambda random: replaced(random, [LINE])))
def test_event_in_memory(event: Any) -> None:
    if isinstance(event, dict):
        parse(SourceLine(1, event))


@FUZZ
@given(provider=st.sampled_from(PROVIDERS), body=cases(payload))
def test_provider_payload(provider: str, body: bytes) -> None:
    try:
        sms = inbound_sms(provider, body)
        if sms is not None:
            assert isinstance(sms, InboundSms)
            return
        parsed = read(provider, body, {"message_id": "x"}, RECEIVED)
    except PayloadInvalid:
        return
    for number, event in enumerate(parsed.lines, start=1):
        parse(SourceLine(number, event))


@pytest.mark.parametrize("raw", [b"", b" ", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_smallest_lines(raw: bytes) -> None:
    parse(parse_line(1, raw))
