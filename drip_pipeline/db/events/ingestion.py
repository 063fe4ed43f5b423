"""Events on their way in: staging a slice, finding out whose they are, writing them down, and what
they do to outcomes and waiting states. All of it works on the slice that `stage` has put into the
transaction; each function is one statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from psycopg import sql

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.error_translation import translated_errors

# Any constant that nobody else in the database uses: the first bytes of
# sha256('drip_pipeline.ingest').
LOCK_KEY: Final = 0x5B4D_F414
INGESTION_PARTITIONS: Final = 2
"""Events of one message go along one lane, and one transaction at a time is on each."""
ALL_PARTITIONS: Final = tuple(range(INGESTION_PARTITIONS))
KEYS_TABLE: Final = "ingested_event_keys"
_COPY: Final = sql.SQL("COPY staged_events FROM STDIN (NULL '')")

RejectedLine = tuple[int, str]
"""A line that is not taken: its number, and why; DUPLICATE where it was taken before."""
DUPLICATE: Final = "duplicate"
NO_SUCH_MESSAGE: Final = "no such message"


def copy_line(fields: Sequence[str]) -> str:
    """A row in the notation of COPY; an empty text is NULL.

    By hand because a million rows a minute go through here, and hardly any needs escaping.
    """
    line = "\t".join(fields)
    if "\\" in line or "\n" in line or "\r" in line or line.count("\t") >= len(fields):
        line = "\t".join(_escaped(field) for field in fields)
    return line


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def lock(connection: Connection, lanes: Iterable[int]) -> None:
    """Wait until nobody else takes events in on these lanes, and be the one until the transaction
    ends.
    """
    for lane in sorted(lanes):
        queries.run(connection, "lock_ingestion", lock_key=LOCK_KEY, lane=lane)


def stage(connection: Connection, lines: Iterable[str]) -> None:
    """Begin a slice: load these lines of `copy_line`."""
    queries.run(connection, "create_staging")
    queries.run(connection, "create_arrivals")
    with translated_errors(), connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.write("\n".join([*lines, ""]))
    queries.run(connection, "sample_little")
    queries.run(connection, "analyze_staging")


def workspaces(connection: Connection, name: str | None) -> list[UUID]:
    """The workspaces of that name or id, or without one all; at most two."""
    return [row[0] for row in queries.tuples(connection, "workspaces_for_events", name=name)]


# --- whose events they are ------------------------------------------------------------------------


def resolve_provider_refs(connection: Connection) -> None:
    """Translate providers' message ids into ours."""
    queries.run(connection, "resolve_provider_refs")


def resolve_by_message(
    connection: Connection, workspace_id: UUID | None, lines: Sequence[int] | None = None
) -> list[tuple[int, str, UUID | None]]:
    """Take the events that name a known message (of these lines, or all); the rest comes back, with
    the message that they name.
    """
    return [
        (row[0], row[1], row[2])
        for row in queries.tuples(
            connection, "resolve_by_message", workspace_id=workspace_id, lines=lines
        )
    ]


def lock_deliveries(
    connection: Connection, workspace_id: UUID | None, ids: Sequence[UUID]
) -> list[dict[str, Any]]:
    """id, enrollment_id, channel, status of these deliveries, locked."""
    return queries.rows(connection, "lock_deliveries", workspace_id=workspace_id, ids=ids)


def resolve_by_campaign(
    connection: Connection, workspace_id: UUID | None, tolerance: timedelta
) -> list[RejectedLine]:
    """Take the events that name an address and a campaign; the rest comes back."""
    return _misfits(
        connection, "resolve_by_campaign", workspace_id=workspace_id, tolerance=tolerance
    )


def resolve_by_address(connection: Connection, workspace_id: UUID | None) -> list[RejectedLine]:
    """Take the events that name an address alone; the rest comes back."""
    return _misfits(connection, "resolve_by_address", workspace_id=workspace_id)


def _misfits(connection: Connection, name: str, **params: Any) -> list[RejectedLine]:
    return [(row[0], row[1]) for row in queries.tuples(connection, name, **params)]


def months_of_arrivals(connection: Connection) -> dict[str, bool]:
    """The months, as 2026-03 in UTC, that the taken events fall into; whether the log has a
    partition for them.
    """
    return {row[0]: row[1] for row in queries.tuples(connection, "months_of_arrivals")}


# --- writing them down ----------------------------------------------------------------------------


def keep_keys(connection: Connection, now: datetime) -> int:
    """Make the events that were taken known, so that they are duplicates from now on; how many."""
    return queries.run(connection, "keep_event_keys", now=now)


def add_conversions(connection: Connection) -> int:
    """Put beside the events the conversions that they amount to; how many. To be logged alike."""
    return queries.run(connection, "add_conversions")


def log(connection: Connection, now: datetime) -> None:
    """Write the events that were taken into the log, or to their contacts."""
    queries.run(connection, "log_arrivals")
    queries.run(connection, "keep_contact_arrivals", now=now)


def reject(
    connection: Connection,
    rows: Sequence[tuple[int, str, str]],
    *,
    workspace_id: UUID | None,
    source: str,
    now: datetime,
) -> None:
    """Keep lines aside; rows are (line number, reason, raw text)."""
    queries.run(
        connection,
        "reject_events",
        workspace_id=workspace_id,
        source=source,
        line_numbers=[row[0] for row in rows],
        reasons=[row[1] for row in rows],
        raws=[row[2] for row in rows],
        now=now,
    )


def rejected_by_reason(connection: Connection, source: str | None = None) -> list[dict[str, Any]]:
    """source, reason, lines, latest_at of what is kept aside."""
    return queries.rows(connection, "rejected_by_reason", source=source)


# --- what they do ---------------------------------------------------------------------------------


def apply_to_outcomes(connection: Connection) -> None:
    """Bring message outcomes up to date."""
    queries.run(connection, "apply_to_outcomes")


def apply_to_assignments(connection: Connection) -> None:
    """Bring conversions of assigned people up to date."""
    queries.run(connection, "apply_to_assignments")


def lock_affected_states(connection: Connection, ending: Sequence[str]) -> int:
    """Lock the states that may be woken or ended, waiting for who is moving them; how many."""
    return int(queries.scalar(connection, "lock_affected_states", ending=list(ending)))


def resume_waiting_states(connection: Connection, now: datetime, tolerance: timedelta) -> int:
    """Wake the waiting states that the events are for; how many."""
    return queries.run(connection, "resume_waiting_states", now=now, tolerance=tolerance)


def people_to_suppress(
    connection: Connection, suppressing: Sequence[str]
) -> list[tuple[UUID, str, str]]:
    """(contact, channel, reason) of whom nothing more may be sent to."""
    return [
        (row[0], row[1], row[2])
        for row in queries.tuples(connection, "people_to_suppress", suppressing=list(suppressing))
    ]


def states_to_end(connection: Connection, ending: Sequence[str]) -> list[tuple[Any, ...]]:
    """Open states that the events end: the columns of a claimed state, and the event type."""
    return queries.tuples(connection, "states_to_end", ending=list(ending))
