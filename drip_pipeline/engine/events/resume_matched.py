"""Resume waits that judge events one by one, by the events of a transaction.

A wait without a count is judged by the new events alone: earlier ones did not end it. A wait with a
count reads the earlier ones, too.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.events import matched_waits as matched_waits_db
from drip_pipeline.db.events.matched_waits import ArrivedForWait
from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.domain.conditions.occurrences import (
    Occurrence,
    RunPosition,
    is_about_a_message,
)
from drip_pipeline.domain.events.vocabulary import EVENT_CLOCK_TOLERANCE
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import EventWait
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.execution.matched_events import MatchedEvents, load_positions
from drip_pipeline.engine.execution.matched_waits import resume_judged, resume_matched_waits


def resume_by_arrivals(connection: Connection, now: datetime) -> int:
    """Resume the locked waiting states whose wait one of the transaction's events ends; return
    their number. The number of statements does not depend on theirs."""
    arrivals = matched_waits_db.arrivals(connection)
    versions = version_cache.versions(
        connection, {(row.campaign_id, row.campaign_version) for row in arrivals}
    )
    graphs = {key: version.graph for key, version in versions.items()}
    configs: dict[tuple[UUID, int, str], EventWait | None] = {}
    counting: set[tuple[UUID, int, str]] = set()
    of_message: set[tuple[UUID, int, str]] = set()
    by_event: dict[UUID, DueState] = {}
    by_count: dict[UUID, DueState] = {}
    of_messages: list[DueState] = []
    events: dict[UUID, dict[str, list[Occurrence]]] = {}
    positions: dict[UUID, RunPosition] = {}
    for row in arrivals:
        key = (row.campaign_id, row.campaign_version, row.current_node_id)
        if key not in configs:
            configs[key] = wait = _wait_at(graphs[key[:2]], row.current_node_id)
            counting |= {key} if wait is not None and _counts(wait) else set()
            of_message |= {key} if wait is not None and _is_of_messages(wait) else set()
        config = configs[key]
        if config is None:
            continue
        if row.id in by_event:
            events[row.id].setdefault(row.event_type, []).append(_occurrence(row))
        elif row.id not in by_count:
            state = _state(row)
            if key in counting:
                by_count[row.id] = state
                continue
            by_event[row.id] = state
            events[row.id] = {row.event_type: [_occurrence(row)]}
            positions[row.id] = RunPosition(row.started_at, row.since - EVENT_CLOCK_TOLERANCE)
            if key in of_message:
                of_messages.append(state)
    if of_messages:
        types = {name for config in configs.values() if config for name in config.event_types}
        positions |= load_positions(connection, of_messages, types)
    resumed = 0
    if by_event:
        matched = MatchedEvents(events, positions)
        waiting = [
            (state, graphs[(state.campaign_id, state.campaign_version)], config)
            for state in by_event.values()
            if (config := configs[_key(state)]) is not None
        ]
        resumed += resume_judged(connection, waiting, matched, now)
    if by_count:
        resumed += resume_matched_waits(connection, list(by_count.values()), now, graphs)
    return resumed


def _wait_at(graph: CampaignGraph, node_id: str) -> EventWait | None:
    node = graph.nodes.get(node_id)
    return node.config if node is not None and isinstance(node.config, EventWait) else None


def _key(state: DueState) -> tuple[UUID, int, str]:
    return state.campaign_id, state.campaign_version, state.current_node_id


def _counts(config: EventWait) -> bool:
    return any(test.counts is not None for _, test in config.tests())


def _is_of_messages(config: EventWait) -> bool:
    return any(is_about_a_message(name) for name in config.event_types)


def _state(row: ArrivedForWait) -> DueState:
    return DueState(
        row.id,
        row.campaign_id,
        row.campaign_version,
        row.contact_id,
        row.current_node_id,
        None,
        0,
        0,
        0,
        "active",
    )


def _occurrence(row: ArrivedForWait) -> Occurrence:
    return Occurrence(
        row.event_type,
        row.occurred_at,
        row.event_data,
        row.is_machine,
        row.event_id,
        row.message_id,
        row.node_id,
        row.belongs_to == "run",
        row.belongs_to == "other run",
    )
