"""External drafts: changes that another application made in the tables of published campaigns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, TypedDict
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, dump_json

DraftKind = Literal["valid", "invalid"]


class DraftProblem(TypedDict):
    """One problem of an external draft; `step` is the name of the step with this node id."""

    node_id: str | None
    step: str | None
    code: str
    message: str


class DraftCandidate(NamedTuple):
    """A published campaign that differs from its published version, or has a recorded draft.

    `is_edited`: the tables differ. `is_known`: the recorded draft has the present content.
    `draft_kind` to `noticed_at` describe the recorded draft and are None without one.
    """

    campaign_id: UUID
    name: str
    workspace_id: UUID
    version: int
    content_hash: str
    is_edited: bool
    is_known: bool
    kind: DraftKind | None
    problems: list[DraftProblem] | None
    changes: str | None
    noticed_at: datetime | None


class PublishedDefinition(NamedTuple):
    """The definition of a campaign's published version, as JSON, with its hashes."""

    version: int
    definition: dict[str, object]
    definition_hash: str
    graph_hash: str | None


class RecordedDraft(NamedTuple):
    """The recorded draft of a campaign."""

    kind: DraftKind
    base_version: int
    problems: list[DraftProblem]
    changes: str
    noticed_at: datetime


@dataclass(frozen=True, slots=True)
class NewDraft:
    """A draft to be recorded; `base_version` is the published version that was changed."""

    campaign_id: UUID
    workspace_id: UUID
    content_hash: str
    base_version: int
    kind: DraftKind
    problems: Sequence[DraftProblem]
    changes: str


def draft_candidates(
    connection: Connection, campaign_id: UUID | None = None
) -> list[DraftCandidate]:
    """Return the published campaigns (all, or one) that may have an external draft."""
    return queries.records(connection, "edited_campaigns", DraftCandidate, campaign_id=campaign_id)


def published_definition(connection: Connection, campaign_id: UUID) -> PublishedDefinition | None:
    """Return the published definition of a campaign, or None when nothing is published."""
    return queries.record(
        connection, "published_definition", PublishedDefinition, campaign_id=campaign_id
    )


def save_layout(
    connection: Connection,
    campaign_id: UUID,
    definition: Mapping[str, object],
    definition_hash: str,
) -> None:
    """Copy the present canvas layout into the published version."""
    queries.run(
        connection,
        "save_layout",
        campaign_id=campaign_id,
        definition=dump_json(definition).decode(),
        definition_hash=definition_hash,
    )


def record_draft(connection: Connection, draft: NewDraft, now: datetime) -> None:
    """Insert or replace the recorded draft of a campaign."""
    queries.run(
        connection,
        "record_draft",
        campaign_id=draft.campaign_id,
        workspace_id=draft.workspace_id,
        content_hash=draft.content_hash,
        base_version=draft.base_version,
        kind=draft.kind,
        problems=dump_json(list(draft.problems)).decode(),
        changes=draft.changes,
        now=now,
    )


def delete_draft(connection: Connection, campaign_id: UUID) -> None:
    """Delete the recorded draft of a campaign."""
    queries.run(connection, "delete_draft", campaign_id=campaign_id)


def recorded_draft(connection: Connection, campaign_id: UUID) -> RecordedDraft | None:
    """Return the recorded draft of a campaign if its content is still the present one."""
    return queries.record(connection, "recorded_draft", RecordedDraft, campaign_id=campaign_id)
