"""Test data for engine tests; each function is named after what it creates. Graphs come from
graphs.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from drip_pipeline.channels.protocol import Channel
from drip_pipeline.channels.recorder import RecorderChannel
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.db.publishing.publish import NewVersion
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
    """An active campaign with one published version. `graph` has the ids of its step rows."""

    campaign_id: UUID
    workspace_id: UUID
    name: str
    version: int
    graph: CampaignGraph


@dataclass(frozen=True, slots=True)
class Sent:
    """One sent message with its enrollment and contact."""

    message_id: UUID
    enrollment_id: UUID
    contact_id: UUID
    email: str


def a_workspace(connection: Connection, name: str = "Acme") -> UUID:
    """An empty workspace."""
    created_id: UUID = _scalar(
        connection, "INSERT INTO workspaces (name) VALUES (%s) RETURNING id", name
    )
    return created_id


def the_workspace(connection: Connection) -> UUID:
    """The first workspace by name, created if there is none."""
    row = connection.execute("SELECT id FROM workspaces ORDER BY name LIMIT 1").fetchone()
    return row[0] if row else a_workspace(connection)


def contacts(
    connection: Connection, workspace_id: UUID, count: int, *, prefix: str = "person"
) -> list[UUID]:
    """Contacts person1@example.com, person2@example.com … in that order."""
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
    """An active campaign with this graph as its first version; every node has its step row.

    The rows are written by the functions of publishing; the graph is not validated, so that tests
    can run graphs that publishing refuses.
    """
    workspace = workspace_id or the_workspace(connection)
    campaign = publish_db.insert_campaign(
        connection, workspace, name=name, sequence_type="custom", now=now
    )
    steps = [
        {
            "node_id": node_id,
            "node_type": node.node_type.value,
            "step_name": node.step_name,
            "step_number": number,
        }
        for number, (node_id, node) in enumerate(graph.nodes.items(), start=1)
    ]
    step_ids = publish_db.write_steps(connection, campaign, steps, split_of_node={}, now=now)
    nodes = {
        node_id: replace(node, step_id=str(step_ids[node_id]))
        for node_id, node in graph.nodes.items()
    }
    compiled = replace(graph, nodes=nodes)
    version_id = publish_db.snapshot(
        connection, campaign, description=None, change_type="published", now=now
    )
    version = publish_db.publish_version(
        connection,
        version_id,
        NewVersion(
            graph=compiled.to_dict(),
            definition={},
            definition_hash="",
            graph_hash="",
            waits_for=sorted(compiled.waits_for()),
            goal_event=compiled.goal_event,
            goal_ends_runs=compiled.exits_at_goal,
            reads_event=compiled.reads_event(),
            exit_events=sorted(compiled.exit_events()),
            exits_follow_contacts=compiled.exits_follow_contacts(),
        ),
    )
    return Published(campaign, workspace, name, version, compiled)


def enrolled(
    connection: Connection,
    campaign: Published,
    contact_ids: Sequence[UUID],
    *,
    at: datetime = NOW,
    entry_key: str = "",
) -> list[UUID]:
    """Enrollments of these contacts, in their order, at the entry of the campaign."""
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
    """The report of the engine after everything due at `now` is done; messages are recorded.

    `email` replaces the recorder of that channel.
    """
    channels: dict[str, Channel] = {
        name: RecorderChannel(name) for name in ("email", "sms", "webhook", "social")
    }
    if email is not None:
        channels["email"] = email
    return tick(Engine(database, channels, MESSAGES), now=now, until_idle=True)


def run_until_done(database: Database, now: datetime) -> None:
    """Run the engine at `now`, and then at each time at which something is due."""
    while True:
        run_until_idle(database, now)
        with database.transaction() as connection:
            due = states_db.due_overview(connection, now=now, count_limit=1)
        following = [at for at in (due.next_state_at, due.next_delivery_at) if at is not None]
        if not following:
            return
        now = min(following)


def people_inside(
    database: Database,
    graph: CampaignGraph,
    count: int,
    *,
    now: datetime = NOW,
    name: str = "Welcome",
    prefix: str = "person",
) -> tuple[Published, list[UUID]]:
    """A published campaign with this many enrollments, advanced until idle at `now`."""
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, graph, name=name, now=now)
        contact_ids = contacts(connection, campaign.workspace_id, count, prefix=prefix)
        enrollments = enrolled(connection, campaign, contact_ids, at=now)
    run_until_idle(database, now)
    return campaign, enrollments


def sent_messages(connection: Connection, campaign: Published) -> list[Sent]:
    """The sent messages of a campaign, by address and time."""
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
    created_id: UUID = _scalar(
        connection,
        "INSERT INTO campaign_ab_tests (workspace_id, campaign_id, split_node_id, test_number, "
        "config, config_hash, campaign_versions, started_at) "
        "VALUES (%s, %s, %s, 1, '{}', '', ARRAY[1], %s) RETURNING id",
        campaign.workspace_id, campaign.campaign_id, split_node_id, now,
    )  # fmt: skip
    return created_id


def rows_of(connection: Connection, table: str, order_by: str = "1") -> list[tuple[Any, ...]]:
    """All rows of a table, for comparison."""
    return connection.execute(f"SELECT * FROM {table} ORDER BY {order_by}").fetchall()


def an_event(number: int | str, event_type: str, **fields: Any) -> dict[str, Any]:
    """A line of an events file; by default the event occurred five minutes after NOW."""
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
