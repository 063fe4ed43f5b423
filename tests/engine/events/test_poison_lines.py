"""A line or payload that cannot be processed costs itself only, and is kept with its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.events.event_parser import OF_NO_MESSAGE, EventParser
from drip_pipeline.engine.events.ingest import ingest_file
from drip_pipeline.engine.events.landing_folder import load_files, look
from drip_pipeline.engine.events.retry_rejected import retry_rejected
from drip_pipeline.engine.operations import incidents
from tests.engine.events.incoming import LATER, ingest, mailed, minutes, rejects, rows, value
from tests.engine.events.test_drain_inbox import came_in, drained, inbox
from tests.engine.factories import Sent

HUGE = "1e1000000000"
AMOUNTS = [HUGE, "-1e1000000000", "1e-1000000000", "NaN", "sNaN", "Infinity", "9" * 5_000, [], {}]


def clicked(number: int, sent: Sent) -> dict[str, Any]:
    return {
        "event_id": f"e-{number}",
        "event_type": "email_clicked",
        "occurred_at": minutes(5),
        "message_id": str(sent.message_id),
    }


def bought(number: int, sent: Sent, amount: object) -> dict[str, Any]:
    return clicked(number, sent) | {"event_type": "purchase", "data": {"value": amount}}


@pytest.mark.parametrize("amount", AMOUNTS, ids=[str(amount)[:14] for amount in AMOUNTS])
def test_an_amount_that_decimal_cannot_compute_costs_its_line(database: Database, amount: object):
    _, sent = mailed(database, 2)
    report = ingest(
        database, [clicked(1, sent[0]), bought(2, sent[0], amount), clicked(3, sent[1])]
    )
    assert report.accepted + sum(report.rejected.values()) == 3
    assert report.accepted >= 2
    assert set(report.rejected) <= {"data.value is not an amount"}


def test_a_payload_that_cannot_be_computed_does_not_stop_the_inbox(database: Database):
    _, (sent,) = mailed(database)
    came_in(database, bought(1, sent, HUGE), clicked(2, sent))
    report = drained(database)
    assert (report.done, report.rejected, report.accepted) == (1, 1, 1)
    assert inbox(database)[0] == ("rejected", 1, "data.value is not an amount")


def test_a_file_of_the_landing_folder_loses_only_its_bad_line(database: Database, tmp_path: Path):
    _, (sent,) = mailed(database)
    lines = [clicked(1, sent), bought(2, sent, HUGE), clicked(3, sent)]
    (tmp_path / "day.ndjson").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    requested = {file.path: file.identity for file in look(tmp_path)}
    (loaded,) = load_files(database, tmp_path, requested, now=LATER)
    assert (loaded.outcome, loaded.accepted, loaded.rejected) == (
        "loaded", 2, {"data.value is not an amount": 1},
    )  # fmt: skip


def test_any_exception_of_the_parser_costs_its_line(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    _, sent = mailed(database, 3)
    parse = EventParser.parse

    def failing(self: EventParser, number: int, line: Any) -> Any:
        if number == 2:
            raise RecursionError("too deep")
        return parse(self, number, line)

    monkeypatch.setattr(EventParser, "parse", failing)
    report = ingest(database, [clicked(n, s) for n, s in enumerate(sent)])
    assert (report.accepted, report.rejected) == (
        2,
        {"the line cannot be read (RecursionError)": 1},
    )
    assert [row[1] for row in rejects(database)] == [2]


def test_an_event_that_a_statement_refuses_is_found_by_bisection(database: Database):
    _, sent = mailed(database, 5)
    with database.transaction() as connection:
        # An application's own trigger: neither a data error nor a constraint.
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'not this one'; END $$"
        )
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON campaign_events FOR EACH ROW "
            "WHEN (new.event_data ->> 'url' = 'http://bad') EXECUTE FUNCTION refuse()"
        )
    events = [clicked(n, s) for n, s in enumerate(sent)]
    events[3]["url"] = "http://bad"
    report = ingest(database, events)
    assert report.accepted == 4
    assert report.rejected == {"the event could not be written (DatabaseError)": 1}


def test_a_value_that_a_parquet_column_cannot_give_costs_its_row(
    database: Database, tmp_path: Path
):
    _, (sent,) = mailed(database)
    lines = [clicked(n, sent) for n in (1, 2, 3)]
    table = pa.table(
        {
            **{name: [line[name] for line in lines] for name in lines[0]},
            # The second is beyond the year 9999, which Python's dates cannot hold.
            "data": pa.array([0, 2**31 - 1, 0], pa.int32()).cast(pa.date32()),
        }
    )
    pq.write_table(table, tmp_path / "day.parquet")
    report = ingest_file(database, tmp_path / "day.parquet", now=LATER)
    assert report.lines == 3
    assert report.rejected["column data cannot be read"] == 1


def test_rejected_lines_are_retried_from_their_stored_text(database: Database):
    _, (sent,) = mailed(database)
    good, bad = clicked(1, sent), {**clicked(2, sent), "event_type": "email_danced"}
    ingest(database, [{**good, "message_id": "unknown-yet"}, bad], provider="relay")
    with database.transaction() as connection:
        connection.execute("UPDATE campaign_deliveries SET provider_message_id = 'unknown-yet'")
    report = retry_rejected(database, now=LATER)
    assert (report.lines, report.accepted) == (2, 1)
    assert report.rejected == {OF_NO_MESSAGE: 1}
    assert [row[2] for row in rejects(database)] == [OF_NO_MESSAGE]
    # The provider was kept: the same event from the same provider is a duplicate.
    assert ingest(database, [good], provider="relay").duplicates == 1


def test_a_retry_is_limited_to_a_source_and_a_reason(database: Database):
    mailed(database)
    ingest(database, [{"event_id": "1"}, {}])
    assert retry_rejected(database, now=LATER, source="other").lines == 0
    assert retry_rejected(database, now=LATER, reason="event_type is missing").lines == 2
    assert value(database, "SELECT count(*) FROM rejected_events") == 2


def test_many_rejected_lines_or_payloads_are_an_incident(database: Database):
    _, (sent,) = mailed(database)
    came_in(database, *[bought(n, sent, HUGE) for n in range(20)])
    drained(database)
    ingest(database, [bought(n, sent, HUGE) for n in range(19)])
    unknown = {"message_id": "11111111-1111-4111-8111-111111111111"}
    ingest(database, [clicked(n, sent) | unknown for n in range(100, 130)])
    (incident,) = incidents.current(database, now=LATER, backlog_minutes=10_000)
    assert incident.kind == "events_rejected"
    assert incident.sentence == (
        "20 payloads of generic were rejected within a day, most of them because:"
        " data.value is not an amount."
    )
    ingest(database, [bought(200, sent, HUGE)])
    current = incidents.current(database, now=LATER, backlog_minutes=10_000)
    assert [each.details["source"] for each in current] == ["test.ndjson", "generic"]


def test_a_value_that_exceeds_a_limit_of_postgresql_is_an_error_of_the_data(database: Database):
    # Class 54, which psycopg counts among the operational errors like a lost connection.
    from drip_pipeline.errors import DataRejected

    with pytest.raises(DataRejected):
        rows(database, "SELECT (repeat('[', 100000) || repeat(']', 100000))::jsonb")


@pytest.mark.parametrize("field", ["event_id", "user_agent", "campaign"])
def test_half_a_character_costs_its_line(database: Database, field: str):
    _, sent = mailed(database, 2)
    events = [clicked(1, sent[0]), clicked(2, sent[1]) | {field: "a\ud800"}]
    report = ingest(database, [*events, clicked(3, sent[1])])
    assert (report.accepted, sum(report.rejected.values())) in [(2, 1), (3, 0)]
    assert report.accepted == (3 if field == "campaign" else 2)  # not read beside a message


def test_a_text_message_that_the_database_refuses_does_not_stop_the_inbox(database: Database):
    _, (sent,) = mailed(database)
    came_in(database, b"MessageSid=SM1&From=%2B1%00&To=%2B1&Body=STOP", provider="twilio")
    came_in(database, clicked(1, sent))
    report = drained(database)
    assert (report.rows, report.accepted) == (2, 1)
