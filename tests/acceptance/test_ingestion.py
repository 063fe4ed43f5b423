"""Hundreds of thousands of provider events: the landing job with exact totals and limited memory,
and one chunk that resumes all waiting states.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import time_machine

from benchmarks.provider_events import (
    NOW,
    REPORTED,
    mailed_people,
    message_id,
    provider_events,
)
from drip_pipeline.engine.events.ingest import ingest_events
from drip_pipeline.engine.operations.invariants import check_invariants
from sensors.imported_files import imported_files
from tests.engine.events.incoming import rows, value
from tests.engine.factories import a_workspace
from tests.orchestration.test_landing import run
from tests.orchestration.test_sensors import tick

# The sizes at which this is believed: INGEST_EVENTS=1000000 INGEST_WAITING=100000
EVENTS = int(os.environ.get("INGEST_EVENTS", "8000"))
WAITING = int(os.environ.get("INGEST_WAITING", "2000"))
MOST_MEMORY_KIB = 1_000_000


def written_elsewhere(path: Path, lines: int, contacts: int) -> Any:
    """The file, written by another process: its million rows are not this one's memory."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as other:
        return other.submit(provider_events, path, lines, contacts).result()


def show(text: str) -> None:
    """Print a result of a run at full size, visible with -s."""
    sys.stderr.write(f"{text}\n")


def test_the_landing_job_loads_shuffled_repeated_and_broken_events_exactly(
    engine_database, instance, tmp_path
):
    database, contacts = engine_database, max(1, EVENTS * 3 // 10)
    with database.transaction() as connection:
        a_workspace(connection)
    mailed_people(database, contacts, waiting=contacts // 10, waits_for="email_clicked")
    folder = tmp_path / "landing" / "ses"
    folder.mkdir(parents=True)
    expected = written_elsewhere(folder / "events.parquet", EVENTS, contacts)
    with time_machine.travel(REPORTED):
        _, _, cursor = tick(imported_files, instance)
        ((request,), _, _) = tick(imported_files, instance, cursor)
    began = time.perf_counter()
    result = run(instance, request, now=REPORTED)
    seconds = time.perf_counter() - began
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert result.success
    [loaded] = rows(
        database, "SELECT outcome, lines, accepted, duplicates, rejected, resumed FROM landed_files"
    )
    resumed = sum(1 for person in expected.clicked_by if person <= contacts // 10)
    assert loaded == (
        "loaded", expected.lines, expected.accepted, expected.duplicates, expected.rejected,
        resumed,
    )  # fmt: skip
    assert rows(
        database,
        "SELECT count(*), count(delivered_at), sum(open_count), sum(click_count) "
        "FROM campaign_message_outcomes",
    ) == [(contacts, expected.delivered, expected.opens, expected.clicks)]
    assert value(database, "SELECT count(*) FROM ingested_event_keys") == expected.accepted
    assert value(database, "SELECT count(*) FROM rejected_events") == sum(
        expected.rejected.values()
    )
    assert rows(
        database,
        "SELECT count(*) FROM campaign_workflow_states WHERE resume_port = 'event' "
        "AND workflow_status = 'running' AND next_execution_at = %s",
        REPORTED,
    ) == [(resumed,)]
    names = ("outcomes_match_log", "sent_once")
    broken = [
        result.name
        for result in check_invariants(database, now=REPORTED, names=names)
        if not result.holds
    ]
    assert broken == []
    assert peak_kib < MOST_MEMORY_KIB
    show(f"{EVENTS:,} lines in {seconds:.1f} s, {EVENTS / seconds:,.0f} a second, with Dagster")
    show(f"{resumed:,} states resumed; peak memory {peak_kib / 1024:,.0f} MiB")


def test_all_states_with_an_arriving_event_are_resumed_in_one_chunk(database):
    opened = WAITING * 3 // 10
    with database.transaction() as connection:
        a_workspace(connection)
    mailed_people(database, WAITING, waiting=WAITING, waits_for="email_opened")
    contacts = random.Random(3).sample(range(1, WAITING + 1), opened)
    events = [
        {
            "event_id": person,
            "event_type": "email_opened",
            "occurred_at": NOW.isoformat(),
            "message_id": message_id(person),
        }
        for person in contacts
    ]
    began = time.perf_counter()
    report = ingest_events(database, events, source="opens", now=REPORTED)
    seconds = time.perf_counter() - began
    assert (report.accepted, report.resumed, report.chunks) == (opened, opened, 1)
    assert rows(
        database,
        "SELECT workflow_status, resume_port, count(*) FROM campaign_workflow_states "
        "GROUP BY 1, 2 ORDER BY 1",
    ) == [("running", "event", opened), ("waiting", "timeout", WAITING - opened)]
    again = ingest_events(database, events, source="opens", now=REPORTED)
    assert (again.duplicates, again.resumed) == (opened, 0)
    show(f"{opened:,} of {WAITING:,} waiting states resumed in {seconds:.2f} s")
