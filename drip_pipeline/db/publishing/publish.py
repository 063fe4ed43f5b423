"""Campaigns, steps, versions and tests as publishing writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, dump_json
from drip_pipeline.domain.graph.fields import GoalEvent


def workspaces(connection: Connection, name: str | None) -> list[dict[str, Any]]:
    """Workspaces of this name, or all: id, name."""
    return queries.rows(connection, "workspaces_named", name=name)


def insert_workspace(connection: Connection, name: str) -> UUID:
    """Make a workspace."""
    made: UUID = queries.scalar(connection, "insert_workspace", name=name)
    return made


def lock_campaigns(
    connection: Connection, workspace_id: UUID, *, name: str, campaign_id: UUID | None
) -> list[dict[str, Any]]:
    """The campaigns that a definition of this name means, locked; the name itself is locked too."""
    queries.run(connection, "lock_campaign_name", workspace_id=str(workspace_id), name=name)
    return queries.rows(
        connection, "lock_campaign", workspace_id=workspace_id, name=name, campaign_id=campaign_id
    )


def insert_campaign(
    connection: Connection, workspace_id: UUID, *, name: str, sequence_type: str, now: datetime
) -> UUID:
    """Make a campaign, a draft without steps."""
    made: UUID = queries.scalar(
        connection,
        "insert_campaign",
        workspace_id=workspace_id,
        name=name,
        sequence_type=sequence_type,
        now=now,
    )
    return made


def custom_field_names(connection: Connection, workspace_id: UUID) -> frozenset[str]:
    """Names of custom fields that people of the workspace have."""
    found = queries.tuples(connection, "custom_field_names", workspace_id=workspace_id)
    return frozenset(row[0] for row in found)


def published_hash(connection: Connection, campaign_id: UUID) -> tuple[str | None, int] | None:
    """(definition hash, version) of what newcomers enter now, None when nothing is published."""
    row = queries.one(connection, "published_hash", campaign_id=campaign_id)
    return None if row is None else (row["definition_hash"], row["version"])


def steps(connection: Connection, campaign_id: UUID) -> list[dict[str, Any]]:
    """The campaign's steps."""
    return queries.rows(connection, "steps_of_campaign", campaign_id=campaign_id)


def campaign_row(connection: Connection, campaign_id: UUID) -> dict[str, Any] | None:
    """The campaign's row."""
    return queries.one(connection, "campaign_row", campaign_id=campaign_id)


def write_steps(
    connection: Connection,
    campaign_id: UUID,
    rows: Sequence[Mapping[str, Any]],
    *,
    split_of_node: Mapping[str, str | None],
    now: datetime,
) -> dict[str, UUID]:
    """Make the campaign's steps these and no others; step id by node id. Steps keep their ids by
    node id."""
    node_ids = [row["node_id"] for row in rows]
    queries.run(connection, "free_step_numbers", campaign_id=campaign_id)
    written = queries.tuples(
        connection,
        "upsert_steps",
        campaign_id=campaign_id,
        steps=dump_json(rows).decode(),
        now=now,
    )
    queries.run(connection, "delete_other_steps", campaign_id=campaign_id, node_ids=node_ids)
    queries.run(
        connection,
        "link_parent_splits",
        campaign_id=campaign_id,
        node_ids=node_ids,
        split_node_ids=[split_of_node.get(node_id) for node_id in node_ids],
    )
    return {row[1]: row[0] for row in written}


def update_campaign(connection: Connection, campaign_id: UUID, **columns: Any) -> None:
    """Write what the definition says of the campaign; columns as in the query, JSON as Python
    values."""
    for name in ("ab_test_config", "canvas_data", "settings"):
        value = columns[name]
        columns[name] = None if value is None else dump_json(value).decode()
    queries.run(connection, "update_campaign", campaign_id=campaign_id, **columns)


def snapshot(
    connection: Connection,
    campaign_id: UUID,
    *,
    description: str | None,
    change_type: str,
    now: datetime,
) -> UUID:
    """Snapshot the campaign under its next version number; the version row's id."""
    made: UUID = queries.scalar(
        connection,
        "snapshot_version",
        campaign_id=campaign_id,
        description=description,
        change_type=change_type,
        now=now,
    )
    return made


def complete_version(
    connection: Connection,
    version_id: UUID,
    *,
    graph: Mapping[str, Any],
    definition: Mapping[str, Any],
    definition_hash: str,
    graph_hash: str,
    waits_for: Sequence[str],
    goal_event: GoalEvent | None,
    status: str,
) -> int:
    """Store the compiled graph with its snapshot and let newcomers enter it; the version's
    number."""
    number: int = queries.scalar(
        connection,
        "complete_version",
        version_id=version_id,
        graph=dump_json(graph).decode(),
        definition=dump_json(definition).decode(),
        definition_hash=definition_hash,
        graph_hash=graph_hash,
        waits_for=list(waits_for),
        goal_event_type=goal_event.event_type if goal_event else None,
        goal_within=timedelta(seconds=goal_event.within.seconds) if goal_event else None,
        status=status,
    )
    return number


def activate(connection: Connection, campaign_id: UUID, now: datetime) -> bool:
    """Turn a draft active; whether it was one."""
    return queries.run(connection, "activate_campaign", campaign_id=campaign_id, now=now) > 0


def adopt_enrollments(connection: Connection, campaign_id: UUID) -> int:
    """Let people in who enrolled before there was anything to enter; how many."""
    return int(queries.scalar(connection, "adopt_enrollments", campaign_id=campaign_id) or 0)


def tests(connection: Connection, campaign_id: UUID) -> list[dict[str, Any]]:
    """The campaign's tests."""
    return queries.rows(connection, "tests_of_campaign", campaign_id=campaign_id)


def continue_test(connection: Connection, test_id: UUID, version: int) -> None:
    """The test runs on in this version too."""
    queries.run(connection, "continue_test", test_id=test_id, version=version)


def supersede_test(connection: Connection, test_id: UUID, now: datetime) -> None:
    """End a running test without a decision."""
    queries.run(connection, "supersede_test", test_id=test_id, now=now)


def start_test(
    connection: Connection,
    campaign_id: UUID,
    *,
    split_node_id: str,
    config: Mapping[str, Any],
    config_hash: str,
    version: int,
    now: datetime,
) -> UUID:
    """Begin a test of a split."""
    made: UUID = queries.scalar(
        connection,
        "start_test",
        campaign_id=campaign_id,
        split_node_id=split_node_id,
        config=dump_json(config).decode(),
        config_hash=config_hash,
        version=version,
        now=now,
    )
    return made
