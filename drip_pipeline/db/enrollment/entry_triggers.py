"""Entry triggers: who listens, the queue of people who came to match, and how far a walk through
everybody has come.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


def listening(connection: Connection) -> list[dict[str, Any]]:
    """The triggers of active campaigns."""
    return queries.rows(connection, "entry_triggers")


def take_notes(
    connection: Connection, trigger_id: int, chunk_size: int
) -> list[tuple[int, UUID, UUID | None]]:
    """(note, contact, event), taken out of the queue."""
    return [
        (row[0], row[1], row[2])
        for row in queries.tuples(
            connection, "take_entry_notes", trigger_id=trigger_id, chunk_size=chunk_size
        )
    ]


def who_match(
    connection: Connection,
    contact_ids: Sequence[UUID],
    *,
    tag: str | None,
    at_least: float | None,
) -> set[UUID]:
    """Those who have the tag, or the score, now."""
    return {
        row[0]
        for row in queries.tuples(
            connection, "people_who_match", contact_ids=contact_ids, tag=tag, at_least=at_least
        )
    }


def in_campaign(
    connection: Connection, campaign_id: UUID, contact_ids: Sequence[UUID]
) -> set[UUID]:
    """Those who are or were in the campaign."""
    return {
        row[0]
        for row in queries.tuples(
            connection, "people_in_campaign", campaign_id=campaign_id, contact_ids=contact_ids
        )
    }


def lock(connection: Connection, trigger_id: int, now: datetime) -> dict[str, Any] | None:
    """The trigger's place, held until the transaction ends; None while another has it, or when it
    is gone.
    """
    return queries.one(connection, "lock_entry_trigger", trigger_id=trigger_id, now=now)


def begin_to_open(connection: Connection, trigger_id: int) -> None:
    """From now on, wait for the transactions that are under way."""
    queries.run(connection, "begin_to_open_entry_trigger", trigger_id=trigger_id)


def keep_walk(
    connection: Connection,
    trigger_id: int,
    *,
    walks_for: datetime,
    walked_to: UUID | None,
    is_done: bool,
) -> None:
    """Write down how far a walk has come."""
    queries.run(
        connection,
        "keep_entry_walk",
        trigger_id=trigger_id,
        walks_for=walks_for,
        walked_to=walked_to,
        is_done=is_done,
    )


def drop_lost_notes(connection: Connection) -> int:
    """Take out notes for triggers that are no more; how many."""
    return queries.run(connection, "drop_lost_entry_notes")
