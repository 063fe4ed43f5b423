"""Properties of ingestion: neither the order of events, nor their division into files and chunks,
nor repetition changes the outcomes of messages, contacts, conversions and days.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.engine.events import chunking as chunking
from drip_pipeline.engine.events.ingest import ingest_events
from drip_pipeline.engine.metrics.daily_metrics import (
    aggregate_days,
    days_between,
    refresh_stale_days,
)
from drip_pipeline.engine.operations.invariants import check_invariants
from tests.conftest import own_database
from tests.engine.factories import (
    NOW,
    Sent,
    a_running_test,
    an_event,
    people_inside,
    rows_of,
    run_until_idle,
    sent_messages,
)
from tests.engine.graphs import email, end, goal, graph, split, trigger, wait_hours

LATER = NOW + timedelta(days=5)
PEOPLE = 8
TYPES = (
    "email_delivered", "email_opened", "email_clicked", "email_replied", "email_bounced",
    "email_unsubscribed", "email_complained", "email_deferred", "email_failed", "converted",
    "purchase", "purchase", "page_view",
)  # fmt: skip
CAMPAIGN = graph(
    trigger("split"),
    split("split", {"a": 40, "b": 40, "holdout": 20}, a="first", b="first"),
    email("first", default="pause"),
    wait_hours("pause", 24, default="second"),
    email("second", default="end"),
    end(),
    goal=goal("purchase", 30),
)


@pytest.fixture(scope="module")
def mailed_contacts(server_url: str, template: str) -> Iterator[tuple[Database, list[Sent]]]:
    """People who got two mails, a day apart, some held out; reused by all examples."""
    with own_database(server_url, template) as database:
        campaign, _ = people_inside(database, CAMPAIGN, PEOPLE)
        run_until_idle(database, NOW + timedelta(days=1))
        with database.transaction() as connection:
            a_running_test(connection, campaign, "split")
            sent = sent_messages(connection, campaign)
        yield database, sent


@st.composite
def events(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Lines of an events file; the recipient is a number that the test turns into a message."""
    lines = []
    for number in range(draw(st.integers(0, 25))):
        line: dict[str, Any] = {
            "number": number,
            "event_type": draw(st.sampled_from(TYPES)),
            "occurred_at": (NOW + timedelta(minutes=draw(st.integers(-10, 4_000)))).isoformat(),
            "message": draw(st.integers(0, 30)),
            "person": draw(st.integers(1, PEOPLE + 1)),
            "by": draw(st.sampled_from(("message", "campaign", "address"))),
        }
        if draw(st.booleans()):
            line["data"] = {
                "machine": draw(st.booleans()),
                "value": draw(st.integers(-500, 50_000)) / 100,
                "bounce_type": draw(st.sampled_from(("hard", "soft"))),
                "currency": draw(st.sampled_from(("EUR", "usd ", "coins"))),
            }
        lines.append(line)
    return lines


def addressed(line: dict[str, Any], sent: list[Sent]) -> dict[str, Any]:
    """The line as a provider writes it; some name unknown messages and contacts."""
    fields: dict[str, Any] = {name: line[name] for name in ("occurred_at", "data") if name in line}
    match line["by"]:
        case "message":
            observable = line["message"] < len(sent)
            fields["message_id"] = sent[line["message"]].message_id if observable else "unknown"
        case "campaign":
            fields |= {"email": f"person{line['person']}@example.com", "campaign": "Welcome"}
        case "address":
            fields["email"] = f"person{line['person']}@example.com"
    return an_event(line["number"], line["event_type"], **fields)


def forget_events(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(
            "TRUNCATE ingested_event_keys, rejected_events, contact_events, stale_metric_days, "
            "campaign_daily_metrics, campaign_suppressions"
        )
        connection.execute(
            "DELETE FROM campaign_events WHERE event_source <> 'system' OR event_type = 'converted'"
        )
        connection.execute(
            "UPDATE campaign_message_outcomes SET delivered_at = NULL, first_opened_at = NULL, "
            "first_machine_opened_at = NULL, open_count = 0, first_clicked_at = NULL, "
            "first_machine_clicked_at = NULL, click_count = 0, first_replied_at = NULL, "
            "first_converted_at = NULL, conversion_value = 0, unsubscribed_at = NULL, "
            "complained_at = NULL, bounced_at = NULL, failed_at = NULL, "
            "soft_bounced_at = NULL"
        )
        connection.execute(
            "UPDATE campaign_split_assignments SET first_converted_at = NULL, conversion_value = 0"
        )


def observable(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """All data that must not depend on order, chunks and repetition."""
    return {
        "outcomes": rows_of(connection, "campaign_message_outcomes"),
        "assignments": rows_of(connection, "campaign_split_assignments"),
        "contact events": rows_of(connection, "contact_events"),
        "keys": rows_of(connection, "ingested_event_keys"),
        "days": rows_of(connection, "campaign_daily_metrics", "1, 3, 4, 5, 6, 7"),
        "log": connection.execute(
            "SELECT id, event_type, message_id, enrollment_id, created_at, event_data "
            "FROM campaign_events WHERE event_source <> 'system' OR event_type = 'converted' "
            "ORDER BY id"
        ).fetchall(),
        "rejected": connection.execute(
            "SELECT reason, raw FROM rejected_events GROUP BY reason, raw ORDER BY reason, raw"
        ).fetchall(),
    }


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(lines=events(), data=st.data())
def test_order_chunks_and_repetition_change_nothing(mailed_contacts, lines, data):
    database, sent = mailed_contacts
    whole = [addressed(line, sent) for line in lines]
    repeated = data.draw(st.lists(st.sampled_from(whole), max_size=5)) if whole else []
    shuffled = data.draw(st.permutations(whole + repeated))
    chunk_size = data.draw(st.integers(1, 10))
    parted_from = data.draw(st.sampled_from((1, chunking.PARTED_FROM)))
    cut = data.draw(st.integers(0, len(shuffled)))

    forget_events(database)
    ingest_events(database, whole, source="whole", now=LATER)
    aggregate_days(database, days_between(NOW.date(), LATER.date()))
    with database.transaction() as connection:
        at_once = observable(connection)

    forget_events(database)
    for part in (shuffled[:cut], shuffled[cut:], shuffled):
        with patch.object(chunking, "PARTED_FROM", parted_from):
            report = ingest_events(database, part, source="part", now=LATER, chunk_size=chunk_size)
        taken = report.accepted + report.duplicates + sum(report.rejected.values())
        assert report.lines == len(part) == taken
        refresh_stale_days(database, now=LATER)
    with database.transaction() as connection:
        in_parts = observable(connection)

    assert in_parts == at_once
    names = (
        "outcomes_match_log",
        "metrics_match_outcomes",
        "rates",
        "sent_once",
        "population",
    )
    results = check_invariants(database, now=LATER, names=names, are_metrics_fresh=True)
    assert [result.name for result in results if not result.holds] == []
