"""Queries of funnels: enrollments by path, and the goal of a campaign."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class PathRow(NamedTuple):
    """The number of enrollments with the same version, node, status, exit reason and path."""

    campaign_version: int
    node_id: str | None
    status: str
    exit_reason: str | None
    path: list[str] | None
    enrollments: int


class GoalRow(NamedTuple):
    """A campaign's goal, and enrollments by what they did."""

    goal_metric: str | None
    goal_target: Decimal | None
    sent: int
    opened: int
    clicked: int
    replied: int
    converted: int


def enrollments_by_path(connection: Connection, campaign_id: UUID) -> list[PathRow]:
    """Count a campaign's enrollments by path."""
    return queries.records(connection, "enrollments_by_path", PathRow, campaign_id=campaign_id)


def canvas(connection: Connection, campaign_id: UUID, version: int) -> Mapping[str, Any] | None:
    """Return the canvas of a version, None if it has none."""
    snapshot: Mapping[str, Any] | None = queries.scalar(
        connection, "canvas_of_version", campaign_id=campaign_id, version=version
    )
    return snapshot


def goal(connection: Connection, campaign_id: UUID) -> GoalRow:
    """Return a campaign's goal and its counts."""
    row = queries.record(connection, "goal_of_campaign", GoalRow, campaign_id=campaign_id)
    assert row is not None
    return row


def campaigns_to_draw(connection: Connection) -> list[UUID]:
    """Return published campaigns that are not archived, the most recently executed first."""
    return queries.column(connection, "campaigns_to_draw")
