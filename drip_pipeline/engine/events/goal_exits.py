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
from drip_pipeline.engine.execution.withdraw import withdraw_messages

GOAL: Final = "goal"
"""The reason of an exit by the campaign's goal."""


def end_runs_at_goal(
    connection: Connection,
    refused: Sequence[tuple[UUID, str]],
    *,
    batch_id: UUID,
    now: datetime,
) -> int:
    """Exit the locked states that reached their goal by this transaction's events, and withdraw
    their unsent messages; return their number.

    `refused`: ids of events, each with `campaign/version` whose goal it does not reach, or
    `campaign/version/enrollment`.
    """
    rows = goals_db.states_at_goal(connection, refused)
    if not rows:
        return 0
    ids = [row.id for row in rows]
    withdraw_messages(connection, ids, reason=GOAL, batch_id=batch_id, now=now)
    groups: dict[tuple[str, str | None], list[DueState]] = {}
    for *state, event_type, variant in rows:
        groups.setdefault((event_type, variant), []).append(DueState._make(state))
    for (event_type, variant), states in groups.items():
        end_runs(
            connection,
            states,
            exit_reason=GOAL,
            enrollment_status="completed",
            batch_id=batch_id,
            now=now,
            note=EventNote("goal_reached", None, None, {"event_type": event_type}, variant),
        )
    return len(rows)
