"""Read and remove what the demonstration writes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class RecordedMessage(NamedTuple):
    """A message that was recorded instead of sent."""

    id: int
    delivery_id: UUID
    campaign: str
    node_id: str
    recorded_at: datetime


class DemoWorkspace(NamedTuple):
    """A workspace that the demo created; `is_unchanged`: nobody has added anything to it."""

    id: UUID
    name: str
    is_unchanged: bool


class RulesAtWork(NamedTuple):
    """What rules did: messages held by quiet hours and by a frequency cap, runs that ended at their
    goal, and messages of these runs after that."""

    held_by_quiet_hours: int
    held_by_cap: int
    ended_at_goal: int
    sent_after_goal: int


def rules_at_work(connection: Connection, workspace_id: UUID) -> RulesAtWork:
    """Return what the rules of a workspace did."""
    counts = queries.record(connection, "rules_at_work", RulesAtWork, workspace_id=workspace_id)
    assert counts is not None
    return counts


def recorded_since(
    connection: Connection, workspace_id: UUID, after_id: int
) -> list[RecordedMessage]:
    """Return the recorded messages with an id above `after_id`, in order."""
    return queries.records(
        connection,
        "messages_recorded_since",
        RecordedMessage,
        workspace_id=workspace_id,
        after_id=after_id,
    )


def latest_recorded(connection: Connection) -> int:
    """Return the id of the newest recorded message, 0 if there is none."""
    return int(queries.scalar(connection, "latest_recorded_message"))


def delete_workspace(connection: Connection, workspace_id: UUID) -> None:
    """Delete a workspace with all its rows."""
    queries.run(connection, "delete_workspace", workspace_id=workspace_id)


def workspaces(
    connection: Connection, *, campaigns: Sequence[str], addresses: str
) -> list[DemoWorkspace]:
    """Return the workspaces that the demo created.

    `campaigns`: the names of the demo's campaigns; `addresses`: the pattern of its addresses.
    """
    return queries.records(
        connection,
        "demo_workspaces",
        DemoWorkspace,
        campaigns=list(campaigns),
        addresses=addresses,
    )


def mark_workspace(connection: Connection, workspace_id: UUID) -> None:
    """Record that the demo created this workspace."""
    queries.run(connection, "mark_demo_workspace", workspace_id=workspace_id)


def keep_workspace(connection: Connection, workspace_id: UUID) -> None:
    """Make a workspace of the demo an ordinary one."""
    queries.run(connection, "keep_demo_workspace", workspace_id=workspace_id)


def campaigns_beside(connection: Connection) -> list[str]:
    """Return the names of up to four published campaigns outside the demo's workspaces."""
    return queries.column(connection, "campaigns_beside_demo")
