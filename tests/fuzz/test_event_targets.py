"""Fuzz targets: lines of events files, and payloads of providers."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.channels.sms.twilio_callbacks import InboundSms
from drip_pipeline.db.connection import Database
from drip_pipeline.domain.events.providers.common import PayloadInvalid
from drip_pipeline.engine.events.event_parser import DATA_TOO_DEEP, EventParser, InvalidLine
from drip_pipeline.engine.events.file_reader import SourceLine, parse_line, read_lines
from drip_pipeline.engine.events.ingest import IngestOptions, ingest_lines
from drip_pipeline.engine.events.payload_readers import inbound_sms, read
from tests.domain.events.providers import samples
from tests.engine.events.incoming import value as value_of
from tests.engine.factories import NOW, a_workspace, contacts
from tests.fuzz.conftest import EXAMPLES, IS_SHORT
from tests.fuzz.hostile import (
    FUZZ,
    as_json,
    cases,
    damaged,
    nested,
    noise,
    replaced,
    text,
    value,
)

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
OWN: dict[str, Any] = {
    "event_id": "o-1",
    "event_type": "order.shipped",
    "occurred_at": NOW.isoformat(),
    "email": "person1@example.com",
    "data": {
        "order_id": "A-1",
        "total": 12.5,
        "items": [{"sku": "x"}],
        "customer": {"plan": "pro"},
    },
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


def own_line(random: Random, number: int) -> bytes:
    """Return the bytes of a line of an own event: most have an id of their own."""
    if random.randrange(20) == 0:
        return noise(random)
    own = {**OWN, "event_id": f"o-{number}"}
    match random.randrange(8):
        case 0:
            own["event_type"] = text(random)
        case 1:
            own["data"] = {"text": "x" * random.choice([30_000, 33_000, 500_000])}
        case 2:
            own["data"] = nested(random.choice([7, 8, 9, 200, 900]))
        case 3:
            own["data"] = value(random)
        case 4:
            own["data"] = {text(random): value(random) for _ in range(random.randrange(300))}
    content = own if random.randrange(3) else replaced(random, [own])
    raw = as_json(content)
    if random.randrange(4) == 0:  # the same key twice
        raw = (
            raw[:-1] + b', "data": ' + as_json(value(random)) + b', "event_type": "order.shipped"}'
        )
    return damaged(random, [raw]) if random.randrange(6) == 0 else raw


def test_events_are_taken_or_set_aside_and_never_in_part(database: Database, tmp_path: Path):
    with database.transaction() as connection:
        contacts(connection, a_workspace(connection), 1)
    random = Random(17 if IS_SHORT else None)
    path = tmp_path / "own.ndjson"
    path.write_bytes(b"\n".join(own_line(random, number) for number in range(EXAMPLES)))
    # Small chunks: of each the part with a value that the database refuses is searched for.
    options = IngestOptions(source=path.name, now=RECEIVED, chunk_size=500)
    report = ingest_lines(database, read_lines(path), options)
    taken = report.accepted
    assert report.lines == taken + report.duplicates + sum(report.rejected.values())
    assert taken > EXAMPLES / 4
    reasons = {DATA_TOO_DEEP, "the line is longer than 32 kB"}
    assert reasons <= report.rejected.keys()
    assert value_of(database, "SELECT count(*) FROM contact_events") == taken
    assert value_of(database, "SELECT count(*) FROM ingested_event_keys") == taken
    assert value_of(database, "SELECT count(*) FROM rejected_events") == sum(
        report.rejected.values()
    )
    own = "SELECT count(*) FROM contact_events WHERE event_type NOT IN (SELECT event_type FROM "
    assert value_of(database, "SELECT sum(events) FROM event_names") == value_of(
        database, own + "campaign_event_types)"
    )
    again = ingest_lines(database, read_lines(path), options)
    assert (again.accepted, again.lines) == (0, report.lines)


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
