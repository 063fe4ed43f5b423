"""What sending costs goes by how much is sent, not by how much is due; also on statistics from
before the campaign began."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from drip_pipeline.channels.recorder import RecorderChannel
from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.engine.runner.tick import Engine, tick
from tests.engine.factories import MESSAGES, NOW, a_published_campaign, contacts, enrolled
from tests.engine.graphs import email, end, graph, trigger

DUE = 600


@pytest.fixture
def stale(database: Database) -> Database:
    """Deliveries that came after the last ANALYZE, when nothing was due."""
    with database.transaction() as connection:
        campaign = a_published_campaign(
            connection, graph(trigger("m"), email("m", default="end"), end())
        )
        enrolled(connection, campaign, contacts(connection, campaign.workspace_id, 20))
    tick(Engine(database, {"email": RecorderChannel("email")}, MESSAGES), now=NOW, until_idle=True)
    with database.autocommit() as connection:
        connection.execute("ANALYZE")
    with database.transaction() as connection:
        people = contacts(connection, campaign.workspace_id, DUE, prefix="later")
        enrolled(connection, campaign, people)
    advance_batch(database, now=NOW, batch_size=DUE)
    return database


def explained(connection: Connection, name: str, **params: Any) -> Iterator[dict[str, Any]]:
    """The nodes of the plan that was executed."""
    text = "EXPLAIN (ANALYZE, FORMAT JSON) " + queries.sql(name)
    ((plan,),) = connection.execute(text, params).fetchall()

    def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield node
        for part in node.get("Plans", ()):
            yield from nodes(part)

    yield from nodes(plan[0]["Plan"])


def rows_looked_at(nodes: Iterator[dict[str, Any]]) -> int:
    """Rows that the plan took in hand, those it threw away included."""
    kinds = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter")
    return int(
        max(sum(node.get(kind, 0) for kind in kinds) * node["Actual Loops"] for node in nodes)
    )


def ids(connection: Connection, count: int) -> list[Any]:
    rows = connection.execute(
        "SELECT id FROM campaign_deliveries WHERE status = 'pending' ORDER BY id LIMIT %s", [count]
    ).fetchall()
    return [row[0] for row in rows]


def test_marking_and_settling_a_dozen_reads_a_dozen_rows(stale: Database):
    with stale.transaction() as connection:
        dozen = ids(connection, 12)
        people = [
            row[0]
            for row in connection.execute(
                "SELECT enrollment_id FROM campaign_deliveries WHERE id = ANY(%s)", [dozen]
            )
        ]
        locking = explained(
            connection, "lock_states_of_deliveries", delivery_ids=dozen, enrollment_ids=people
        )
        marking = explained(
            connection,
            "mark_sending",
            ids=dozen,
            leased_until=NOW,
            lease_token=uuid4(),
            transport="email",
            channel_id=None,
            now=NOW,
        )
        settling = explained(
            connection,
            "settle_not_sent",
            id=dozen,
            status=["failed"] * 12,
            error_code=["x"] * 12,
            error=["x"] * 12,
            event_type=["email_failed"] * 12,
            attempt=[1] * 12,
            details=[None] * 12,
            batch_id=uuid4(),
            channel="email",
            now=NOW,
        )
        for nodes in (locking, marking, settling):
            used = {node["Index Name"] for node in nodes if "Index Name" in node}
            assert not used & {
                "idx_workflow_states_next_execution",
                "campaign_deliveries_due",
                "campaign_deliveries_unknown",
            }


def test_leasing_suppressed_contacts_does_not_scan_all_suppressions(stale: Database):
    with stale.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_suppressions"
            " (workspace_id, address, contact_id, reason, created_at)"
            " SELECT workspace_id, email, id, 'bounced', %s FROM contacts",
            [NOW],
        )
        campaign = connection.execute("SELECT id, workspace_id FROM drip_campaigns").fetchone()
        assert campaign is not None
        looked_at = rows_looked_at(
            explained(
                connection,
                "lease_deliveries",
                campaign_ids=[campaign[0]],
                workspace_ids=[campaign[1]],
                versions=[1],
                node_ids=["m"],
                quotas=[DUE],
                most=DUE,
                blocked_reasons=[None],
                needs_consent=[False],
                columns=[],
                channel="email",
                now=NOW,
            )
        )
    assert DUE <= looked_at < 5 * DUE
