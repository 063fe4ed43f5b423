"""Rules of workspaces for their messages, and the messages that they hold."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, dump_json


class StoredRule(NamedTuple):
    """A rule of a workspace, as it is stored."""

    workspace_id: UUID
    kind: str
    name: str
    config: Mapping[str, Any]
    updated_at: datetime
    fingerprint: int


def rules(connection: Connection, workspace_ids: Collection[UUID]) -> list[StoredRule]:
    """Return the rules of these workspaces, by workspace, kind and name."""
    return queries.records(
        connection, "rules_of_workspaces", StoredRule, workspace_ids=list(workspace_ids)
    )


def store(
    connection: Connection,
    workspace_id: UUID,
    *,
    kind: str,
    name: str,
    config: Mapping[str, object],
    now: datetime,
) -> bool:
    """Store a rule; return whether it changed."""
    return bool(
        queries.run(
            connection,
            "store_workspace_rule",
            workspace_id=workspace_id,
            kind=kind,
            name=name,
            config=dump_json(dict(config)).decode(),
            now=now,
        )
    )


def delete(connection: Connection, workspace_id: UUID, *, kind: str, name: str) -> bool:
    """Delete a rule; return whether there was one."""
    return bool(
        queries.run(
            connection, "delete_workspace_rule", workspace_id=workspace_id, kind=kind, name=name
        )
    )


def recheck_held(connection: Connection, workspace_id: UUID, rule: str, now: datetime) -> int:
    """Make the messages due that a rule of the workspace holds; return their number."""
    return queries.run(
        connection, "recheck_held_messages", workspace_id=workspace_id, rule=rule, now=now
    )
