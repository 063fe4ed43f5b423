"""The version history of a campaign: list, compare, snapshot and roll back versions.

The history is append-only: a rollback publishes a copy of the old version as the newest one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.db.publishing import versions as versions_db
from drip_pipeline.db.publishing.versions import RelatedCampaign, VersionEntry
from drip_pipeline.domain.compiler.api import CampaignDefinition, complete, load_definition
from drip_pipeline.domain.definition.export import definition_of_rows
from drip_pipeline.domain.definition.problems import errors_in
from drip_pipeline.domain.diff.changes import DefinitionDiff
from drip_pipeline.domain.diff.definition_diff import compare_definitions
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.campaigns.campaign import Campaign, find_campaign
from drip_pipeline.engine.publishing.publish import PublishReport, problems_of, publish_valid
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.errors import DefinitionInvalid, NotAllowed, VersionNotFound

TOLERATED: Final = frozenset({"variable_unknown"})
"""A custom field that no contact has any more was known when the version was published; it renders
empty, which must not prevent a rollback."""
HISTORY_COLUMNS: Final = (
    "version", "change_type", "change_description", "created_at", "actor", "is_current",
    "in_flight",
)  # fmt: skip
"""The columns of a table of versions, in this order; more do not fit on a terminal."""


@dataclass(frozen=True, slots=True)
class CampaignHistory:
    """A campaign's versions, newest first, with its parent and its clones."""

    campaign: Campaign
    versions: Sequence[VersionEntry]
    lineage: Sequence[RelatedCampaign]


@dataclass(frozen=True, slots=True)
class VersionComparison:
    """Two definitions and their difference; a label is `version 3` or the name of a file."""

    name: str
    before_label: str
    after_label: str
    before: CampaignDefinition
    after: CampaignDefinition
    diff: DefinitionDiff

    def to_dict(self) -> dict[str, object]:
        """Return the comparison as JSON."""
        return {"name": self.name, "before": self.before_label, "after": self.after_label} | (
            self.diff.to_dict()
        )


@dataclass(frozen=True, slots=True)
class CampaignSnapshot:
    """A stored snapshot and its version number."""

    campaign_id: UUID
    name: str
    version: int


def history(database: Database, name_or_id: str | UUID) -> CampaignHistory:
    """Return the versions and the lineage. Raises CampaignNotFound, CampaignAmbiguous."""
    with database.transaction(is_read_only=True) as connection:
        campaign = find_campaign(connection, name_or_id)
        return CampaignHistory(
            campaign,
            versions_db.history(connection, campaign.campaign_id),
            versions_db.lineage(connection, campaign.campaign_id),
        )


def definition_of_version(
    connection: Connection, campaign: Campaign, version: int
) -> CampaignDefinition:
    """Return the completed definition of a published version or a snapshot.

    Raises VersionNotFound.
    """
    stored = versions_db.stored_version(connection, campaign.campaign_id, version)
    if stored is None:
        raise VersionNotFound(
            campaign.name, version, hint=f"`drip campaign versions {campaign.name!r}` lists them."
        )
    if stored.definition is not None:
        return complete(load_definition(stored.definition))
    return definition_of_rows(stored.campaign_snapshot, stored.steps_snapshot)


def compare_versions(
    database: Database,
    name_or_id: str | UUID,
    before: int,
    after: int | str | CampaignDefinition,
    *,
    file_name: str = "the file",
) -> VersionComparison:
    """Compare two versions, or a version with a campaign file named `file_name`: its text, or
    its definition.

    Raises VersionNotFound, and DefinitionInvalid for a text that is not a campaign file.
    """
    with database.transaction(is_read_only=True) as connection:
        campaign = find_campaign(connection, name_or_id)
        old = definition_of_version(connection, campaign, before)
        if isinstance(after, int):
            new, label = definition_of_version(connection, campaign, after), f"version {after}"
        elif isinstance(after, str):
            new, label = complete(load_definition(after)), file_name
        else:
            new, label = after, file_name
    return VersionComparison(
        campaign.name, f"version {before}", label, old, new, compare_definitions(old, new)
    )


def snapshot(
    database: Database,
    name_or_id: str | UUID,
    *,
    now: datetime,
    description: str | None = None,
    actor: Actor = LIBRARY,
) -> CampaignSnapshot:
    """Store campaign, steps and canvas under the next version number.

    The published version does not change.
    """
    with database.transaction() as connection:
        campaign = find_campaign(connection, name_or_id)
        version_id = publish_db.snapshot(
            connection, campaign.campaign_id, description=description, change_type="draft", now=now
        )
        version = versions_db.version_number(connection, version_id)
        audit.record(
            connection,
            actor,
            "snapshot",
            campaign.subject,
            now=now,
            reason=description,
            details={"version": version},
        )
        return CampaignSnapshot(campaign.campaign_id, campaign.name, version)


def rollback(
    database: Database, name_or_id: str | UUID, version: int, options: PublishOptions
) -> PublishReport:
    """Publish a copy of an old version as the newest one.

    The history and the results of A/B tests do not change. The status is `unchanged` when the
    published version has the same definition. Raises VersionNotFound, NotAllowed (archived, or the
    old name belongs to another campaign), DefinitionInvalid when the old version cannot run now,
    and VersionOutdated, UnpublishedEdit and EnrollmentsStranded as `publish` does.
    """
    with database.transaction() as connection:
        campaign = find_campaign(connection, name_or_id)
        definition = definition_of_version(connection, campaign, version)
        # Locks the name before the row, as `publish` does: in the opposite order the two could
        # deadlock.
        locked = publish_db.lock_campaigns(
            connection,
            campaign.workspace_id,
            name=definition.name,
            campaign_id=campaign.campaign_id,
        )
        if not locked or locked[0].status == "archived":
            raise NotAllowed(
                f"campaign {campaign.name!r} is archived; this cannot be undone",
                hint=f"`drip campaign clone {campaign.name!r} --name NAME` copies it.",
            )
        _refuse_foreign_name(connection, campaign, definition.name)
        problems = problems_of(connection, definition, options, workspace_id=campaign.workspace_id)
        errors = [problem for problem in errors_in(problems) if problem.code not in TOLERATED]
        if errors:
            raise DefinitionInvalid(
                errors,
                name=f"{definition.name} (version {version})",
                hint=f"`drip campaign export {campaign.name!r} --version {version} --out FILE`,"
                " correct the file and publish it; nothing was changed.",
            )
        report = publish_valid(
            connection,
            definition,
            replace(
                options,
                campaign_id=campaign.campaign_id,
                description=f"back to version {version}",
                change_type="rollback",
            ),
            workspace_id=campaign.workspace_id,
            warnings=[problem for problem in problems if problem.severity == "warning"],
        )
        if options.dry_run:
            connection.rollback()
            if report.status == "published":
                return replace(report, status="dry_run", entered=0)
    return report


def _refuse_foreign_name(connection: Connection, campaign: Campaign, name: str) -> None:
    if name == campaign.name:
        return
    if any(
        other.id != campaign.campaign_id
        for other in versions_db.campaigns_of_name(connection, campaign.workspace_id, name)
    ):
        raise NotAllowed(
            f"the version of campaign {campaign.name!r} had the name {name!r}, which is now the"
            " name of another campaign",
            hint="Export the version, rename it in the file, and publish the file.",
        )
