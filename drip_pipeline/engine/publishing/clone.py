"""Cloning a campaign: the same steps and texts under another name, without people, results or
history; where it comes from stays visible.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.db.publishing import versions as versions_db
from drip_pipeline.domain.compiler.api import CampaignDefinition
from drip_pipeline.domain.definition.export import definition_of_rows
from drip_pipeline.domain.definition.problems import errors_in
from drip_pipeline.engine.campaigns.campaign import Campaign, find_campaign
from drip_pipeline.engine.publishing.history import definition_of_version
from drip_pipeline.engine.publishing.publish import problems_of, publish_valid, write_definition
from drip_pipeline.errors import DefinitionInvalid, NotAllowed
from drip_pipeline.settings import Settings


@dataclass(frozen=True, slots=True)
class Clone:
    """A campaign made from another. `version` is None for a draft; `of_version` is what was copied
    (None: the campaign as it stood, never published)."""

    campaign_id: UUID
    name: str
    status: str
    version: int | None
    parent_campaign_id: UUID
    parent: str
    of_version: int | None


def clone(
    database: Database,
    campaign: str | UUID,
    name: str,
    *,
    now: datetime,
    channels: frozenset[str],
    settings: Settings,
    version: int | None = None,
    is_published: bool = False,
) -> Clone:
    """Make a campaign of this name from a version of another one (default: the published one), in
    the same workspace: a draft, or published at once.

    Raises NotAllowed when the name is in use, VersionNotFound, and DefinitionInvalid when it is to
    be published and cannot run.
    """
    with database.transaction() as connection:
        parent = find_campaign(connection, campaign)
        if version is None:
            version = parent.published_version
        definition = _definition(connection, parent, version).model_copy(update={"name": name})
        if publish_db.lock_campaigns(connection, parent.workspace_id, name=name, campaign_id=None):
            raise NotAllowed(
                f"there is a campaign {name!r} in workspace {parent.workspace!r} already",
                hint="Choose another name.",
            )
        made = publish_db.insert_campaign(
            connection,
            parent.workspace_id,
            name=name,
            sequence_type=definition.sequence_type,
            now=now,
        )
        versions_db.set_parent(connection, made, parent.campaign_id)
        told = f"cloned from {parent.name}" + (f", version {version}" if version else "")
        number = None
        if is_published:
            problems = problems_of(
                connection,
                definition,
                workspace_id=parent.workspace_id,
                channels=channels,
                settings=settings,
            )
            if errors_in(problems):
                raise DefinitionInvalid(errors_in(problems), name=name)
            number = publish_valid(
                connection,
                definition,
                workspace_id=parent.workspace_id,
                campaign_id=made,
                now=now,
                description=told,
            ).version
        else:
            write_definition(connection, made, definition, now=now)
            publish_db.snapshot(connection, made, description=told, change_type="draft", now=now)
        status = "active" if is_published else "draft"
        return Clone(made, name, status, number, parent.campaign_id, parent.name, version)


def _definition(
    connection: Connection, parent: Campaign, version: int | None
) -> CampaignDefinition:
    if version is not None:
        return definition_of_version(connection, parent, version)
    row = publish_db.campaign_row(connection, parent.campaign_id)
    assert row is not None  # found a moment ago, in the same transaction
    return definition_of_rows(row, publish_db.steps(connection, parent.campaign_id))
