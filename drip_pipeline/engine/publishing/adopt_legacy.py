"""Adopt campaigns that an application made active, or that ran before this engine was installed.

They get nodes, edges and waits, become version 1, and their enrollments continue from their present
step. Runs at the end of `drip db migrate`; repeating it changes nothing. Steps keep their ids,
numbers and texts, because existing applications read them. A campaign that cannot run is left as it
is and reported with the reasons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.publishing import legacy as legacy_db
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.db.publishing.publish import StoredCampaign, StoredStep
from drip_pipeline.domain.compiler.analysis import analyze
from drip_pipeline.domain.compiler.api import CampaignDefinition
from drip_pipeline.domain.compiler.compile import compile_graph
from drip_pipeline.domain.compiler.validate import validate
from drip_pipeline.domain.definition.legacy import legacy_definition
from drip_pipeline.domain.definition.problems import Problem, errors_in
from drip_pipeline.domain.graph.graph import PORT_DEFAULT, Edge, NodeType
from drip_pipeline.domain.graph.nodes import DurationWait
from drip_pipeline.engine.publishing.channel_validation import unprepared_emails
from drip_pipeline.engine.publishing.publish import publish_valid, write_definition
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.errors import DefinitionInvalid, DripError, NotAllowed

TOLERATED: Final = frozenset({"variable_unknown"})
"""An unknown variable renders empty, as it did before; it must not stop a running campaign."""


@dataclass(frozen=True, slots=True)
class AdoptedCampaign:
    """A campaign that was adopted. `version` is None for a draft, which only gets its nodes.

    `states`: enrollments that have a state in the version now.
    """

    campaign_id: UUID
    name: str
    version: int | None
    states: int = 0


@dataclass(slots=True)
class AdoptionReport:
    """Adopted campaigns, and the refused ones by name with the reasons."""

    adopted: list[AdoptedCampaign] = field(default_factory=list)
    refused: dict[str, list[str]] = field(default_factory=dict)


def adopt_legacy(database: Database, options: PublishOptions) -> AdoptionReport:
    """Adopt every campaign with steps that has no version, each in its own transaction."""
    report = AdoptionReport()
    with database.transaction() as connection:
        campaigns = legacy_db.unadopted_campaigns(connection)
    for campaign in campaigns:
        try:
            with database.transaction() as connection:
                adopted, problems = _adopt(connection, campaign.id, options)
        except DripError as error:
            report.refused[campaign.name] = [str(error)]
            continue
        if adopted is not None:
            report.adopted.append(adopted)
        elif problems:
            report.refused[campaign.name] = [
                f"{p.node_id}: {p.message}" if p.node_id else p.message for p in problems
            ]
    return report


@dataclass(frozen=True, slots=True)
class UnpublishedCampaign:
    """A campaign that is active or paused but has no version, so that nothing happens in it.

    `problems`: what prevents publishing it; empty if `adopt` would succeed.
    """

    campaign_id: UUID
    name: str
    problems: Sequence[Problem]


def unpublished_campaigns(
    database: Database, options: PublishOptions, *, campaign_id: UUID | None = None
) -> list[UnpublishedCampaign]:
    """Return the active and paused campaigns without a version (all, or one) with their problems.

    Writes nothing.
    """
    with database.transaction() as connection:
        campaigns = legacy_db.unadopted_campaigns(connection)
    unpublished = []
    for campaign in campaigns:
        if campaign.status == "draft" or campaign_id not in (None, campaign.id):
            continue
        try:
            with database.transaction() as connection:
                locked = legacy_db.lock_unadopted(connection, campaign.id)
                if locked is None:
                    continue
                _, _, problems = _examine(connection, locked, options)
                connection.rollback()
        except DripError as error:
            problems = [Problem(None, "unreadable", str(error))]
        unpublished.append(UnpublishedCampaign(campaign.id, campaign.name, problems))
    return unpublished


def adopt(database: Database, campaign_id: UUID, options: PublishOptions) -> AdoptedCampaign:
    """Publish one campaign that an application made active.

    Raises DefinitionInvalid with its problems, NotAllowed if it is published already.
    """
    with database.transaction() as connection:
        adopted, problems = _adopt(connection, campaign_id, options)
    if problems:
        raise DefinitionInvalid(
            problems,
            hint="Correct it in the application that made it; nothing was published.",
        )
    if adopted is None:
        raise NotAllowed("the campaign is published already")
    return adopted


def _adopt(
    connection: Connection, campaign_id: UUID, options: PublishOptions
) -> tuple[AdoptedCampaign | None, list[Problem]]:
    campaign = legacy_db.lock_unadopted(connection, campaign_id)
    if campaign is None:
        return None, []
    definition, steps, problems = _examine(connection, campaign, options)
    if problems:
        connection.rollback()
        return None, problems
    kept_steps = {step.node_id: step for step in steps if step.node_id is not None}
    if campaign.status not in ("active", "paused"):
        write_definition(connection, campaign_id, definition, options, kept_steps=kept_steps)
        return AdoptedCampaign(campaign_id, campaign.name, None), []
    return _publish(connection, campaign, definition, kept_steps, options), []


def _examine(
    connection: Connection, campaign: StoredCampaign, options: PublishOptions
) -> tuple[CampaignDefinition, list[StoredStep], list[Problem]]:
    """Give the steps nodes; return the definition, the steps and the problems."""
    legacy_db.assign_node_ids(connection, campaign.id)
    steps = publish_db.steps(connection, campaign.id)
    definition = legacy_definition(campaign._asdict(), [step._asdict() for step in steps])
    problems = [
        problem
        for problem in errors_in(
            validate(
                definition,
                known_custom_fields=publish_db.custom_field_names(
                    connection, campaign.workspace_id
                ),
                available_channels=options.channels,
            )
        )
        if problem.code not in TOLERATED
    ]
    if not problems:
        problems = unprepared_emails(compile_graph(definition, {}))
    return definition, steps, problems


def _publish(
    connection: Connection,
    campaign: StoredCampaign,
    definition: CampaignDefinition,
    kept_steps: Mapping[str, StoredStep],
    options: PublishOptions,
) -> AdoptedCampaign:
    campaign_id = campaign.id
    report = publish_valid(
        connection,
        definition,
        replace(options, campaign_id=campaign_id, description="adopted from an existing campaign"),
        workspace_id=campaign.workspace_id,
        admits_enrollments=False,
        kept_steps=kept_steps,
    )
    states = legacy_db.pin_states(connection, campaign_id, report.version)
    points = resume_points(definition)
    if points:
        states += legacy_db.create_states_in_progress(
            connection,
            campaign_id,
            version=report.version,
            node_ids=[point.node_id for point in points],
            resume_ports=[point.resume_port for point in points],
            delay_seconds=[point.delay_seconds for point in points],
            now=options.now,
        )
    states += publish_db.admit_waiting_enrollments(connection, campaign_id)
    return AdoptedCampaign(campaign_id, campaign.name, report.version, states)


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """The node at which an enrollment continues, and the delay after its last message."""

    node_id: str
    resume_port: str | None
    delay_seconds: int


def resume_points(definition: CampaignDefinition) -> list[ResumePoint]:
    """Return the resume points after 0, 1, 2 … messages of a linear campaign; else an empty list.

    A resume point is the wait before the next message (left through its port), or the message
    itself without a wait. After the last message it is the exit.
    """
    analysis = analyze(definition)
    (node_id,) = analysis.of_type(NodeType.TRIGGER)
    points: list[ResumePoint] = []
    visited: set[str] = set()
    wait: ResumePoint | None = None
    while node_id not in visited:
        visited.add(node_id)
        node_type = analysis.steps[node_id].node_type
        config = analysis.configs[node_id]
        if isinstance(config, DurationWait):
            wait = ResumePoint(node_id, PORT_DEFAULT, config.seconds)
        elif node_type == NodeType.EMAIL:
            points.append(wait or ResumePoint(node_id, None, 0))
            wait = None
        elif node_type == NodeType.EXIT:
            return [*points, ResumePoint(node_id, None, 0)]
        elif node_type != NodeType.TRIGGER:
            return []
        target = _only_target(analysis.ports[node_id])
        if target is None:
            return []
        node_id = target
    return []


def _only_target(ports: Mapping[str, Edge]) -> str | None:
    return ports[PORT_DEFAULT].target if set(ports) == {PORT_DEFAULT} else None
