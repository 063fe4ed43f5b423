"""Plan what publishing campaign files would change, and apply the plan.

A plan writes nothing. Applying uses one transaction per campaign, so that valid files are published
even if others fail. Campaigns in the database without a file are listed and left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.db.publishing import versions as versions_db
from drip_pipeline.db.publishing.versions import PublishedCampaign
from drip_pipeline.domain.compiler.api import CampaignDefinition
from drip_pipeline.domain.compiler.compile import ends_at_goal
from drip_pipeline.domain.definition.problems import Problem, errors_in
from drip_pipeline.domain.diff.changes import DefinitionDiff, exit_at_goal_change
from drip_pipeline.domain.diff.definition_diff import compare_definitions
from drip_pipeline.engine.campaigns.campaign import find_campaign
from drip_pipeline.engine.campaigns.workspaces import workspace_named
from drip_pipeline.engine.publishing.campaign_folder import (
    LoadedFile,
    load_campaign_files,
    refuse_invalid,
)
from drip_pipeline.engine.publishing.history import definition_of_version
from drip_pipeline.engine.publishing.publish import PublishReport, problems_of, publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.engine.publishing.template_folder import definition_of_file
from drip_pipeline.errors import CampaignAmbiguous, DripError, EnrollmentsStranded

FileAction = Literal["create", "new_version", "unchanged"]


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """What publishing one file would do.

    `version` is the published version that the file was compared with (None: there is none),
    `diff` the difference to it. A file with `problems` cannot be published.
    `root` is the folder that was read, None for one file.
    """

    label: str
    path: Path
    name: str
    workspace: str | None
    action: FileAction
    version: int | None = None
    diff: DefinitionDiff = field(default_factory=DefinitionDiff)
    root: Path | None = None
    problems: Sequence[Problem] = field(default_factory=tuple)
    warnings: Sequence[Problem] = field(default_factory=tuple)

    def to_dict(self) -> dict[str, object]:
        """Return the file's part of the plan as JSON."""
        return {
            "file": self.label,
            "name": self.name,
            "workspace": self.workspace,
            "action": self.action,
            "version": self.version,
            "diff": self.diff.to_dict() if self.action == "new_version" else None,
            "problems": [problem.to_dict() for problem in self.problems],
            "warnings": [warning.to_dict() for warning in self.warnings],
        }


@dataclass(frozen=True, slots=True)
class PublishPlan:
    """What publishing a folder would do.

    `not_in_folder`: published campaigns of the same workspaces that have no file.
    """

    files: Sequence[PlannedFile]
    not_in_folder: Sequence[PublishedCampaign] = field(default_factory=tuple)

    def count(self, action: FileAction) -> int:
        """Return the number of valid files with this action."""
        return sum(file.action == action for file in self.files if not file.problems)

    @property
    def is_valid(self) -> bool:
        """Whether every file can be published."""
        return not any(file.problems for file in self.files)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return self.is_valid and self.count("unchanged") == len(self.files)

    def to_dict(self) -> dict[str, object]:
        """Return the plan as JSON; `planned_versions` reads it back."""
        return {
            "is_empty": self.is_empty,
            "is_valid": self.is_valid,
            "files": [file.to_dict() for file in self.files],
            "not_in_folder": [campaign._asdict() for campaign in self.not_in_folder],
        }

    def refuse_invalid(self) -> None:
        """Raise FilesInvalid with the problems of all files, if there are any."""
        refuse_invalid({file.label: file.problems for file in self.files})


@dataclass(frozen=True, slots=True)
class AppliedPlan:
    """The result by file: a report if it was published or unchanged, else an error."""

    published: Mapping[str, PublishReport]
    failed: Mapping[str, DripError]


def plan(database: Database, path: Path, options: PublishOptions) -> PublishPlan:
    """Return what publishing a file, or every file of a folder, would change. Writes nothing."""
    files = load_campaign_files(path, options.settings)
    root = path if path.is_dir() else None
    with database.transaction() as connection:
        planned_files: list[PlannedFile] = []
        campaign_ids: set[UUID] = set()
        workspace_ids: set[UUID] = set()
        for file in files:
            planned, campaign_id, workspace_id = _planned_file(connection, file, options)
            planned_files.append(replace(planned, root=root))
            campaign_ids |= {campaign_id} if campaign_id else set()
            workspace_ids |= {workspace_id} if workspace_id else set()
        others = (
            versions_db.published_campaigns(connection, sorted(workspace_ids))
            if path.is_dir()
            else []
        )
        connection.rollback()  # removes workspaces that were created for the comparison
    return PublishPlan(planned_files, [row for row in others if row.id not in campaign_ids])


