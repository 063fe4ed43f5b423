"""The audit trail: every change that a person or an application makes through the engine is
recorded with its actor, time, object and reason, in the transaction of the change.

A use case takes an `Actor` and calls `record` once. An operation of several transactions calls it
in each of them with the same id. What changed nothing is not recorded.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal
from uuid import UUID, uuid4

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.operations import audit as audit_db
from drip_pipeline.db.operations.audit import OperatorAction
from drip_pipeline.redaction import redact

Source = Literal["cli", "dagster", "receiver", "studio", "library", "engine"]
ObjectKind = Literal[
    "campaign", "contact", "workspace", "channel", "batch", "payload", "deliveries"
]
_LONGEST_NAME: Final = 200
_LONGEST_REASON: Final = 2_000
_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a change: a name, and the interface through which it is made."""

    name: str
    source: Source

    @classmethod
    def of(cls, source: Source, *names: str | None) -> Actor:
        """Return the actor with the first name that is not blank, else the login name."""
        texts = (name.strip() for name in names if name is not None)
        return cls(next(filter(None, texts), "") or login_name(), source)


LIBRARY: Final = Actor("library", "library")
"""The actor of a caller of the engine that names none."""


def login_name() -> str:
    """Return the name of the operating system's user, or its number if it has no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # containers run as users without an entry
        return f"user {os.getuid()}" if hasattr(os, "getuid") else "unknown"


@dataclass(frozen=True, slots=True)
class Subject:
    """What a change is made to. A contact has no `name` here: it would be personal data.

    `workspace_id` is None if it belongs to several workspaces.
    """

    kind: ObjectKind
    workspace_id: UUID | None
    id: UUID | None = None
    name: str | None = None


def record(
    connection: Connection,
    actor: Actor,
    action: str,
    subject: Subject,
    *,
    now: datetime,
    reason: str | None = None,
    details: Mapping[str, object] = _NOTHING,
    action_id: UUID | None = None,
) -> None:
    """Record an operation in the transaction of its change.

    `action` is a name such as `pause` or `import_suppressions`. `details` is JSON
    without personal data; its key `version` is the number of a version that the operation created.
    With an `action_id`, an operation that is stored under this id gets the new details: for
    operations of several transactions, which pass their totals so far.
    """
    if action_id is not None and audit_db.update_details(connection, action_id, details):
        return
    audit_db.insert(
        connection,
        OperatorAction(
            id=action_id or uuid4(),
            workspace_id=subject.workspace_id,
            actor=_text(actor.name, _LONGEST_NAME),
            source=actor.source,
            action=action,
            object_kind=subject.kind,
            object_id=subject.id,
            object_name=None if subject.name is None else redact(subject.name),
            reason=None if reason is None else redact(_text(reason, _LONGEST_REASON)) or None,
            details=details,
            occurred_at=now,
        ),
    )


def _text(text: str, longest: int) -> str:
    """Return a text without control characters, which PostgreSQL or a terminal would not take."""
    return "".join(c if c.isprintable() else " " for c in text).strip()[:longest]
