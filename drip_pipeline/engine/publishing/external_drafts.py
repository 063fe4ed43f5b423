"""Check external drafts as a file is checked, record them once, and publish them on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal
from uuid import UUID

from drip_pipeline.db.campaigns import campaigns as campaigns_db
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.publishing import external_drafts as drafts_db
from drip_pipeline.db.publishing.external_drafts import (
    DraftCandidate,
    DraftKind,
    DraftProblem,
    NewDraft,
)
from drip_pipeline.domain.definition.problems import Problem, errors_in
from drip_pipeline.engine.campaigns.campaign import find_campaign
from drip_pipeline.engine.publishing.adopt_legacy import adopt, unpublished_campaigns
from drip_pipeline.engine.publishing.draft_detection import ExternalDraft, detect_draft
from drip_pipeline.engine.publishing.in_flight_policy import InFlightReport
from drip_pipeline.engine.publishing.publish import problems_of, publish_valid
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.errors import DefinitionInvalid, NotAllowed

DraftStatus = Literal["valid", "invalid", "published"]
PUBLISHED_FROM: str = "edited in the tables"
NEVER_PUBLISHED: str = "made active in the tables, never published"


@dataclass(frozen=True, slots=True)
class DraftReport:
    """An external draft of a campaign, with a summary of its changes since `base_version`.

    `base_version` is 0 for a campaign that an application made active without publishing it.

    `is_new`: this check found it first. `version`: the version that it was published as.
    """

    campaign_id: UUID
    name: str
    base_version: int
    status: DraftStatus
    changes: str
    problems: Sequence[DraftProblem] = ()
    is_new: bool = False
    version: int | None = None
    in_flight: InFlightReport | None = None


def check_drafts(
    database: Database, options: PublishOptions, *, campaign: str | UUID | None = None
) -> list[DraftReport]:
    """Return the external drafts of all published campaigns, or of one, and the campaigns that an
    application made active without publishing them.

    A draft is checked once and then again when it changes. With the setting `canvas_edits` =
    publish, a valid draft that is unchanged since the last check is published.
    """
    with database.transaction(is_read_only=True) as connection:
        only = None if campaign is None else find_campaign(connection, campaign).campaign_id
        candidates = drafts_db.draft_candidates(connection, only)
    reports = [
        DraftReport(
            unpublished.campaign_id,
            unpublished.name,
            0,
            "invalid" if unpublished.problems else "valid",
            NEVER_PUBLISHED,
            [_draft_problem(problem) for problem in unpublished.problems],
        )
        for unpublished in unpublished_campaigns(database, options, campaign_id=only)
    ]
    for candidate in candidates:
        if not (candidate.is_known and candidate.is_edited):
            report = _check(database, candidate, options)
        elif candidate.kind == "valid" and options.settings.canvas_edits == "publish":
            report = publish_draft(database, candidate.campaign_id, options)
        else:
            report = _recorded(candidate)
        if report is not None:
            reports.append(report)
    return reports


def publish_draft(
    database: Database, name_or_id: str | UUID, options: PublishOptions
) -> DraftReport:
    """Publish the external draft of a campaign.

    Raises NotAllowed without a draft, DefinitionInvalid with all its problems, EnrollmentsStranded.
    """
    with database.transaction() as connection:
        campaign = find_campaign(connection, name_or_id)
    if campaign.published_version is None:
        adopted = adopt(database, campaign.campaign_id, options)
        return DraftReport(
            campaign.campaign_id,
            campaign.name,
            0,
            "published",
            f"{adopted.states:,} enrollments entered",
            version=adopted.version,
            is_new=True,
        )
    with database.transaction() as connection:
        campaigns_db.lock(connection, campaign.campaign_id)
        draft = detect_draft(connection, campaign.campaign_id)
        if draft is None:
            raise NotAllowed(f"campaign {campaign.name!r} has no unpublished external changes")
        problems = problems_of(
            connection, draft.definition, options, workspace_id=campaign.workspace_id
        )
        if errors_in(problems):
            raise DefinitionInvalid(
                errors_in(problems),
                name=draft.definition.name,
                hint="Correct it in the application that changed it; nothing was published.",
            )
        published = publish_valid(
            connection,
            draft.definition,
            replace(options, campaign_id=campaign.campaign_id, description=PUBLISHED_FROM),
            workspace_id=campaign.workspace_id,
        )
    return DraftReport(
        campaign.campaign_id,
        published.name,
        draft.base_version,
        "published",
        draft.changes,
        version=published.version,
        is_new=True,
        in_flight=published.in_flight,
    )


def _recorded(candidate: DraftCandidate) -> DraftReport:
    assert candidate.kind is not None  # a known candidate has a recorded draft
    return DraftReport(
        candidate.campaign_id,
        candidate.name,
        candidate.version,
        candidate.kind,
        candidate.changes or "",
        candidate.problems or (),
    )


def _check(
    database: Database, candidate: DraftCandidate, options: PublishOptions
) -> DraftReport | None:
    """Check the draft of one campaign and record it; None when there is no draft any more."""
    campaign_id = candidate.campaign_id
    with database.transaction() as connection:
        campaigns_db.lock(connection, campaign_id)
        # Read again under the lock: the draft may be published by now.
        current = drafts_db.draft_candidates(connection, campaign_id)
        draft = detect_draft(connection, campaign_id) if current and current[0].is_edited else None
        if draft is None:
            drafts_db.delete_draft(connection, campaign_id)
            return None
        recorded = _record(connection, candidate, draft, current[0].content_hash, options)
    return DraftReport(
        campaign_id,
        candidate.name,
        draft.base_version,
        recorded.kind,
        draft.changes,
        recorded.problems,
        is_new=True,
    )


def _record(
    connection: Connection,
    candidate: DraftCandidate,
    draft: ExternalDraft,
    content_hash: str,
    options: PublishOptions,
) -> NewDraft:
    problems = problems_of(
        connection, draft.definition, options, workspace_id=candidate.workspace_id
    )
    names = {step.node_id: step.step_name for step in draft.definition.steps}
    errors = [_draft_problem(problem, names) for problem in errors_in(problems)]
    kind: DraftKind = "invalid" if errors else "valid"
    recorded = NewDraft(
        candidate.campaign_id,
        candidate.workspace_id,
        content_hash,
        draft.base_version,
        kind,
        errors,
        draft.changes,
    )
    drafts_db.record_draft(connection, recorded, options.now)
    return recorded


def _draft_problem(
    problem: Problem, step_names: Mapping[str | None, str | None] = MappingProxyType({})
) -> DraftProblem:
    return {
        "node_id": problem.node_id,
        "step": step_names.get(problem.node_id) if problem.node_id else None,
        "code": problem.code,
        "message": problem.message,
    }
