"""Compare ingestion (staging, deduplication, log, outcomes, resumed waits) with COPY into staging
and one deduplicating insert into the indexed log.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Final

import psycopg

from benchmarks.provider_events import REPORTED, Reported, mailed_people, provider_events
from benchmarks.report import Figure, figure, in_turn
from benchmarks.sections import Options
from benchmarks.server import copied_database, fresh_database
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.events.event_parser import EventParser, InvalidLine
from drip_pipeline.engine.events.file_reader import read_lines
from drip_pipeline.engine.events.ingest import DEFAULT_PROVIDER, ingest_file

PEOPLE_SHARE: Final = 0.3
"""Ratio of sent messages to events in the file: each message has three or four."""
WAITING_SHARE: Final = 0.1
"""Share of contacts that wait for a click."""


def section(options: Options) -> list[Figure]:
    """ingest_vs_copy: events per second of the one to those of the other."""
    lines = max(100_000, options.events // 10)
    people = round(lines * PEOPLE_SHARE)
    repeats = min(options.repeats, 3 if options.is_quick else 5)
    with (
        tempfile.TemporaryDirectory(prefix="drip-bench-events-") as folder,
        fresh_database(options.server_url) as before,
    ):
        options.say(f"{people:,} people who got a mail, {lines:,} events about it")
        mailed_people(
            before, people, waiting=round(people * WAITING_SHARE), waits_for="email_clicked"
        )
        before.close()
        reported = provider_events(Path(folder, "events.parquet"), lines, people)
        copy_text = Path(folder, "events.copy")
        copy_text.write_text(_copy_lines(reported), encoding="utf-8")

        def measured(run: Callable[[Database], float]) -> Callable[[], float]:
            def once() -> float:
                with copied_database(options.server_url, before) as database:
                    return run(database)

            return once

        ours, theirs = in_turn(
            repeats,
            measured(lambda database: _ingest(database, reported)),
            measured(lambda database: _copy_and_insert(database, copy_text, reported)),
        )
    told = f"{lines:,} lines of Parquet; ours {_range(ours)}, COPY and insert {_range(theirs)}"
    return [figure("ingest_vs_copy", ours, theirs, told)]


def _range(rates: list[float]) -> str:
    return f"{min(rates):,.0f} to {max(rates):,.0f} events/s"


def _ingest(database: Database, reported: Reported) -> float:
    """Events per second of the whole way; the figures must be right."""
    with database.transaction() as connection:
        connection.execute("SELECT 1")
    began = perf_counter()
    report = ingest_file(database, reported.path, now=REPORTED)
    seconds = perf_counter() - began
    assert report.accepted == reported.accepted, report
    assert report.duplicates == reported.duplicates, report
    assert report.rejected == reported.rejected, report
    assert report.resumed > 0, report
    return reported.lines / seconds


_STAGE: Final = (
    "CREATE UNLOGGED TABLE bare_staging (id uuid NOT NULL, event_type text NOT NULL,"
    " created_at timestamptz NOT NULL, message_id uuid NOT NULL, user_agent text, ip_address inet,"
    " device_type text, event_data jsonb NOT NULL)"
)
_INSERT: Final = (
    # The enrollment's index is kept up, too: its ids are as many and as random as the messages'.
    "INSERT INTO campaign_events (id, event_type, created_at, message_id, enrollment_id,"
    " user_agent, ip_address, device_type, event_data)"
    " SELECT id, event_type, created_at, message_id, message_id, user_agent, ip_address,"
    " device_type, event_data FROM bare_staging ON CONFLICT DO NOTHING"
)


def _copy_and_insert(database: Database, copy_text: Path, reported: Reported) -> float:
    """Events per second of COPY into staging and the insert; the lines are checked, parsed and
    written in COPY's notation beforehand.
    """
    with psycopg.connect(database.url) as connection:
        began = perf_counter()
        connection.execute(_STAGE)
        with (
            copy_text.open("rb") as file,
            connection.cursor() as cursor,
            cursor.copy("COPY bare_staging FROM STDIN (NULL '')") as copy,
        ):
            while chunk := file.read(1 << 20):
                copy.write(chunk)
        inserted = connection.execute(_INSERT).rowcount
        connection.commit()
        seconds = perf_counter() - began
    # Events of unknown messages go in as well: the bare way does not look.
    assert inserted == reported.accepted + reported.rejected["no such message"], inserted
    return reported.lines / seconds


# Of a row of EventParser, the columns of the bare staging table.
_COLUMNS: Final = (0, 2, 3, 4, 12, 13, 14, 16)


def _copy_lines(reported: Reported) -> str:
    parser = EventParser(DEFAULT_PROVIDER, REPORTED)
    lines = []
    for number, line, _, _ in read_lines(reported.path):
        try:
            fields = parser.parse(number, line or {}).copy_text.split("\t")
        except InvalidLine:
            continue
        lines.append("\t".join(fields[column] for column in _COLUMNS))
    return "\n".join([*lines, ""])
