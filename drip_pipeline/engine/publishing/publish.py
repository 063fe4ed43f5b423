"""Publishing: a definition becomes the version that newcomers enter, in one transaction under the
campaign's row lock.

Everything that is wrong is said at once, before anything is written: with the file, and with each
step and the channel that would carry it. The stored definition has the author's texts, the
immutable graph the mails as they are sent. Publishing what is published already changes nothing.
What becomes of people who are inside an earlier version, in_flight.py says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.publishing import external_drafts as edits_db
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.domain.compiler.api import CampaignDefinition, complete, load_definition
from drip_pipeline.domain.compiler.compile import compile_graph, definition_hash, graph_hash
from drip_pipeline.domain.compiler.validate import validate
from drip_pipeline.domain.definition.problems import Problem, errors_in
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.engine.ab_tests.lifecycle import update_tests
from drip_pipeline.engine.campaigns.workspaces import workspace_named
from drip_pipeline.engine.publishing import in_flight_policy as flight
from drip_pipeline.engine.publishing.channel_validation import channel_problems, prepared_graph
from drip_pipeline.engine.publishing.draft_detection import edit_beside
from drip_pipeline.engine.publishing.in_flight_policy import PIN, InFlight, InFlightReport
from drip_pipeline.engine.publishing.step_rows import canvas_with_step_ids, step_rows
from drip_pipeline.errors import (
    CampaignAmbiguous,
    DefinitionInvalid,
    UnpublishedEdit,
    VersionOutdated,
)
from drip_pipeline.settings import Settings

PublishStatus = Literal["published", "unchanged", "dry_run"]


@dataclass(frozen=True, slots=True)
class PublishReport:
    """What publishing did. `warnings` forbid nothing; `version` is the one newcomers enter (or
    would)."""

    campaign_id: UUID | None
    name: str
    version: int
    status: PublishStatus
    warnings: Sequence[Problem] = field(default_factory=tuple)
    entered: int = 0
    """People who had enrolled before there was anything to enter, and who are in now."""
    in_flight: InFlightReport | None = None
    """What became (or would become) of people inside earlier versions; None where nothing was
    published."""


def publish(
    database: Database,
    source: str | Mapping[str, Any],
    *,
    now: datetime,
    channels: frozenset[str],
    settings: Settings,
    workspace: str | None = None,
    campaign_id: UUID | None = None,
    dry_run: bool = False,
    description: str | None = None,
    change_type: str = "published",
    in_flight: InFlight = PIN,
    based_on: int | None = None,
    overwrites_edit: bool = False,
) -> PublishReport:
    """Validate, compile, snapshot and activate a campaign file (its text, or parsed).

    `channels` are those that messages can be sent over, `settings` say how; `campaign_id` publishes
    into that campaign, whatever its name; `in_flight` says what becomes of people inside earlier
    versions; `based_on` is the version that was edited. Raises DefinitionInvalid with every problem
    at once, VersionOutdated when another version than `based_on` is published by now,
    UnpublishedEdit when an edit of another application would be lost and `overwrites_edit` is not
    set, EnrollmentsStranded with every enrollment without a target node (a dry run reports them
    instead).
    """
    definition = complete(load_definition(source))
    with database.transaction() as connection:
        workspace_id = workspace_named(connection, workspace or definition.workspace)
        problems = problems_of(
            connection,
            definition,
            workspace_id=workspace_id,
            channels=channels,
            settings=settings,
        )
        if errors_in(problems):
            raise DefinitionInvalid(errors_in(problems), name=definition.name)
        report = publish_valid(
            connection,
            definition,
            workspace_id=workspace_id,
            campaign_id=campaign_id,
            warnings=problems,
            now=now,
            description=description,
            change_type=change_type,
            in_flight=in_flight,
            is_preview=dry_run,
            based_on=based_on,
            overwrites_edit=overwrites_edit,
        )
        if dry_run:
            connection.rollback()
            status: PublishStatus = "unchanged" if report.status == "unchanged" else "dry_run"
            return PublishReport(
                report.campaign_id if status == "unchanged" else None,
                report.name,
                report.version,
                status,
                report.warnings,
                in_flight=report.in_flight,
            )
    return report


def problems_of(
    connection: Connection,
    definition: CampaignDefinition,
    *,
    workspace_id: UUID,
    channels: frozenset[str],
    settings: Settings,
) -> list[Problem]:
    """Everything that is wrong with a definition in this workspace, warnings included."""
    return [
        *validate(
            definition,
            known_custom_fields=publish_db.custom_field_names(connection, workspace_id),
            available_channels=channels,
        ),
        *_channel_problems(connection, definition, settings, workspace_id),
    ]


def _channel_problems(
    connection: Connection, definition: CampaignDefinition, settings: Settings, workspace_id: UUID
) -> list[Problem]:
    """What stands between the steps and their channels; nothing for a definition that has no graph,
    which the validation says in full."""
    try:
        graph = compile_graph(definition, {})
    except DefinitionInvalid:
        return []
    return channel_problems(connection, graph, settings=settings, workspace_id=workspace_id)


def publish_valid(
    connection: Connection,
    definition: CampaignDefinition,
    *,
    workspace_id: UUID,
    campaign_id: UUID | None,
    warnings: Sequence[Problem] = (),
    now: datetime,
    description: str | None = None,
    change_type: str = "published",
    enter: bool = True,
    kept_steps: Mapping[str, Mapping[str, Any]] | None = None,
    in_flight: InFlight = PIN,
    is_preview: bool = False,
    based_on: int | None = None,
    overwrites_edit: bool = False,
) -> PublishReport:
    """Write a definition that was found valid. `enter` lets people in who enrolled before;
    `kept_steps` (by node id) keep their numbers and delays as applications know them. With
    `is_preview` the caller rolls back, and people inside earlier versions are only counted.
    """
    if not is_preview:
        flight.hold_arrivals(connection, in_flight, compile_graph(definition, {}))
    campaign = _campaign(connection, workspace_id, definition, campaign_id, now)
    wanted = definition_hash(definition)
    edit = edit_beside(connection, campaign, wanted)
    if edit is not None and overwrites_edit:
        publish_db.snapshot(
            connection, campaign, description="edited, overwritten", change_type="draft", now=now
        )
    current = publish_db.published_hash(connection, campaign)
    if current is not None and current[0] == wanted:
        if edit is not None and overwrites_edit:
            write_definition(connection, campaign, definition, now=now, kept_steps=kept_steps)
            edits_db.keep_layout(connection, campaign, definition.to_dict(), wanted)
            edits_db.forget(connection, campaign)
        publish_db.activate(connection, campaign, now)
        return PublishReport(campaign, definition.name, current[1], "unchanged", tuple(warnings))
    # Under the campaign's row lock: of two who edited the same version the second is told.
    if based_on is not None and based_on != (current[1] if current is not None else 0):
        raise VersionOutdated(
            definition.name, based_on, current[1] if current is not None else None
        )
    if edit is not None and not overwrites_edit:
        raise UnpublishedEdit(definition.name, edit.base_version, edit.changes)
    names = write_definition(connection, campaign, definition, now=now, kept_steps=kept_steps)
    edits_db.forget(connection, campaign)
    version, graph = _new_version(
        connection, campaign, definition, names, wanted, now, description, change_type
    )
    act = flight.preview if is_preview else flight.apply
    moved = act(connection, campaign, in_flight, graph, to_version=version, now=now)
    entered = publish_db.adopt_enrollments(connection, campaign) if enter else 0
    return PublishReport(
        campaign, definition.name, version, "published", tuple(warnings), entered, moved
    )


def _campaign(
    connection: Connection,
    workspace_id: UUID,
    definition: CampaignDefinition,
    campaign_id: UUID | None,
    now: datetime,
) -> UUID:
    found = publish_db.lock_campaigns(
        connection, workspace_id, name=definition.name, campaign_id=campaign_id
    )
    if len(found) > 1:
        raise CampaignAmbiguous(definition.name, len(found))
    if found:
        existing: UUID = found[0]["id"]
        return existing
    return publish_db.insert_campaign(
        connection,
        workspace_id,
        name=definition.name,
        sequence_type=definition.sequence_type,
        now=now,
    )


def write_definition(
    connection: Connection,
    campaign_id: UUID,
    definition: CampaignDefinition,
    *,
    now: datetime,
    kept_steps: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, str]:
    """Write campaign, steps and canvas as they stand in the definition; the steps' ids by node
    id."""
    rows, split_of_node = step_rows(definition, kept_steps)
    step_ids = publish_db.write_steps(
        connection, campaign_id, rows, split_of_node=split_of_node, now=now
    )
    names = {node_id: str(step_id) for node_id, step_id in step_ids.items()}
    publish_db.update_campaign(
        connection,
        campaign_id,
        name=definition.name,
        description=definition.description,
        campaign_type=definition.campaign_type,
        sequence_type=definition.sequence_type,
        goal=definition.goal,
        goal_metric=definition.goal_metric,
        goal_target=definition.goal_target,
        tags=list(definition.tags),
        ab_test_config=definition.ab_test_config,
        canvas_data=canvas_with_step_ids(definition, names),
        settings=_settings(definition),
        total_steps=len(rows),
        now=now,
    )
    return names


def _new_version(
    connection: Connection,
    campaign_id: UUID,
    definition: CampaignDefinition,
    step_ids: Mapping[str, str],
    wanted_hash: str,
    now: datetime,
    description: str | None,
    change_type: str,
) -> tuple[int, CampaignGraph]:
    graph = prepared_graph(compile_graph(definition, step_ids))
    version_id = publish_db.snapshot(
        connection, campaign_id, description=description, change_type=change_type, now=now
    )
    version = publish_db.complete_version(
        connection,
        version_id,
        graph=graph.to_dict(),
        definition=definition.to_dict(),
        definition_hash=wanted_hash,
        graph_hash=graph_hash(definition),
        waits_for=sorted(graph.waits_for()),
        goal_event=graph.goal_event,
        status="active",
    )
    update_tests(connection, campaign_id, definition, graph, version=version, now=now)
    return version, graph


def _settings(definition: CampaignDefinition) -> dict[str, Any]:
    """What the file says that has no column of its own."""
    told = definition.to_dict()
    kept = ("re_entry", "timezone", "resume_spread_minutes", "goal_event", "workspace")
    return {key: told[key] for key in kept if key in told}
