"""End the runs that reach their goal: reason `goal`, and one event `goal_reached` each.

Decided by the event itself and not by a conversion: a conversion needs a message before it, and a
purchase before the first message ends the run, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.events import goals as goals_db
from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.engine.execution.exits import end_runs
from drip_pipeline.engine.execution.transitions import EventNote

GOAL: Final = "goal"
"""The reason of an exit by the campaign's goal."""


def end_runs_at_goal(
    connection: Connection,
    refused: Sequence[tuple[UUID, str]],
    *,
    batch_id: UUID,
    now: datetime,
) -> int:
    """Exit the locked open states that reached their goal by this transaction's events; return
    their number.

    `refused`: ids of events, each with `campaign/version` whose goal it does not reach.
    """
    by_type: dict[str, list[DueState]] = {}
    rows = goals_db.states_at_goal(connection, refused)
    for *state, event_type in rows:
        by_type.setdefault(event_type, []).append(DueState._make(state))
    for event_type, states in by_type.items():
        end_runs(
            connection,
            states,
            exit_reason=GOAL,
            enrollment_status="completed",
            batch_id=batch_id,
            now=now,
            note=EventNote("goal_reached", None, None, {"event_type": event_type}),
        )
    return len(rows)
