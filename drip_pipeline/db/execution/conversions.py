"""Conversions of campaigns with an event goal, for events that arrived before their message.

Conversions by events that arrive after it are in events/ingestion.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class Goals(NamedTuple):
    """Whether any campaign has an event as its goal, and whether any goal judges events one by
    one."""

    is_any: bool
    is_any_narrowed: bool


class LateGoalCandidate(NamedTuple):
    """An event of the type of a version's goal, whose properties the goal judges.

    A goal that is tied to the entry data of a run judges it for the run `enrollment_id`.
    """

    event_id: UUID
    event_type: str
    occurred_at: datetime
    event_data: Mapping[str, Any]
    campaign_id: UUID
    version: int
    enrollment_id: UUID | None
    entry: object


def goals(connection: Connection) -> Goals:
    """Return which kinds of goals there are."""
    return queries.records(connection, "is_any_goal", Goals)[0]


def late_candidates(
    connection: Connection, enrollment_ids: Sequence[UUID], since: datetime
) -> list[LateGoalCandidate]:
    """Return the events since `since` that goals judge, each with the versions."""
    return queries.records(
        connection,
        "late_goal_candidates",
        LateGoalCandidate,
        enrollment_ids=enrollment_ids,
        since=since,
    )


def lock_states(connection: Connection, enrollment_ids: Sequence[UUID]) -> int:
    """Lock the states of these enrollments in campaigns with an event goal; return how many."""
    return int(queries.scalar(connection, "lock_states_of_goals", enrollment_ids=enrollment_ids))


def attribute_late(
    connection: Connection,
    enrollment_ids: Sequence[UUID],
    since: datetime,
    refused: Sequence[tuple[UUID, str]] = (),
) -> list[UUID]:
    """Insert or move the conversions by events since `since`; return the changed enrollments.

    `refused`: ids of events, each with `campaign/version` whose goal it does not reach, or
    `campaign/version/enrollment`.
    """
    return queries.column(
        connection,
        "attribute_late_conversions",
        enrollment_ids=enrollment_ids,
        since=since,
        refused_events=[event_id for event_id, _ in refused],
        refused_versions=[version for _, version in refused],
    )


def recount(connection: Connection, enrollment_ids: Sequence[UUID]) -> None:
    """Recompute the conversions of these enrollments' messages and split assignments."""
    for name in ("recount_conversions_of_messages", "recount_conversions_of_assignments"):
        queries.run(connection, name, enrollment_ids=enrollment_ids)
