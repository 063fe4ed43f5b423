"""Detect an external draft: a change that another application made to a published campaign.

Positions, viewport and other layout are copied into the published version, which runs as before.
Everything else is an external draft that waits to be published. Publishing checks for one before it
overwrites the tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.publishing import external_drafts as drafts_db
from drip_pipeline.domain.compiler.api import CampaignDefinition, complete, load_definition
from drip_pipeline.domain.compiler.compile import definition_hash, graph_hash
from drip_pipeline.domain.diff.definition_diff import compare_definitions
from drip_pipeline.engine.publishing.stored_definition import definition_in_tables
from drip_pipeline.errors import DefinitionInvalid


@dataclass(frozen=True, slots=True)
class ExternalDraft:
    """The changed definition, the version it differs from, and a summary of the changes."""

    definition: CampaignDefinition
    definition_hash: str
    base_version: int
    changes: str


def detect_draft(connection: Connection, campaign_id: UUID) -> ExternalDraft | None:
    """Return the external draft in a campaign's tables, or None.

    Copies a changed layout into the published version. The caller has locked the campaign.
    """
    published = drafts_db.published_definition(connection, campaign_id)
    definition = definition_in_tables(connection, campaign_id, canvas_wins=True)
    if published is None or definition is None:
        return None
    new_hash = definition_hash(definition)
    if new_hash != published.definition_hash:
        diff = compare_definitions(complete(load_definition(published.definition)), definition)
        if diff.changes or _runs_differently(definition, published.graph_hash):
            return ExternalDraft(definition, new_hash, published.version, diff.summary())
    drafts_db.save_layout(connection, campaign_id, definition.to_dict(), new_hash)
    drafts_db.delete_draft(connection, campaign_id)
    return None


def _runs_differently(definition: CampaignDefinition, published: str | None) -> bool:
    try:
        return published is not None and graph_hash(definition) != published
    except DefinitionInvalid:
        return True


def conflicting_draft(
    connection: Connection, campaign_id: UUID, new_hash: str
) -> ExternalDraft | None:
    """Return the external draft that publishing a definition of this hash would overwrite.

    None without a draft, and when the draft itself is published. The caller has locked the
    campaign.
    """
    if not any(row.is_edited for row in drafts_db.draft_candidates(connection, campaign_id)):
        return None
    draft = detect_draft(connection, campaign_id)
    return None if draft is None or draft.definition_hash == new_hash else draft
