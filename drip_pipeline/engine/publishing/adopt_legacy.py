"""Campaigns that were running before this engine came: they get nodes, edges and waits, become
version 1, and their people go on from where they are. Runs at the end of `drip db migrate`;
repeating it finds nothing to do.

Steps keep their ids, numbers and texts: existing applications read them. A campaign that cannot be
run is left as it is, and the report says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.publishing import legacy as legacy_db
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.domain.compiler.analysis import analyze
from drip_pipeline.domain.compiler.api import CampaignDefinition
from drip_pipeline.domain.compiler.compile import compile_graph
from drip_pipeline.domain.compiler.validate import validate
from drip_pipeline.domain.definition.legacy import legacy_definition
from drip_pipeline.domain.definition.problems import Problem, errors_in
from drip_pipeline.domain.graph.graph import PORT_DEFAULT, NodeType
from drip_pipeline.domain.graph.nodes import DurationWait
from drip_pipeline.engine.publishing.channel_validation import unprepared_mails
from drip_pipeline.engine.publishing.publish import publish_valid, write_definition
from drip_pipeline.errors import DripError

TOLERATED: Final = frozenset({"variable_unknown"})
"""A variable that nobody knows renders empty, as it did before; it must not stop a running
campaign."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """One campaign that was taken over. `version` is None for drafts, which are only drawn."""

    campaign_id: UUID
    name: str
    version: int | None
    people: int = 0


@dataclass(slots=True)
class AdoptionReport:
    """What was taken over, and what could not be and why (campaign → reasons)."""

    adopted: list[Adopted] = field(default_factory=list)
    refused: dict[str, list[str]] = field(default_factory=dict)


def adopt_legacy(database: Database, *, now: datetime, channels: frozenset[str]) -> AdoptionReport:
    """Take over every campaign that has steps and was never published by this engine; a transaction
    each."""
    report = AdoptionReport()
    with database.transaction() as connection:
        waiting = legacy_db.unadopted_campaigns(connection)
    for campaign_id, name in waiting:
        try:
            with database.transaction() as connection:
                adopted, problems = _adopt(connection, campaign_id, now, channels)
        except DripError as error:
            report.refused[name] = [str(error)]
            continue
        if adopted is not None:
            report.adopted.append(adopted)
        elif problems:
            report.refused[name] = [
                f"{p.node_id}: {p.message}" if p.node_id else p.message for p in problems
            ]
    return report


def _adopt(
    connection: Connection, campaign_id: UUID, now: datetime, channels: frozenset[str]
) -> tuple[Adopted | None, list[Problem]]:
    campaign = legacy_db.lock_unadopted(connection, campaign_id)
    if campaign is None:
        return None, []
    legacy_db.name_nodes(connection, campaign_id)
    steps = publish_db.steps(connection, campaign_id)
    definition = legacy_definition(campaign, steps)
    problems = [
        problem
        for problem in errors_in(
            validate(
                definition,
                known_custom_fields=publish_db.custom_field_names(
                    connection, campaign["workspace_id"]
                ),
                available_channels=channels,
            )
        )
        if problem.code not in TOLERATED
    ]
    if not problems:
        problems = unprepared_mails(compile_graph(definition, {}))
    if problems:
        connection.rollback()
        return None, problems
    kept = {step["node_id"]: step for step in steps}
    if campaign["status"] not in ("active", "paused"):
        write_definition(connection, campaign_id, definition, now=now, kept_steps=kept)
        return Adopted(campaign_id, campaign["name"], None), []
    report = publish_valid(
        connection,
        definition,
        workspace_id=campaign["workspace_id"],
        campaign_id=campaign_id,
        now=now,
        description="taken over as it was running",
        enter=False,
        kept_steps=kept,
    )
    people = legacy_db.pin_states(connection, campaign_id, report.version)
    people += _place_people(connection, campaign_id, definition, report.version, now)
    people += publish_db.adopt_enrollments(connection, campaign_id)
    return Adopted(campaign_id, campaign["name"], report.version, people), []


def _place_people(
    connection: Connection,
    campaign_id: UUID,
    definition: CampaignDefinition,
    version: int,
    now: datetime,
) -> int:
    """Put everybody who is in the middle of a plain sequence before the message that is next for
    them."""
    places = places_in_sequence(definition)
    if not places:
        return 0
    return legacy_db.place_enrollments(
        connection,
        campaign_id,
        version=version,
        node_ids=[place.node_id for place in places],
        resume_ports=[place.resume_port for place in places],
        delay_seconds=[place.delay_seconds for place in places],
        now=now,
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody stands who was sent a number of messages, and how long after the last one the
    next is due."""

    node_id: str
    resume_port: str | None
    delay_seconds: int


def places_in_sequence(definition: CampaignDefinition) -> list[Place]:
    """The place after 0, 1, 2 … messages of a campaign without branches; empty for one that
    branches.

    In the wait before the next message, on the way out of it; at the message itself where there is
    no wait; after the last one, where the sequence ends.
    """
    analysis = analyze(definition)
    (node_id,) = analysis.of_type(NodeType.TRIGGER)
    places: list[Place] = []
    seen: set[str] = set()
    before: Place | None = None
    while node_id not in seen:
        seen.add(node_id)
        kind = analysis.steps[node_id].node_type
        config = analysis.configs[node_id]
        if isinstance(config, DurationWait):
            before = Place(node_id, PORT_DEFAULT, config.seconds)
        elif kind == NodeType.EMAIL:
            places.append(before or Place(node_id, None, 0))
            before = None
        elif kind == NodeType.EXIT:
            return [*places, Place(node_id, None, 0)]
        elif kind != NodeType.TRIGGER:
            return []
        edge = _only_way(analysis.ports[node_id])
        if edge is None:
            return []
        node_id = edge
    return []


def _only_way(ports: Mapping[str, Any]) -> str | None:
    return ports[PORT_DEFAULT].target if set(ports) == {PORT_DEFAULT} else None
