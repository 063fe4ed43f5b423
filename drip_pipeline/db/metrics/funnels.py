"""Where the people of a campaign went, as funnels read it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


def people_by_path(connection: Connection, campaign_id: UUID) -> list[dict[str, Any]]:
    """campaign_version, node_id, status, exit_reason, path (node ids) and people."""
    return queries.rows(connection, "people_by_path", campaign_id=campaign_id)


def canvas(connection: Connection, campaign_id: UUID, version: int) -> dict[str, Any] | None:
    """The canvas of a version, None where there is none."""
    found: dict[str, Any] | None = queries.scalar(
        connection, "canvas_of_version", campaign_id=campaign_id, version=version
    )
    return found


def goal(connection: Connection, campaign_id: UUID) -> dict[str, Any]:
    """goal_metric and goal_target, and people: sent, opened, clicked, replied, converted."""
    found = queries.one(connection, "goal_of_campaign", campaign_id=campaign_id)
    assert found is not None
    return found


def campaigns_to_draw(connection: Connection) -> list[UUID]:
    """Published campaigns that are not archived, those that moved last first."""
    return [row[0] for row in queries.tuples(connection, "campaigns_to_draw")]
