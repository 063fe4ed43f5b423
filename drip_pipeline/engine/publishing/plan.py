"""Files against the database: what publishing them would change, and doing just that. A plan writes
nothing; applying takes one transaction a campaign, so that good files go on where others fail.

A campaign that the database has and the folder has not is named and left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.publishing import versions as versions_db
from drip_pipeline.domain.compiler.api import CampaignDefinition
from drip_pipeline.domain.definition.problems import Problem, errors_in
from drip_pipeline.domain.diff.changes import DefinitionDiff
from drip_pipeline.domain.diff.definition_diff import compare_definitions
from drip_pipeline.engine.campaigns.campaign import find_campaign
from drip_pipeline.engine.campaigns.workspaces import workspace_named
from drip_pipeline.engine.publishing.campaign_folder import (
    CampaignFile,
    read_campaign_files,
    refuse_invalid,
)
from drip_pipeline.engine.publishing.history import definition_of_version
from drip_pipeline.engine.publishing.in_flight_policy import PIN, InFlight
from drip_pipeline.engine.publishing.publish import PublishReport, problems_of, publish
from drip_pipeline.errors import CampaignAmbiguous, DripError, EnrollmentsStranded
from drip_pipeline.settings import Settings

Step = Literal["create", "new_version", "unchanged"]


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """What one file would come to. `version` is the published one it was compared with (None: there
    is none), `diff` what would be different. A file with `problems` cannot be published.
    """

    label: str
    path: Path
    name: str
    workspace: str | None
    step: Step
    version: int | None = None
    diff: DefinitionDiff = field(default_factory=DefinitionDiff)
    problems: Sequence[Problem] = field(default_factory=tuple)
    warnings: Sequence[Problem] = field(default_factory=tuple)

    def to_dict(self) -> dict[str, Any]:
        """The file's part of the plan as JSON."""
        return {
            "file": self.label,
            "name": self.name,
            "workspace": self.workspace,
            "step": self.step,
            "version": self.version,
            "diff": self.diff.to_dict() if self.step == "new_version" else None,
            "problems": [problem.to_dict() for problem in self.problems],
            "warnings": [warning.to_dict() for warning in self.warnings],
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """What a folder would change. `not_in_folder`: published campaigns of the same workspaces that
    no file speaks of (id, name, workspace, status, version)."""

    files: Sequence[PlannedFile]
    not_in_folder: Sequence[Mapping[str, Any]] = field(default_factory=tuple)

    def count(self, step: Step) -> int:
        """How many files come to this."""
        return sum(file.step == step for file in self.files if not file.problems)

    @property
    def is_valid(self) -> bool:
        """Whether every file can be published."""
        return not any(file.problems for file in self.files)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return self.is_valid and self.count("unchanged") == len(self.files)

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON; `versions_of` reads it back."""
        return {
            "is_empty": self.is_empty,
            "is_valid": self.is_valid,
            "files": [file.to_dict() for file in self.files],
            "not_in_folder": [dict(row) for row in self.not_in_folder],
        }

    def refuse_invalid(self) -> None:
        """Raise FilesInvalid with the problems of all files, if there are any."""
        refuse_invalid({file.label: file.problems for file in self.files})


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying did: a report per file that was published or needed nothing, an error per file
    that was not."""

    done: Mapping[str, PublishReport]
    failed: Mapping[str, DripError]


def plan(
    database: Database,
    path: Path,
    *,
    channels: frozenset[str],
    settings: Settings,
    workspace: str | None = None,
) -> Plan:
    """What publishing a file, or every file of a folder, would change. `workspace` is for files
    that name none. Writes nothing.
    """
    files = read_campaign_files(path)
    with database.transaction() as connection:
        found: list[PlannedFile] = []
        spoken_of: set[UUID] = set()
        workspaces: set[UUID] = set()
        for file in files:
            planned, campaign_id, workspace_id = _planned(
                connection, file, channels, settings, workspace
            )
            found.append(planned)
            spoken_of |= {campaign_id} if campaign_id else set()
            workspaces |= {workspace_id} if workspace_id else set()
        others = versions_db.in_use(connection, sorted(workspaces)) if path.is_dir() else []
        connection.rollback()  # a workspace that is to be made was only made to look into it
    return Plan(found, [row for row in others if row["id"] not in spoken_of])


def apply(
    database: Database,
    planned: Plan,
    *,
    now: datetime,
    channels: frozenset[str],
    settings: Settings,
    workspace: str | None = None,
    based_on: Mapping[str, int] | None = None,
    description: str | None = None,
) -> Applied:
    """Do what the plan says, a transaction a campaign; the good files go on where others fail.

    A campaign that somebody published since the plan was made (or since `based_on`, the versions of
    an earlier plan by file) is refused, not overwritten.
    """
    done: dict[str, PublishReport] = {}
    failed: dict[str, DripError] = {}
    for file in planned.files:
        if file.problems:
            try:
                refuse_invalid({file.label: file.problems})
            except DripError as error:
                failed[file.label] = error
            continue
        expected = file.version or 0
        if based_on is not None:
            expected = based_on.get(file.label, expected)
        try:
            done[file.label] = publish(
                database,
                file.path.read_text(encoding="utf-8-sig"),
                now=now,
                channels=channels,
                settings=settings,
                workspace=file.workspace or workspace,
                based_on=expected,
                description=description,
            )
        except DripError as error:
            failed[file.label] = error
    return Applied(done, failed)


def publish_all(
    database: Database,
    path: Path,
    *,
    now: datetime,
    channels: frozenset[str],
    settings: Settings,
    workspace: str | None = None,
    dry_run: bool = False,
    in_flight: InFlight = PIN,
    description: str | None = None,
) -> dict[str, PublishReport]:
    """Publish every file of a folder, if all of them are valid: a report per file.

    Before anything is published, raises FilesInvalid with all problems of all files, and
    EnrollmentsStranded with everybody who would have nowhere to go.
    """
    found = plan(database, path, channels=channels, settings=settings, workspace=workspace)
    found.refuse_invalid()

    def published(*, is_preview: bool) -> dict[str, PublishReport]:
        return {
            file.label: publish(
                database,
                file.path.read_text(encoding="utf-8-sig"),
                now=now,
                channels=channels,
                settings=settings,
                workspace=file.workspace or workspace,
                dry_run=is_preview,
                in_flight=in_flight,
                description=description,
            )
            for file in found.files
        }

    if not dry_run and in_flight.policy == "migrate":
        for report in published(is_preview=True).values():
            if report.in_flight is not None and report.in_flight.stranded:
                raise EnrollmentsStranded(
                    [asdict(group) for group in report.in_flight.stranded], report.version
                )
    return published(is_preview=dry_run)


def versions_of(told: Mapping[str, Any]) -> dict[str, int]:
    """The versions that a plan (as JSON) was made against, by file; 0 where there was none."""
    return {str(file["file"]): int(file.get("version") or 0) for file in told.get("files") or ()}


def _planned(
    connection: Connection,
    file: CampaignFile,
    channels: frozenset[str],
    settings: Settings,
    workspace: str | None,
) -> tuple[PlannedFile, UUID | None, UUID | None]:
    definition = file.definition
    if definition is None:
        unread = PlannedFile(file.label, file.path, "", None, "create", problems=file.problems)
        return unread, None, None
    named = definition.workspace or workspace
    try:
        workspace_id = workspace_named(connection, named)
        campaign_id, version, diff = _compared(connection, definition, workspace_id)
    except DripError as error:
        problem = Problem(None, "not_allowed", error.message)
        planned = PlannedFile(
            file.label, file.path, definition.name, named, "create", problems=[problem]
        )
        return planned, None, None
    problems = problems_of(
        connection, definition, workspace_id=workspace_id, channels=channels, settings=settings
    )
    step: Step = "create" if version is None else "unchanged" if diff.is_empty else "new_version"
    planned = PlannedFile(
        label=file.label,
        path=file.path,
        name=definition.name,
        workspace=named,
        step=step,
        version=version,
        diff=diff,
        problems=[*file.problems, *errors_in(problems)],
        warnings=[problem for problem in problems if problem.severity == "warning"],
    )
    return planned, campaign_id, workspace_id


def _compared(
    connection: Connection, definition: CampaignDefinition, workspace_id: UUID
) -> tuple[UUID | None, int | None, DefinitionDiff]:
    """The campaign that a file means, its published version, and the difference to it."""
    found = versions_db.of_name(connection, workspace_id, definition.name)
    if len(found) > 1:
        raise CampaignAmbiguous(definition.name, len(found))
    if not found or found[0]["published_version"] is None:
        return (found[0]["id"] if found else None), None, DefinitionDiff()
    campaign = find_campaign(connection, found[0]["id"])
    version = found[0]["published_version"]
    before = definition_of_version(connection, campaign, version)
    return campaign.campaign_id, version, compare_definitions(before, definition)
