"""The history of a campaign: looking at it, comparing any two versions or a version with a file,
keeping a snapshot, and going back. History is only added to: going back publishes a copy of the old
version as the newest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.db.publishing import versions as versions_db
from drip_pipeline.domain.compiler.api import CampaignDefinition, complete, load_definition
from drip_pipeline.domain.definition.export import definition_of_rows
from drip_pipeline.domain.definition.problems import errors_in
from drip_pipeline.domain.diff.changes import DefinitionDiff
from drip_pipeline.domain.diff.definition_diff import compare_definitions
from drip_pipeline.engine.campaigns.campaign import Campaign, find_campaign
from drip_pipeline.engine.publishing.in_flight_policy import PIN, InFlight
from drip_pipeline.engine.publishing.publish import PublishReport, problems_of, publish_valid
from drip_pipeline.errors import DefinitionInvalid, NotAllowed, VersionNotFound
from drip_pipeline.settings import Settings

TOLERATED: Final = frozenset({"variable_unknown"})
"""A custom field that nobody has any more was known when the version was published; it renders
empty, which must not stand in the way of going back."""
HISTORY_COLUMNS: Final = (
    "version", "change_type", "change_description", "created_at", "is_published", "is_current",
    "people",
)  # fmt: skip
"""What a table of versions shows, in this order."""
_HOW_TO_LOOK: Final = "`drip campaign versions {name!r}` shows them."


@dataclass(frozen=True, slots=True)
class History:
    """A campaign's versions, newest first, and where it comes from (relation, id, name, status)."""

    campaign: Campaign
    versions: Sequence[Mapping[str, Any]]
    lineage: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class VersionComparison:
    """Two definitions and in what they differ. Labels are what to call them: `version 3`."""

    name: str
    before_label: str
    after_label: str
    before: CampaignDefinition
    after: CampaignDefinition
    diff: DefinitionDiff

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON."""
        return {"name": self.name, "before": self.before_label, "after": self.after_label} | (
            self.diff.to_dict()
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that was kept."""

    campaign_id: UUID
    name: str
    version: int


def history(database: Database, campaign: str | UUID) -> History:
    """Everything that was kept of a campaign. Raises CampaignNotFound, CampaignAmbiguous."""
    with database.transaction(is_read_only=True) as connection:
        found = find_campaign(connection, campaign)
        return History(
            found,
            versions_db.history(connection, found.campaign_id),
            versions_db.lineage(connection, found.campaign_id),
        )


def definition_of_version(
    connection: Connection, campaign: Campaign, version: int
) -> CampaignDefinition:
    """A version as a completed definition: what was published, or what a snapshot holds. Raises
    VersionNotFound.
    """
    row = versions_db.as_written(connection, campaign.campaign_id, version)
    if row is None:
        raise VersionNotFound(campaign.name, version, hint=_HOW_TO_LOOK.format(name=campaign.name))
    if row["definition"] is not None:
        return complete(load_definition(row["definition"]))
    return definition_of_rows(row["campaign_snapshot"], row["steps_snapshot"])


def compare_versions(
    database: Database,
    campaign: str | UUID,
    before: int,
    after: int | str,
    *,
    file_name: str = "the file",
) -> VersionComparison:
    """Compare two versions, or a version with a file (`after` is then its text, `file_name` what to
    call it). Raises VersionNotFound, and DefinitionInvalid for a text that is no campaign file.
    """
    with database.transaction(is_read_only=True) as connection:
        found = find_campaign(connection, campaign)
        old = definition_of_version(connection, found, before)
        if isinstance(after, int):
            new, label = definition_of_version(connection, found, after), f"version {after}"
        else:
            new, label = complete(load_definition(after)), file_name
    return VersionComparison(
        found.name, f"version {before}", label, old, new, compare_definitions(old, new)
    )


def snapshot(
    database: Database, campaign: str | UUID, *, now: datetime, description: str | None = None
) -> Snapshot:
    """Keep the campaign, its steps and its canvas as they stand, under the next number. What
    newcomers enter stays as it is.
    """
    with database.transaction() as connection:
        found = find_campaign(connection, campaign)
        version_id = publish_db.snapshot(
            connection, found.campaign_id, description=description, change_type="draft", now=now
        )
        number = versions_db.number(connection, version_id)
        return Snapshot(found.campaign_id, found.name, number)


def rollback(
    database: Database,
    campaign: str | UUID,
    version: int,
    *,
    now: datetime,
    channels: frozenset[str],
    settings: Settings,
    based_on: int | None = None,
    dry_run: bool = False,
    in_flight: InFlight = PIN,
    overwrites_edit: bool = False,
) -> PublishReport:
    """Publish a copy of an old version as the newest; the history and the results of tests stay as
    they are. `unchanged` where the published version says the same already. `in_flight`: what
    becomes of people inside the other versions.

    Raises VersionNotFound, NotAllowed (archived; the old name is another campaign's by now),
    DefinitionInvalid where the old version cannot run today, VersionOutdated, UnpublishedEdit
    and EnrollmentsStranded as publishing does.
    """
    with database.transaction() as connection:
        found = find_campaign(connection, campaign)
        definition = definition_of_version(connection, found, version)
        # As publishing locks, the name before the row: the other way round two could wait for
        # each other.
        locked = publish_db.lock_campaigns(
            connection, found.workspace_id, name=definition.name, campaign_id=found.campaign_id
        )
        if not locked or locked[0]["status"] == "archived":
            raise NotAllowed(
                f"campaign {found.name!r} is archived, which is for good",
                hint=f"`drip campaign clone {found.name!r} --name NAME` begins anew with it.",
            )
        _refuse_foreign_name(connection, found, definition.name)
        problems = problems_of(
            connection,
            definition,
            workspace_id=found.workspace_id,
            channels=channels,
            settings=settings,
        )
        errors = [problem for problem in errors_in(problems) if problem.code not in TOLERATED]
        if errors:
            raise DefinitionInvalid(
                errors,
                name=f"{definition.name} (version {version})",
                hint=f"`drip campaign export {found.name!r} --version {version} --out FILE`,"
                " correct the file and publish it; nothing was changed.",
            )
        report = publish_valid(
            connection,
            definition,
            workspace_id=found.workspace_id,
            campaign_id=found.campaign_id,
            warnings=[problem for problem in problems if problem.severity == "warning"],
            now=now,
            description=f"back to version {version}",
            change_type="rollback",
            based_on=based_on,
            in_flight=in_flight,
            is_preview=dry_run,
            overwrites_edit=overwrites_edit,
        )
        if dry_run:
            connection.rollback()
            if report.status == "published":
                return replace(report, status="dry_run", entered=0)
    return report


def _refuse_foreign_name(connection: Connection, campaign: Campaign, name: str) -> None:
    others = [
        row
        for row in versions_db.of_name(connection, campaign.workspace_id, name)
        if row["id"] != campaign.campaign_id
    ]
    if name != campaign.name and others:
        raise NotAllowed(
            f"that version of campaign {campaign.name!r} was called {name!r}, and another campaign"
            " is called that by now",
            hint="Export the version, give it another name in the file, and publish that.",
        )
