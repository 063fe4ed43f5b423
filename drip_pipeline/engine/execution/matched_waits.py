"""Resume waits that judge events one by one, after new events or a new version.

The wait node itself looks back in the same way (operators/wait.py), so the order of arrival changes
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution import batch_context as batch_context_db
from drip_pipeline.db.execution import matched_events as matched_events_db
from drip_pipeline.db.execution import run_variables as run_variables_db
from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.domain.conditions.conditions import Needs
from drip_pipeline.domain.conditions.time_zones import zone_name
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import EventWait
from drip_pipeline.domain.run_variables import ENTRY, EVENT, PERSONALIZATION_DATA
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.execution.matched_events import (
    MatchedEvents,
    first_matching,
    load_matched,
)

Waiting: TypeAlias = tuple[DueState, CampaignGraph, EventWait]
"""A waiting state, its graph, and the configuration of its wait."""


def resume_matched_waits(
    connection: Connection,
    states: Sequence[DueState],
    now: datetime,
    graphs: Mapping[tuple[UUID, int], CampaignGraph] | None = None,
) -> int:
    """Resume those of these waiting states for which an event of their wait has happened; return
    their number. The caller has locked them. The number of statements does not depend on theirs.

    `graphs` by campaign and version, if they are not published yet.
    """
    waiting: list[Waiting] = []
    if graphs is None:
        keys = {(state.campaign_id, state.campaign_version) for state in states}
        published = version_cache.versions(connection, keys)
        graphs = {key: version.graph for key, version in published.items()}
    for state in states:
        graph = graphs[(state.campaign_id, state.campaign_version)]
        node = graph.nodes.get(state.current_node_id)
        config = None if node is None else node.config
        if isinstance(config, EventWait) and graph.judges_events(config):
            waiting.append((state, graph, config))
    if not waiting:
        return 0
    # An event that cannot be read satisfies nothing; the batch that leaves the wait reports it.
    needs = _needs(waiting)
    matched, _ = load_matched(connection, [(needs, [state for state, _, _ in waiting])])
    return resume_judged(connection, waiting, matched, now)


def _distinct(waiting: Sequence[Waiting]) -> list[EventWait]:
    return list({id(config): config for _, _, config in waiting}.values())


def _needs(waiting: Sequence[Waiting]) -> Needs:
    needs = Needs()
    for config in _distinct(waiting):
        for _, matcher in config.matchers():
            needs |= matcher.needs()
    return needs


def resume_judged(
    connection: Connection, waiting: Sequence[Waiting], matched: MatchedEvents, now: datetime
) -> int:
    """Resume those of these waiting states whose wait one of the events ends; return their
    number."""
    needs = _needs(waiting)
    entries = (
        _entry_data(connection, [state.id for state, _, _ in waiting])
        if ENTRY in needs.variables
        else {}
    )
    zones = (
        batch_context_db.contact_zones(connection, {state.contact_id for state, _, _ in waiting})
        if "timezone" in needs.fields
        else {}
    )
    # Once per node: a lookup in the cache hashes the configuration.
    tests_of = {id(config): config.tests() for config in _distinct(waiting)}
    ports: dict[UUID, str] = {}
    variables: dict[UUID, Mapping[str, object]] = {}
    for state, graph, config in waiting:
        position = matched.position_of(state)
        if position is None:
            continue
        if state.id in entries:
            position = position._replace(entry=entries[state.id])
        zone = zones.get(state.contact_id)
        timezone = None if zone is None else zone_name(zone.of_contact, zone.of_workspace)
        ended = first_matching(
            tests_of[id(config)], matched.events_of(state), position, now, timezone
        )
        if ended is not None:
            ports[state.id] = ended[0]
            if graph.reads_event():
                variables[state.id] = {EVENT: ended[1].properties}
    if not ports:
        return 0
    if variables:
        run_variables_db.write(connection, variables)
    return matched_events_db.resume(connection, list(ports), list(ports.values()), now)


def _entry_data(
    connection: Connection, state_ids: Sequence[UUID]
) -> dict[UUID, Mapping[str, object]]:
    return {
        row.id: row.personalization_data
        for row in run_variables_db.read(connection, state_ids, {PERSONALIZATION_DATA})
        if isinstance(row.personalization_data, Mapping)
    }
