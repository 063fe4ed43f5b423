"""End the runs of contacts in campaigns of a topic that they left."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution import topic_states as states_db
from drip_pipeline.db.execution.topic_states import LeavingContact
from drip_pipeline.engine.execution.exits import end_runs


def end_runs_of_topics(
    connection: Connection,
    left: Sequence[LeavingContact],
    *,
    batch_id: UUID,
    now: datetime,
    exit_reason: str = "unsubscribed",
    enrollment_status: str = "unsubscribed",
) -> int:
    """Exit the open runs of contacts in campaigns of the topics that they left, or in all campaigns
    if no topic is named. Return their number."""
    if not left:
        return 0
    states = states_db.lock_states(connection, left)
    end_runs(
        connection,
        states,
        exit_reason=exit_reason,
        enrollment_status=enrollment_status,
        batch_id=batch_id,
        now=now,
    )
    return len(states)
