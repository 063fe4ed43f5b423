"""Campaigns with entry triggers, changes that make contacts match them, and checks of triggers.

Nothing here asserts anything.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from time import monotonic, sleep
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import TriggerConfig
from drip_pipeline.domain.graph.volume import CONFIRM_ABOVE
from drip_pipeline.engine.enrollment.entry_triggers import run_entry_triggers
from tests.engine.factories import (
    NOW,
    Published,
    a_published_campaign,
    a_workspace,
    contacts,
)
from tests.engine.graphs import email, end, graph, trigger

LETTER = graph(trigger("hello"), email("hello", default="end"), end())
HOUR = timedelta(hours=1)


def entered_by(flow: CampaignGraph = LETTER, /, **config: Any) -> CampaignGraph:
    """The graph with this entry trigger."""
    start = replace(flow.nodes["start"], config=TriggerConfig.model_validate(config))
    return replace(flow, nodes={**flow.nodes, "start": start})


BY_TAG = entered_by(trigger="tag", tag="vip")


def set_up(
    database: Database, flow: CampaignGraph, count: int, *, tags: str = "{}"
) -> tuple[Published, list[UUID]]:
    """People, and then a campaign."""
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        contact_ids = contacts(connection, workspace, count)
        connection.execute("UPDATE contacts SET tags = %s", [tags])
        if count > CONFIRM_ABOVE:
            connection.execute(
                "INSERT INTO workspace_rules VALUES (%s, 'guard', 'guard', %s, %s)",
                [workspace, Jsonb({"confirm_above": None}), NOW],
            )
        return a_published_campaign(connection, flow, workspace_id=workspace), contact_ids


def change(database: Database, statement: str, *params: Any) -> None:
    with database.transaction() as connection:
        connection.execute(statement, params)


def tag(database: Database, contact_ids: list[UUID], name: str = "vip") -> None:
    change(
        database,
        "UPDATE contacts SET tags = array_append(tags, %s) WHERE id = ANY(%s)",
        name, contact_ids,
    )  # fmt: skip


def untag(database: Database, contact_ids: list[UUID], name: str = "vip") -> None:
    change(
        database,
        "UPDATE contacts SET tags = array_remove(tags, %s) WHERE id = ANY(%s)",
        name, contact_ids,
    )  # fmt: skip


def look(database: Database, now: datetime = NOW, **more: Any) -> dict[str, int]:
    """What one look came to, all campaigns together."""
    reports = run_entry_triggers(database, now=now, **more)
    results = {"enrolled": 0, "already_in": 0}
    for report in reports:
        results["enrolled"] += report.enrolled
        results["already_in"] += report.already_in
        for reason, count in report.refused.items():
            results[reason] = results.get(reason, 0) + count
    return {name: count for name, count in results.items() if count}


def look_until_open(database: Database, **named: Any) -> dict[str, int]:
    """Check until the scan of existing contacts has started.

    The scan waits for all transactions of the server, also for those in databases of other tests.
    """
    until = monotonic() + 110
    while not (results := look(database, **named)) and monotonic() < until:
        sleep(0.05)
    return results


def inside(database: Database, campaign: Published) -> list[UUID]:
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT contact_id FROM campaign_enrollments WHERE campaign_id = %s ORDER BY 1",
            [campaign.campaign_id],
        ).fetchall()
    return [row[0] for row in rows]


def purchase(connection: Connection, campaign: Published, contact: UUID, at: datetime) -> None:
    connection.execute(
        "INSERT INTO contact_events (workspace_id, contact_id, event_type, occurred_at)"
        " VALUES (%s, %s, 'purchase', %s)",
        [campaign.workspace_id, contact, at],
    )


def publish_again(
    database: Database, campaign: Published, flow: CampaignGraph, version: int = 2
) -> None:
    """Another version of a campaign, as publishing leaves it."""
    change(
        database,
        "WITH v AS (INSERT INTO campaign_versions (campaign_id, workspace_id, version,"
        " campaign_snapshot, steps_snapshot, compiled_graph, change_type, created_at)"
        " VALUES (%s, %s, %s, '{}', '[]', %s, 'published', %s) RETURNING campaign_id, version)"
        " UPDATE drip_campaigns c SET published_version = v.version"
        " FROM v WHERE c.id = v.campaign_id",
        campaign.campaign_id, campaign.workspace_id, version, Jsonb(flow.to_dict()), NOW + HOUR,
    )  # fmt: skip
