"""What another application has changed in the tables of a published campaign. Positions, viewport
and looks are taken over into the published version, which runs as before; everything else is an
edit that waits to be published. Publishing asks here before it writes over anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.publishing import external_drafts as edits_db
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.domain.compiler.api import CampaignDefinition, complete, load_definition
from drip_pipeline.domain.compiler.compile import definition_hash, graph_hash
from drip_pipeline.domain.definition.export import definition_of_rows
from drip_pipeline.domain.diff.definition_diff import compare_definitions
from drip_pipeline.errors import DefinitionInvalid


@dataclass(frozen=True, slots=True)
class FoundEdit:
    """An edit: the definition that stands in the tables, the version it was made from, and what is
    different, in one line."""

    definition: CampaignDefinition
    definition_hash: str
    base_version: int
    changes: str


def look(connection: Connection, campaign_id: UUID) -> FoundEdit | None:
    """The edit in a campaign's tables, None where there is none. The caller holds the campaign:
    how the canvas is drawn is taken over on the way."""
    before = edits_db.published(connection, campaign_id)
    row = publish_db.campaign_row(connection, campaign_id)
    if before is None or row is None:
        return None
    steps = publish_db.steps(connection, campaign_id)
    definition = definition_of_rows(row, steps, canvas_wins=True)
    found = definition_hash(definition)
    if found != before["definition_hash"]:
        diff = compare_definitions(complete(load_definition(before["definition"])), definition)
        if diff.changes or _runs_differently(definition, before["graph_hash"]):
            return FoundEdit(definition, found, before["version"], diff.summary())
    edits_db.keep_layout(connection, campaign_id, definition.to_dict(), found)
    edits_db.forget(connection, campaign_id)
    return None


def _runs_differently(definition: CampaignDefinition, published: str | None) -> bool:
    try:
        return published is not None and graph_hash(definition) != published
    except DefinitionInvalid:
        return True


def edit_beside(connection: Connection, campaign_id: UUID, wanted: str) -> FoundEdit | None:
    """The edit that publishing a definition of this hash would write over. None where there is no
    edit, or where it is the edit that is published. The caller holds the campaign."""
    if not any(row["is_edited"] for row in edits_db.edited(connection, campaign_id)):
        return None
    edit = look(connection, campaign_id)
    return None if edit is None or edit.definition_hash == wanted else edit
