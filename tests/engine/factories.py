"""What engine tests start from, each function named after what it leaves behind. Graphs come from
`graphs.py`; nothing here asserts anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from drip_pipeline.channels.protocol import Channel
from drip_pipeline.channels.recorder import RecorderChannel
from drip_pipeline.db.connection import Connection, Database, jsonb
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.engine.delivery.render import MessageSettings
from drip_pipeline.engine.runner.tick import Engine, TickReport, tick
from drip_pipeline.settings import Secret

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
MESSAGES = MessageSettings(
    "Example <hello@example.com>", "https://mail.example.com", Secret("a key for tests")
)


@dataclass(frozen=True, slots=True)
class Published:
    """An active campaign with one published version. `graph` carries the ids of its step rows."""

    campaign_id: UUID
    workspace_id: UUID
    name: str
    version: int
    graph: CampaignGraph


@dataclass(frozen=True, slots=True)
class Sent:
    """One message that went out, and whose it is."""

    message_id: UUID
    enrollment_id: UUID
    contact_id: UUID
    email: str


def a_workspace(connection: Connection, name: str = "Acme") -> UUID:
    """An empty workspace."""
    made: UUID = _scalar(connection, "INSERT INTO workspaces (name) VALUES (%s) RETURNING id", name)
    return made


def the_workspace(connection: Connection) -> UUID:
    """The oldest workspace, made if there is none yet."""
    found = connection.execute("SELECT id FROM workspaces ORDER BY name LIMIT 1").fetchone()
    return found[0] if found else a_workspace(connection)


def contacts(
    connection: Connection, workspace_id: UUID, count: int, *, prefix: str = "person"
) -> list[UUID]:
    """People called person1@example.com and so on, in that order."""
    ids = [uuid4() for _ in range(count)]
    connection.execute(
        "INSERT INTO contacts (id, workspace_id, email, name, company, created_at, updated_at) "
        "SELECT u.id, %s, %s || u.n || '@example.com', 'Person ' || u.n, 'Company ' || u.n, %s, %s "
        "FROM unnest(%s::uuid[]) WITH ORDINALITY AS u (id, n)",
        [workspace_id, prefix, NOW, NOW, ids],
    )
    return ids


def a_published_campaign(
    connection: Connection,
    graph: CampaignGraph,
    *,
    workspace_id: UUID | None = None,
    name: str = "Welcome",
    now: datetime = NOW,
) -> Published:
    """An active campaign whose first version is this graph; every node has its step row."""
    workspace = workspace_id or the_workspace(connection)
    campaign: UUID = _scalar(
        connection,
        "INSERT INTO drip_campaigns (workspace_id, name, status, created_at, updated_at) "
        "VALUES (%s, %s, 'active', %s, %s) RETURNING id",
        workspace, name, now, now,
    )  # fmt: skip
    nodes = {}
    for number, (node_id, node) in enumerate(graph.nodes.items(), start=1):
        step = _scalar(
            connection,
            "INSERT INTO campaign_steps (campaign_id, step_number, step_name, node_id, node_type) "
            "VALUES (%s, %s, %s, %s, %s) RETURNING id",
            campaign, number, node.step_name, node_id, node.node_type.value,
        )  # fmt: skip
        nodes[node_id] = replace(node, step_id=str(step))
    goal = graph.goal_event
    with_steps = CampaignGraph(graph.entry_node_id, nodes, graph.variant_of_node, goal)
    connection.execute(
        "INSERT INTO campaign_versions (campaign_id, workspace_id, version, campaign_snapshot, "
        "steps_snapshot, compiled_graph, waits_for, goal_event_type, goal_within, change_type, "
        "created_at) VALUES (%s, %s, 1, '{}', '[]', %s, %s, %s, %s, 'published', %s)",
        [
            campaign,
            workspace,
            jsonb(with_steps.to_dict()),
            sorted(graph.waits_for()),
            goal.event_type if goal else None,
            timedelta(seconds=goal.within.seconds) if goal else None,
            now,
        ],
    )
    connection.execute(
        "UPDATE drip_campaigns SET published_version = 1, version = 1 WHERE id = %s", [campaign]
    )
    return Published(campaign, workspace, name, 1, with_steps)


def enrolled(
    connection: Connection,
    campaign: Published,
    contact_ids: Sequence[UUID],
    *,
    at: datetime = NOW,
    entry_key: str = "",
) -> list[UUID]:
    """Enrollments of these contacts, in their order; the trigger has put them at the entry."""
    ids = [uuid4() for _ in contact_ids]
    connection.execute(
        "INSERT INTO campaign_enrollments (id, campaign_id, contact_id, contact_email, "
        "workspace_id, entry_key, started_at, created_at, updated_at) "
        "SELECT u.id, %s, u.contact_id, k.email, k.workspace_id, %s, %s, %s, %s "
        "FROM unnest(%s::uuid[], %s::uuid[]) AS u (id, contact_id) "
        "JOIN contacts k ON k.id = u.contact_id",
        [campaign.campaign_id, entry_key, at, at, at, ids, list(contact_ids)],
    )
    return ids


def run_until_idle(
    database: Database, now: datetime = NOW, *, email: Channel | None = None
) -> TickReport:
    """Everything due at `now` done by the real engine; messages are recorded, and nothing leaves.
    `email` is another channel in the recorder's place.
    """
    channels: dict[str, Channel] = {
        name: RecorderChannel(name) for name in ("email", "sms", "webhook", "social")
    }
    if email is not None:
        channels["email"] = email
    return tick(Engine(database, channels, MESSAGES), now=now, until_idle=True)


def people_inside(
    database: Database,
    graph: CampaignGraph,
    count: int,
    *,
    now: datetime = NOW,
    name: str = "Welcome",
    prefix: str = "person",
) -> tuple[Published, list[UUID]]:
    """A published campaign and that many people in it, run as far as they come at `now`."""
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, graph, name=name, now=now)
        people = contacts(connection, campaign.workspace_id, count, prefix=prefix)
        enrollments = enrolled(connection, campaign, people, at=now)
    run_until_idle(database, now)
    return campaign, enrollments


def sent_messages(connection: Connection, campaign: Published) -> list[Sent]:
    """The messages of a campaign that went out, by address and time."""
    return [
        Sent(*row)
        for row in connection.execute(
            "SELECT o.message_id, o.enrollment_id, o.contact_id, k.email "
            "FROM campaign_message_outcomes o JOIN contacts k ON k.id = o.contact_id "
            "WHERE o.campaign_id = %s ORDER BY length(k.email), k.email, o.sent_at",
            [campaign.campaign_id],
        )
    ]


def a_running_test(
    connection: Connection, campaign: Published, split_node_id: str, *, now: datetime = NOW
) -> UUID:
    """The running A/B test of a split."""
    made: UUID = _scalar(
        connection,
        "INSERT INTO campaign_ab_tests (workspace_id, campaign_id, split_node_id, test_number, "
        "config, config_hash, campaign_versions, started_at) "
        "VALUES (%s, %s, %s, 1, '{}', '', ARRAY[1], %s) RETURNING id",
        campaign.workspace_id, campaign.campaign_id, split_node_id, now,
    )  # fmt: skip
    return made


def rows_of(connection: Connection, table: str, order_by: str = "1") -> list[tuple[Any, ...]]:
    """A whole table, for comparing."""
    return connection.execute(f"SELECT * FROM {table} ORDER BY {order_by}").fetchall()


def an_event(number: int | str, event_type: str, **fields: Any) -> dict[str, Any]:
    """A line of an events file, five minutes after NOW unless it says otherwise."""
    line = {
        "event_id": f"e-{number}",
        "event_type": event_type,
        "occurred_at": (NOW + timedelta(minutes=5)).isoformat(),
    }
    return line | {
        name: str(value) if isinstance(value, UUID) else value for name, value in fields.items()
    }


def _scalar(connection: Connection, statement: str, *params: Any) -> Any:
    row = connection.execute(statement, params).fetchone()
    assert row is not None
    return row[0]
