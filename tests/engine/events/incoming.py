"""Helpers of tests that let events come in and look at what they did."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.events.ingest import IngestReport, ingest_events
from tests.engine.factories import NOW, Published, Sent, people_inside, sent_messages
from tests.engine.graphs import email, end, graph, trigger

LATER = NOW + timedelta(hours=1)
ONE_MAIL = graph(trigger("mail"), email("mail", default="end"), end())


def ingest(database: Database, events: list[dict[str, Any]], **options: Any) -> IngestReport:
    """Take in events that are in memory, an hour after the messages went out."""
    return ingest_events(database, events, source="test.ndjson", **({"now": LATER} | options))


def mailed(database: Database, count: int = 1) -> tuple[Published, list[Sent]]:
    """A campaign of one email, and the messages that `count` contacts received at NOW."""
    campaign, _ = people_inside(database, ONE_MAIL, count)
    with database.transaction() as connection:
        return campaign, sent_messages(connection, campaign)


def rows(database: Database, statement: str, *params: Any) -> list[tuple[Any, ...]]:
    """All rows of a statement."""
    with database.transaction() as connection:
        return connection.execute(statement, params).fetchall()


def value(database: Database, statement: str, *params: Any) -> Any:
    """The one value that a statement gives."""
    ((result,),) = rows(database, statement, *params)
    return result


def rejects(database: Database) -> list[tuple[Any, ...]]:
    """source, line number, reason and raw text of the lines kept aside."""
    return rows(
        database,
        "SELECT source, line_number, reason, raw FROM rejected_events ORDER BY line_number",
    )


def minutes(after: float) -> str:
    """So many minutes after NOW, as an events file writes it."""
    return (NOW + timedelta(minutes=after)).isoformat()


def nested(depth: int) -> Any:
    """Objects in objects, so many deep."""
    inner: Any = 1
    for _ in range(depth):
        inner = {"a": inner}
    return inner
