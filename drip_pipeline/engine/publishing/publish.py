"""Publish a campaign file as a new version, in one transaction under the campaign's row lock.

All problems are reported at once and before anything is written. The stored definition has the
texts as written; the immutable graph has the emails prepared for sending. Publishing the published
definition again changes nothing. States inside earlier versions are handled by in_flight_policy.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.events import event_names as event_names_db
from drip_pipeline.db.publishing import attachments as attachments_db
from drip_pipeline.db.publishing import external_drafts as drafts_db
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.db.publishing.publish import NewVersion, PublishedHash, StoredStep
from drip_pipeline.domain.compiler.api import CampaignDefinition, complete, load_definition
from drip_pipeline.domain.compiler.compile import (
    compile_graph,
    definition_hash,
    ends_at_goal,
    graph_hash,
)
from drip_pipeline.domain.compiler.validate import validate
from drip_pipeline.domain.definition.problems import Problem, errors_in
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.engine import audit
from drip_pipeline.engine.ab_tests.lifecycle import update_tests
from drip_pipeline.engine.campaigns.topics import topic_problems
from drip_pipeline.engine.campaigns.workspaces import workspace_named
from drip_pipeline.engine.publishing import in_flight_policy
from drip_pipeline.engine.publishing.attachments import attachment_problems
from drip_pipeline.engine.publishing.channel_validation import channel_problems, prepared_graph
from drip_pipeline.engine.publishing.date_fields import date_field_problems
from drip_pipeline.engine.publishing.draft_detection import conflicting_draft
from drip_pipeline.engine.publishing.in_flight_policy import InFlightReport, VersionChange
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.engine.publishing.step_rows import canvas_with_step_ids, step_rows
from drip_pipeline.errors import (
    CampaignAmbiguous,
    DefinitionInvalid,
    UnpublishedEdit,
    VersionOutdated,
)

PublishStatus = Literal["published", "unchanged", "dry_run"]


@dataclass(frozen=True, slots=True)
class PublishReport:
    """The result of a publication; `version` is the published version, or would be."""

    campaign_id: UUID | None
    name: str
    version: int
    status: PublishStatus
    warnings: Sequence[Problem] = field(default_factory=tuple)
    entered: int = 0
    """Enrollments made before the first publication that have entered now."""
    in_flight: InFlightReport | None = None
    """What happened to states inside earlier versions; None if nothing was published."""


def publish(
    database: Database,
    source: str | Mapping[str, object] | CampaignDefinition,
    options: PublishOptions,
) -> PublishReport:
    """Validate, compile, snapshot and activate a campaign file: its text, or parsed, or read with
    the templates beside it (template_folder.py).

    Raises DefinitionInvalid with all problems; VersionOutdated when another version than
    `options.based_on` is published; UnpublishedEdit when an external draft would be overwritten
    without `options.overwrites_draft`; EnrollmentsStranded with all states that have no target node
    (a dry run reports them instead).
    """
    definition = (
        source if isinstance(source, CampaignDefinition) else complete(load_definition(source))
    )
    with database.transaction() as connection:
        workspace_id = workspace_named(connection, options.workspace or definition.workspace)
        problems = problems_of(connection, definition, options, workspace_id=workspace_id)
        if errors_in(problems):
            raise DefinitionInvalid(errors_in(problems), name=definition.name)
        report = publish_valid(
            connection, definition, options, workspace_id=workspace_id, warnings=problems
        )
        if options.dry_run:
            connection.rollback()
            if report.status == "published":
                return replace(report, campaign_id=None, status="dry_run", entered=0)
    return report


def problems_of(
    connection: Connection,
    definition: CampaignDefinition,
    options: PublishOptions,
    *,
    workspace_id: UUID,
) -> list[Problem]:
    """Return all problems of a definition in a workspace, including warnings."""
    problems = validate(
        definition,
        known_custom_fields=publish_db.custom_field_names(connection, workspace_id),
        available_channels=options.channels,
        own_event_names=event_names_db.of_workspace(connection, workspace_id),
    )
    try:
        graph = compile_graph(definition, {})
    except DefinitionInvalid:
        return list(problems)  # a definition without a graph: `validate` reports why
    return [
        *problems,
        *attachment_problems(connection, graph, definition.attachment_contents, workspace_id),
        *topic_problems(connection, definition.topic, workspace_id),
        *date_field_problems(connection, graph, workspace_id),
        *channel_problems(connection, graph, settings=options.settings, workspace_id=workspace_id),
    ]


def publish_valid(
    connection: Connection,
    definition: CampaignDefinition,
    options: PublishOptions,
    *,
    workspace_id: UUID,
    warnings: Sequence[Problem] = (),
    admits_enrollments: bool = True,
    kept_steps: Mapping[str, StoredStep] | None = None,
) -> PublishReport:
    """Write a validated definition and return the report.

    `admits_enrollments`: create states for enrollments made before the first publication.
    `kept_steps`: rows by node id that keep their step number and delay. For a dry run the caller
    rolls back; states inside earlier versions are then only counted. Raises as `publish` does.
    """
    now = options.now
    if not options.dry_run:
        in_flight_policy.lock_event_ingestion(
            connection, options.in_flight, compile_graph(definition, {})
        )
    campaign_id = _locked_campaign(connection, workspace_id, definition, options)
    new_hash = definition_hash(definition)
    if definition.attachment_contents:
        attachments_db.store(connection, workspace_id, definition.attachment_contents, now)
    draft = conflicting_draft(connection, campaign_id, new_hash)
    if draft is not None and options.overwrites_draft:
        publish_db.snapshot(
            connection,
            campaign_id,
            description="edited, overwritten",
            change_type="draft",
            now=now,
        )
    current = publish_db.published_hash(connection, campaign_id)
    is_same = (
        current is not None
        and current.definition_hash == new_hash
        # A version of an earlier release, in which the goal does not end runs, is replaced.
        and current.goal_ends_runs == ends_at_goal(definition)
    )
    if current is not None and is_same:
        if draft is not None and options.overwrites_draft:
            write_definition(connection, campaign_id, definition, options, kept_steps=kept_steps)
            drafts_db.save_layout(connection, campaign_id, definition.to_dict(), new_hash)
            drafts_db.delete_draft(connection, campaign_id)
        publish_db.activate(connection, campaign_id, now)
        return PublishReport(
            campaign_id, definition.name, current.version, "unchanged", tuple(warnings)
        )
    # Checked under the campaign's row lock: of two editors of one version the second is refused.
    _refuse_other_base(definition.name, options.based_on, current)
    if draft is not None and not options.overwrites_draft:
        raise UnpublishedEdit(definition.name, draft.base_version, draft.changes)
    step_ids = write_definition(connection, campaign_id, definition, options, kept_steps=kept_steps)
    drafts_db.delete_draft(connection, campaign_id)
    graph = prepared_graph(compile_graph(definition, step_ids))
    version = _new_version(connection, campaign_id, definition, graph, options)
    change = VersionChange(campaign_id, options.in_flight, version, graph, now)
    act = in_flight_policy.preview if options.dry_run else in_flight_policy.apply
    in_flight = act(connection, change)
    entered = (
        publish_db.admit_waiting_enrollments(connection, campaign_id) if admits_enrollments else 0
    )
    if not options.dry_run:
        audit.record(
            connection,
            options.actor,
            "rollback" if options.change_type == "rollback" else "publish",
            audit.Subject("campaign", workspace_id, campaign_id, definition.name),
            now=now,
            reason=options.reason or options.description,
            details={
                "version": version,
                "policy": options.in_flight.policy,
                "in_flight": in_flight.states,
                "entered": entered,
            },
        )
    return PublishReport(
        campaign_id, definition.name, version, "published", tuple(warnings), entered, in_flight
    )


def _refuse_other_base(name: str, based_on: int | None, current: PublishedHash | None) -> None:
    version = None if current is None else current.version
    if based_on is not None and based_on != (version or 0):
        raise VersionOutdated(name, based_on, version)


def _locked_campaign(
    connection: Connection,
    workspace_id: UUID,
    definition: CampaignDefinition,
    options: PublishOptions,
) -> UUID:
    """Lock the campaign of the definition, or insert it; return its id."""
    campaigns = publish_db.lock_campaigns(
        connection, workspace_id, name=definition.name, campaign_id=options.campaign_id
    )
    if len(campaigns) > 1:
        raise CampaignAmbiguous(definition.name, len(campaigns))
    if campaigns:
        return campaigns[0].id
    return publish_db.insert_campaign(
        connection,
        workspace_id,
        name=definition.name,
        sequence_type=definition.sequence_type,
        now=options.now,
    )


def write_definition(
    connection: Connection,
    campaign_id: UUID,
    definition: CampaignDefinition,
    options: PublishOptions,
    *,
    kept_steps: Mapping[str, StoredStep] | None = None,
) -> dict[str, str]:
    """Write campaign, steps and canvas of a definition; return the step ids by node id."""
    rows, split_of_node = step_rows(definition, kept_steps)
    step_ids = {
        node_id: str(step_id)
        for node_id, step_id in publish_db.write_steps(
            connection, campaign_id, rows, split_of_node=split_of_node, now=options.now
        ).items()
    }
    publish_db.update_campaign(
        connection,
        campaign_id,
        definition,
        canvas_data=canvas_with_step_ids(definition, step_ids),
        settings=_settings_without_column(definition),
        total_steps=len(rows),
        now=options.now,
    )
    return step_ids


def _new_version(
    connection: Connection,
    campaign_id: UUID,
    definition: CampaignDefinition,
    graph: CampaignGraph,
    options: PublishOptions,
) -> int:
    version_id = publish_db.snapshot(
        connection,
        campaign_id,
        description=options.description,
        change_type=options.change_type,
        now=options.now,
    )
    compiled = NewVersion(
        graph=graph.to_dict(),
        definition=definition.to_dict(),
        definition_hash=definition_hash(definition),
        graph_hash=graph_hash(definition),
        waits_for=sorted(graph.waits_for()),
        goal_event=graph.goal_event,
        goal_ends_runs=graph.exits_at_goal,
        reads_event=graph.reads_event(),
        topic=graph.topic,
        exit_events=sorted(graph.exit_events()),
        exits_follow_contacts=graph.exits_follow_contacts(),
    )
    version = publish_db.publish_version(connection, version_id, compiled)
    update_tests(connection, campaign_id, definition, graph, version=version, now=options.now)
    return version


def _settings_without_column(definition: CampaignDefinition) -> dict[str, object]:
    file = definition.to_dict()
    keys = (
        "re_entry", "timezone", "kind", "send_window", "topic", "resume_spread_minutes",
        "goal_event", "exit_on_goal", "exits", "workspace", "utm", "templates", "per_day",
        "max_people", "pause_when", "priority", "cap_exempt",
    )  # fmt: skip
    return {key: file[key] for key in keys if key in file}
