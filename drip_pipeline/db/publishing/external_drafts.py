"""Edits in the tables of published campaigns: which differ from what was published, and what was
noted of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, dump_json


def edited(connection: Connection, campaign_id: UUID | None = None) -> list[dict[str, Any]]:
    """Campaigns whose tables differ from what was published, or of which an edit is noted."""
    return queries.rows(connection, "edited_campaigns", campaign_id=campaign_id)


def published(connection: Connection, campaign_id: UUID) -> dict[str, Any] | None:
    """version, definition, definition_hash, graph_hash of what is published."""
    return queries.one(connection, "published_definition", campaign_id=campaign_id)


def keep_layout(
    connection: Connection, campaign_id: UUID, definition: Mapping[str, Any], definition_hash: str
) -> None:
    """Take over how the canvas is drawn into the published version."""
    queries.run(
        connection,
        "keep_layout",
        campaign_id=campaign_id,
        definition=dump_json(definition).decode(),
        definition_hash=definition_hash,
    )


def note(
    connection: Connection,
    campaign_id: UUID,
    *,
    workspace_id: UUID,
    content_hash: str,
    base_version: int,
    kind: str,
    problems: Sequence[Mapping[str, Any]],
    changes: str,
    now: datetime,
) -> None:
    """Note an edit; one a campaign."""
    queries.run(
        connection,
        "note_edit",
        campaign_id=campaign_id,
        workspace_id=workspace_id,
        content_hash=content_hash,
        base_version=base_version,
        kind=kind,
        problems=dump_json(list(problems)).decode(),
        changes=changes,
        now=now,
    )


def forget(connection: Connection, campaign_id: UUID) -> None:
    """Forget what was noted."""
    queries.run(connection, "forget_edit", campaign_id=campaign_id)


def noted(connection: Connection, campaign_id: UUID) -> dict[str, Any] | None:
    """The edit that was noticed and still stands: kind, base_version, problems, changes,
    noticed_at."""
    return queries.one(connection, "noted_edit", campaign_id=campaign_id)
