"""The audit trail: who did what, when and why. `engine/audit.py` says what is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import orjson

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class OperatorAction(NamedTuple):
    """An operation to store; see the table operator_actions."""

    id: UUID
    workspace_id: UUID | None
    actor: str
    source: str
    action: str
    object_kind: str
    object_id: UUID | None
    object_name: str | None
    reason: str | None
    details: Mapping[str, object]
    occurred_at: datetime


class ListedAction(NamedTuple):
    """A stored operation, with the name of its workspace."""

    id: UUID
    occurred_at: datetime
    actor: str
    source: str
    action: str
    object_kind: str
    object_id: UUID | None
    object_name: str | None
    reason: str | None
    details: dict[str, object]
    workspace_id: UUID | None
    workspace: str | None


def insert(connection: Connection, action: OperatorAction) -> None:
    """Store an operation."""
    queries.run(
        connection,
        "insert_operator_action",
        **{**action._asdict(), "details": _json(action.details)},
    )


def update_details(connection: Connection, action_id: UUID, details: Mapping[str, object]) -> bool:
    """Replace the details of an operation. Return False if it is not stored."""
    return bool(
        queries.run(connection, "update_operator_action", id=action_id, details=_json(details))
    )


def listed(
    connection: Connection,
    *,
    object_ids: Sequence[UUID] | None = None,
    actor: str | None = None,
    action: str | None = None,
    since: datetime | None = None,
    limit: int,
) -> list[ListedAction]:
    """Return operations, latest first: all, or those on these objects, of an actor, of a kind."""
    return queries.records(
        connection,
        "list_operator_actions",
        ListedAction,
        object_ids=None if object_ids is None else list(object_ids),
        actor=actor,
        action=action,
        since=since,
        row_limit=limit,
    )


def contacts_of_address(connection: Connection, address: str) -> list[UUID]:
    """Return the contacts of all workspaces with this email address."""
    return queries.column(connection, "contacts_of_address", address=address)


def _json(details: Mapping[str, object]) -> str:
    return orjson.dumps(dict(details), option=orjson.OPT_NON_STR_KEYS).decode()
