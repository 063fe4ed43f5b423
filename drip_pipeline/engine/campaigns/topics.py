"""The topics of a workspace: list, add, rename and archive them, and check the one of a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.contacts import topics as topics_db
from drip_pipeline.db.contacts.topics import TopicRow
from drip_pipeline.domain.definition.campaign_file import TOPIC_NAME
from drip_pipeline.domain.definition.problems import Problem, did_you_mean
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.campaigns.workspaces import existing_workspace
from drip_pipeline.errors import NotAllowed

_LONGEST_TITLE = 80
_LONGEST_DESCRIPTION = 300


@dataclass(frozen=True, slots=True)
class TopicUpdate:
    """A topic after a command."""

    workspace_id: UUID
    name: str
    is_changed: bool


def topic_problems(connection: Connection, topic: str | None, workspace_id: UUID) -> list[Problem]:
    """Return what is wrong with the topic of a campaign file; nothing without a topic."""
    if topic is None:
        return []
    existing = {each.name: each.is_archived for each in topics_db.names(connection, workspace_id)}
    if topic not in existing:
        in_use = [name for name, is_archived in existing.items() if not is_archived]
        near = did_you_mean(topic, in_use)
        hint = near or f"; `drip topics add {topic}` adds it"
        return [Problem(None, "topic_unknown", f'the workspace has no topic "{topic}"{hint}')]
    if existing[topic]:
        return [
            Problem(
                None,
                "topic_archived",
                f'topic "{topic}" is archived; `drip topics add {topic}` uses it again',
            )
        ]
    return []


def topics(database: Database, workspace: str | None) -> list[TopicRow]:
    """Return the topics of a workspace. Raises NotAllowed for an unknown workspace."""
    with database.transaction(is_read_only=True) as connection:
        return topics_db.listed(connection, existing_workspace(connection, workspace))


def add_topic(
    database: Database,
    workspace: str | None,
    name: str,
    *,
    now: datetime,
    title: str | None = None,
    description: str | None = None,
    double_opt_in: bool | None = None,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> TopicUpdate:
    """Add a topic, or change title, description and opt-in of one; None leaves them. Idempotent.

    Raises NotAllowed for an unknown workspace and for an invalid name, title or description.
    """
    if not re.fullmatch(TOPIC_NAME, name):
        raise NotAllowed(
            f"{name!r} is no name of a topic",
            hint="Names have lower-case letters, digits, - and _, and at most 63 characters.",
        )
    title, description = _text(title, _LONGEST_TITLE), _text(description, _LONGEST_DESCRIPTION)
    with database.transaction() as connection:
        workspace_id = existing_workspace(connection, workspace)
        changed = topics_db.store(
            connection,
            workspace_id,
            name,
            title=title,
            description=description,
            double_opt_in=double_opt_in,
            now=now,
        )
        if changed:
            details = {"topic": name, "title": title, "double_opt_in": double_opt_in}
            _record(connection, actor, "add_topic", workspace_id, now, reason, details)
    return TopicUpdate(workspace_id, name, changed)


def rename_topic(
    database: Database,
    workspace: str | None,
    name: str,
    title: str,
    *,
    now: datetime,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> TopicUpdate:
    """Change the title of a topic, which people see; its name in campaign files stays.

    Raises NotAllowed for an unknown workspace or topic.
    """
    text = _text(title, _LONGEST_TITLE)
    with database.transaction() as connection:
        workspace_id = existing_workspace(connection, workspace)
        existing_topic(connection, workspace_id, name)
        changed = topics_db.store(
            connection,
            workspace_id,
            name,
            title=text,
            description=None,
            double_opt_in=None,
            now=now,
        )
        if changed:
            details = {"topic": name, "title": text}
            _record(connection, actor, "rename_topic", workspace_id, now, reason, details)
    return TopicUpdate(workspace_id, name, changed)


def archive_topic(
    database: Database,
    workspace: str | None,
    name: str,
    *,
    now: datetime,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> TopicUpdate:
    """Archive a topic: no campaign can be published with it. What people decided stays in force.

    Raises NotAllowed for an unknown workspace or topic.
    """
    with database.transaction() as connection:
        workspace_id = existing_workspace(connection, workspace)
        existing_topic(connection, workspace_id, name, accepts_archived=True)
        changed = topics_db.archive(connection, workspace_id, name, now)
        if changed:
            _record(connection, actor, "archive_topic", workspace_id, now, reason, {"topic": name})
    return TopicUpdate(workspace_id, name, changed)


def existing_topic(
    connection: Connection, workspace_id: UUID, name: str, *, accepts_archived: bool = False
) -> None:
    """Raise NotAllowed if the workspace has no topic of that name, or only an archived one."""
    existing = {each.name: each.is_archived for each in topics_db.names(connection, workspace_id)}
    if name not in existing:
        raise NotAllowed(
            f"unknown topic {name!r}{did_you_mean(name, existing)}",
            hint="`drip topics list` shows all topics.",
        )
    if existing[name] and not accepts_archived:
        raise NotAllowed(
            f"topic {name!r} is archived", hint=f"`drip topics add {name}` uses it again."
        )


_Action = Literal["add_topic", "rename_topic", "archive_topic"]


def _record(
    connection: Connection,
    actor: Actor,
    action: _Action,
    workspace_id: UUID,
    now: datetime,
    reason: str | None,
    details: Mapping[str, object],
) -> None:
    audit.record(
        connection,
        actor,
        action,
        audit.Subject("workspace", workspace_id, workspace_id),
        now=now,
        reason=reason,
        details={key: value for key, value in details.items() if value is not None},
    )


def _text(text: str | None, longest: int) -> str | None:
    if text is None:
        return None
    text = " ".join(text.split())
    if not text or len(text) > longest:
        raise NotAllowed(f"a text of a topic has 1 to {longest} characters, not {len(text)}")
    return text
