"""Clone a campaign: copy steps and texts under another name, without contacts or history."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.db.publishing import versions as versions_db
from drip_pipeline.domain.compiler.api import CampaignDefinition
from drip_pipeline.domain.definition.problems import errors_in
from drip_pipeline.engine import audit
from drip_pipeline.engine.campaigns.campaign import Campaign, find_campaign
from drip_pipeline.engine.publishing.history import definition_of_version
from drip_pipeline.engine.publishing.publish import problems_of, publish_valid, write_definition
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.engine.publishing.stored_definition import definition_in_tables
from drip_pipeline.errors import DefinitionInvalid, NotAllowed


@dataclass(frozen=True, slots=True)
class ClonedCampaign:
    """A cloned campaign; `version` is None for a draft.

    `of_version` is the copied version (None: the tables of a campaign that was never published).
    """

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
    options: PublishOptions,
    *,
    version: int | None = None,
    is_published: bool = False,
) -> ClonedCampaign:
    """Copy a version of a campaign (default: the published one) to a new campaign `name`.

    The clone is in the same workspace; it is a draft, or published at once. Raises NotAllowed when
    the name is in use, VersionNotFound, and DefinitionInvalid when it is to be published and cannot
    run.
    """
    with database.transaction() as connection:
        parent = find_campaign(connection, campaign)
        if version is None:
            version = parent.published_version
        definition = _definition(connection, parent, version).model_copy(update={"name": name})
        if publish_db.lock_campaigns(connection, parent.workspace_id, name=name, campaign_id=None):
            raise NotAllowed(
                f"campaign {name!r} already exists in workspace {parent.workspace!r}",
                hint="Choose another name.",
            )
        clone_id = publish_db.insert_campaign(
            connection,
            parent.workspace_id,
            name=name,
            sequence_type=definition.sequence_type,
            now=options.now,
        )
        versions_db.set_parent(connection, clone_id, parent.campaign_id)
        description = f"cloned from {parent.name}" + (f", version {version}" if version else "")
        new_version = None
        if is_published:
            workspace_id = parent.workspace_id
            problems = problems_of(connection, definition, options, workspace_id=workspace_id)
            if errors_in(problems):
                raise DefinitionInvalid(errors_in(problems), name=name)
            new_version = publish_valid(
                connection,
                definition,
                replace(options, campaign_id=clone_id, description=description),
                workspace_id=workspace_id,
            ).version
        else:
            write_definition(connection, clone_id, definition, options)
            snapshot_id = publish_db.snapshot(
                connection,
                clone_id,
                description=description,
                change_type="draft",
                now=options.now,
            )
            audit.record(
                connection,
                options.actor,
                "clone",
                audit.Subject("campaign", parent.workspace_id, clone_id, name),
                now=options.now,
                reason=options.reason or description,
                details={
                    "parent_campaign_id": parent.campaign_id,
                    "parent": parent.name,
                    "version": versions_db.version_number(connection, snapshot_id),
                },
            )
        status = "active" if is_published else "draft"
        return ClonedCampaign(
            clone_id, name, status, new_version, parent.campaign_id, parent.name, version
        )


def _definition(
    connection: Connection, parent: Campaign, version: int | None
) -> CampaignDefinition:
    if version is not None:
        return definition_of_version(connection, parent, version)
    definition = definition_in_tables(connection, parent.campaign_id)
    assert definition is not None  # `find_campaign` read the row in the same transaction
    return definition
