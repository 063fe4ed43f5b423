"""Edits that another application makes in the tables of published campaigns: noticed, checked as a
file is, told once each, and published when that is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from drip_pipeline.db.campaigns import campaigns as campaigns_db
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.publishing import external_drafts as edits_db
from drip_pipeline.domain.definition.problems import Problem, errors_in
from drip_pipeline.engine.campaigns.campaign import find_campaign
from drip_pipeline.engine.publishing.draft_detection import FoundEdit, look
from drip_pipeline.engine.publishing.in_flight_policy import PIN, InFlight, InFlightReport
from drip_pipeline.engine.publishing.publish import problems_of, publish_valid
from drip_pipeline.errors import DefinitionInvalid, NotAllowed
from drip_pipeline.settings import Settings

EditStatus = Literal["valid", "invalid", "published"]
PUBLISHED_FROM: str = "edited in the tables"


@dataclass(frozen=True, slots=True)
class EditReport:
    """An edit of a campaign's tables since version `base_version`. `changes` is one line; of
    `problems` each has its node and what people call it. `is_new`: this look noticed it. `version`
    is the one it was published as."""

    campaign_id: UUID
    name: str
    base_version: int
    status: EditStatus
    changes: str
    problems: Sequence[Mapping[str, Any]] = ()
    is_new: bool = False
    version: int | None = None
    in_flight: InFlightReport | None = None


def check_edits(
    database: Database,
    *,
    now: datetime,
    channels: frozenset[str],
    settings: Settings,
    campaign: str | UUID | None = None,
) -> list[EditReport]:
    """Look at all published campaigns, or one, and tell the edits that stand in their tables.

    What was looked at before is not looked at again until it changes. With the setting
    `canvas_edits` = publish, a valid edit that is found as it was at the look before is published.
    """
    with database.transaction(is_read_only=True) as connection:
        only = None if campaign is None else find_campaign(connection, campaign).campaign_id
        rows = edits_db.edited(connection, only)
    found = []
    for row in rows:
        if row["is_known"] and row["is_edited"]:
            report: EditReport | None = _known(row)
            if row["kind"] == "valid" and settings.canvas_edits == "publish":
                report = publish_edit(
                    database, row["campaign_id"], now=now, channels=channels, settings=settings
                )
        else:
            report = _look(database, row, now, channels, settings)
        if report is not None:
            found.append(report)
    return found


def publish_edit(
    database: Database,
    campaign: str | UUID,
    *,
    now: datetime,
    channels: frozenset[str],
    settings: Settings,
    in_flight: InFlight = PIN,
) -> EditReport:
    """Publish the edit that stands in a campaign's tables.

    Raises NotAllowed when there is none, DefinitionInvalid with all its problems,
    EnrollmentsStranded.
    """
    with database.transaction() as connection:
        found = find_campaign(connection, campaign)
        campaigns_db.lock(connection, found.campaign_id)
        edit = look(connection, found.campaign_id)
        if edit is None:
            raise NotAllowed(f"campaign {found.name!r} has no edit that is not published")
        problems = _problems(connection, edit, found.workspace_id, channels, settings)
        if errors_in(problems):
            raise DefinitionInvalid(
                errors_in(problems),
                name=edit.definition.name,
                hint="Correct it where it was edited; nothing was changed.",
            )
        published = publish_valid(
            connection,
            edit.definition,
            workspace_id=found.workspace_id,
            campaign_id=found.campaign_id,
            now=now,
            description=PUBLISHED_FROM,
            in_flight=in_flight,
        )
    return EditReport(
        found.campaign_id,
        published.name,
        edit.base_version,
        "published",
        edit.changes,
        version=published.version,
        is_new=True,
        in_flight=published.in_flight,
    )


def _known(row: Mapping[str, Any]) -> EditReport:
    return EditReport(
        row["campaign_id"],
        row["name"],
        row["version"],
        row["kind"],
        row["changes"],
        row["problems"],
    )


def _look(
    database: Database,
    row: Mapping[str, Any],
    now: datetime,
    channels: frozenset[str],
    settings: Settings,
) -> EditReport | None:
    with database.transaction() as connection:
        campaigns_db.lock(connection, row["campaign_id"])
        # Again, now that nobody can publish: what was read before may be published by now.
        current = edits_db.edited(connection, row["campaign_id"])
        edit = look(connection, row["campaign_id"]) if current and current[0]["is_edited"] else None
        if edit is None:
            edits_db.forget(connection, row["campaign_id"])
            return None
        problems = _problems(connection, edit, row["workspace_id"], channels, settings)
        errors = errors_in(problems)
        told = [_told(problem, edit) for problem in errors]
        status: EditStatus = "invalid" if errors else "valid"
        edits_db.note(
            connection,
            row["campaign_id"],
            workspace_id=row["workspace_id"],
            content_hash=current[0]["content_hash"],
            base_version=edit.base_version,
            kind=status,
            problems=told,
            changes=edit.changes,
            now=now,
        )
    return EditReport(
        row["campaign_id"], row["name"], edit.base_version, status, edit.changes, told, is_new=True
    )


def _problems(
    connection: Connection,
    edit: FoundEdit,
    workspace_id: UUID,
    channels: frozenset[str],
    settings: Settings,
) -> list[Problem]:
    return problems_of(
        connection,
        edit.definition,
        workspace_id=workspace_id,
        channels=channels,
        settings=settings,
    )


def _told(problem: Problem, edit: FoundEdit) -> dict[str, Any]:
    names = {step.node_id: step.step_name for step in edit.definition.steps}
    return {
        "node_id": problem.node_id,
        "step": names.get(problem.node_id) if problem.node_id else None,
        "code": problem.code,
        "message": problem.message,
    }
