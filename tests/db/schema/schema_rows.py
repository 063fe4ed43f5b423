"""Rows for tests of the schema itself, written in plain SQL as an application would: no engine, no
compiler. A published campaign here has a graph that says where it is entered, and nothing else.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from drip_pipeline.db.connection import Connection

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def a_workspace(connection: Connection) -> UUID:
    """A workspace."""
    made = uuid4()
    connection.execute("INSERT INTO workspaces (id, name) VALUES (%s, %s)", [made, f"W {made}"])
    return made


def people(connection: Connection, workspace: UUID, count: int) -> list[UUID]:
    """So many contacts of a workspace."""
    rows = connection.execute(
        "INSERT INTO contacts (workspace_id, name, email) "
        "SELECT %s, 'Person ' || n, n || '-' || gen_random_uuid() || '@example.com' "
        "FROM generate_series(1, %s) AS n RETURNING id",
        [workspace, count],
    ).fetchall()
    return [row[0] for row in rows]


def a_campaign(
    connection: Connection, workspace: UUID, *, status: str = "active", is_published: bool = True
) -> UUID:
    """A campaign, published as version 1 with the entry node `start`."""
    campaign = uuid4()
    connection.execute(
        "INSERT INTO drip_campaigns (id, workspace_id, name, status) VALUES (%s, %s, %s, %s)",
        [campaign, workspace, f"C {campaign}", status],
    )
    if is_published:
        publish(connection, campaign)
    return campaign


def publish(connection: Connection, campaign: UUID) -> None:
    """Give a campaign a version that newcomers enter."""
    connection.execute(
        "SELECT create_campaign_version_snapshot(%s, 'published', 'published')", [campaign]
    )
    connection.execute(
        "UPDATE campaign_versions SET compiled_graph = %s WHERE campaign_id = %s",
        [Jsonb({"entry_node_id": "start"}), campaign],
    )
    connection.execute(
        "UPDATE drip_campaigns SET published_version = version WHERE id = %s", [campaign]
    )


def enroll(
    connection: Connection, campaign: UUID, contacts: list[UUID], *, at: datetime = NOW
) -> list[UUID]:
    """Enroll people as an application does, in one statement, without a column of this project."""
    rows = connection.execute(
        "INSERT INTO campaign_enrollments (campaign_id, contact_id, contact_email, started_at) "
        "SELECT %s, k.id, k.email, %s FROM contacts k WHERE k.id = ANY (%s) RETURNING id",
        [campaign, at, contacts],
    ).fetchall()
    return [row[0] for row in rows]


def a_campaign_with(
    connection: Connection,
    workspace: UUID,
    count: int,
    *,
    at: datetime = NOW,
    status: str = "active",
) -> tuple[UUID, list[UUID]]:
    """A published campaign with so many people in it, due at `at`; its id and theirs."""
    campaign = a_campaign(connection, workspace, status=status)
    return campaign, enroll(connection, campaign, people(connection, workspace, count), at=at)
