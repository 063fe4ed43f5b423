"""Queries of goals that ask for more than the type of an event, for the events of a transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class GoalCandidate(NamedTuple):
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


class StateAtGoal(NamedTuple):
    """An open or failed workflow state that reached its goal: the columns of a claimed state, the
    type of the event, and the variant of the run."""

    id: UUID
    campaign_id: UUID
    campaign_version: int
    contact_id: UUID
    current_node_id: str
    resume_port: str | None
    retry_count: int
    max_retries: int
    steps_taken: int
    enrollment_status: str
    event_type: str
    assigned_variant: str | None


def candidates(connection: Connection) -> list[GoalCandidate]:
    """Return the resolved events that goals judge, each with the versions."""
    return queries.records(connection, "goal_candidates", GoalCandidate)


def add_conversions(connection: Connection, refused: Sequence[tuple[UUID, str]] = ()) -> int:
    """Add the conversions that follow from the resolved events to them; return their number.

    `refused`: ids of events, each with `campaign/version` whose goal it does not reach, or
    `campaign/version/enrollment`.
    """
    return queries.run(
        connection,
        "add_conversions",
        refused_events=[event_id for event_id, _ in refused],
        refused_versions=[version for _, version in refused],
    )


def states_at_goal(
    connection: Connection, refused: Sequence[tuple[UUID, str]] = ()
) -> list[StateAtGoal]:
    """Return the open and failed states that reached their goal by the resolved events, if the goal
    ends runs.

    The caller has locked the states. `refused` as for `add_conversions`.
    """
    return queries.records(
        connection,
        "states_at_goal",
        StateAtGoal,
        refused_events=[event_id for event_id, _ in refused],
        refused_versions=[version for _, version in refused],
    )