def apply(
    database: Database,
    planned: PublishPlan,
    options: PublishOptions,
    *,
    based_on: Mapping[str, int] | None = None,
) -> AppliedPlan:
    """Publish the valid files of a plan, in one transaction per campaign.

    `based_on`: versions by file that an earlier plan was compared with. A campaign that has another
    published version by now is refused with VersionOutdated.
    """
    published: dict[str, PublishReport] = {}
    failed: dict[str, DripError] = {}
    for file in planned.files:
        expected = (based_on or {}).get(file.label, file.version or 0)
        try:
            refuse_invalid({file.label: file.problems})
            published[file.label] = _publish_file(
                database, file, replace(options, based_on=expected)
            )
        except DripError as error:
            failed[file.label] = error
    return AppliedPlan(published, failed)


def publish_all(
    database: Database, path: Path, options: PublishOptions
) -> dict[str, PublishReport]:
    """Publish every file of a folder if all are valid; return a report per file.

    Raises FilesInvalid with all problems of all files, and EnrollmentsStranded for the first
    campaign with states without a target node, before anything is published.
    """
    planned = plan(database, path, options)
    planned.refuse_invalid()

    def publish_files(options: PublishOptions) -> dict[str, PublishReport]:
        return {file.label: _publish_file(database, file, options) for file in planned.files}

    if not options.dry_run and options.in_flight.policy == "migrate":
        for report in publish_files(replace(options, dry_run=True)).values():
            if report.in_flight is not None and report.in_flight.stranded:
                raise EnrollmentsStranded(
                    [asdict(group) for group in report.in_flight.stranded], report.version
                )
    return publish_files(options)


def _publish_file(database: Database, file: PlannedFile, options: PublishOptions) -> PublishReport:
    text = file.path.read_text(encoding="utf-8-sig")
    source = definition_of_file(file.path, text, file.root, options.settings)
    return publish(
        database, source, replace(options, workspace=file.workspace or options.workspace)
    )


def planned_versions(plan_file: Mapping[str, object]) -> dict[str, int]:
    """Return the versions that a plan (as JSON) was compared with, by file; 0 without a version."""
    files = plan_file.get("files")
    return {
        str(file["file"]): int(file.get("version") or 0)
        for file in (files if isinstance(files, list) else ())
    }


def _planned_file(
    connection: Connection, file: LoadedFile, options: PublishOptions
) -> tuple[PlannedFile, UUID | None, UUID | None]:
    """Return the planned file, and the ids of its campaign and workspace."""
    definition = file.definition
    if definition is None:
        unread = PlannedFile(file.label, file.path, "", None, "create", problems=file.problems)
        return unread, None, None
    workspace = definition.workspace or options.workspace
    try:
        workspace_id = workspace_named(connection, workspace)
        campaign_id, version, diff = _compared(connection, definition, workspace_id)
    except DripError as error:
        problem = Problem(None, "not_allowed", error.message)
        planned = PlannedFile(
            file.label, file.path, definition.name, workspace, "create", problems=[problem]
        )
        return planned, None, None
    problems = problems_of(connection, definition, options, workspace_id=workspace_id)
    action: FileAction = (
        "create" if version is None else "unchanged" if diff.is_empty else "new_version"
    )
    planned = PlannedFile(
        label=file.label,
        path=file.path,
        name=definition.name,
        workspace=workspace,
        action=action,
        version=version,
        diff=diff,
        problems=[*file.problems, *errors_in(problems)],
        warnings=[problem for problem in problems if problem.severity == "warning"],
    )
    return planned, campaign_id, workspace_id


def _compared(
    connection: Connection, definition: CampaignDefinition, workspace_id: UUID
) -> tuple[UUID | None, int | None, DefinitionDiff]:
    """Return the campaign of a file, its published version, and the difference to it."""
    campaigns = versions_db.campaigns_of_name(connection, workspace_id, definition.name)
    if len(campaigns) > 1:
        raise CampaignAmbiguous(definition.name, len(campaigns))
    if not campaigns or campaigns[0].published_version is None:
        return (campaigns[0].id if campaigns else None), None, DefinitionDiff()
    campaign = find_campaign(connection, campaigns[0].id)
    version = campaigns[0].published_version
    before = definition_of_version(connection, campaign, version)
    diff = compare_definitions(before, definition)
    published = publish_db.published_hash(connection, campaign.campaign_id)
    if published is not None and ends_at_goal(before) and not published.goal_ends_runs:
        # In versions of earlier releases the goal does not end runs.
        diff = replace(diff, changes=(*exit_at_goal_change(False, None), *diff.changes))
    return campaign.campaign_id, version, diff
