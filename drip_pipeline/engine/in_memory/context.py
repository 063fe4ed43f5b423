"""The context of a batch on a store in memory: what `batch_context.load` reads, looked up when a
node asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from drip_pipeline.db.execution.batch_context import ContactZone
from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.domain.conditions.occurrences import RunPosition
from drip_pipeline.engine.execution.batch_context import BatchContext
from drip_pipeline.engine.execution.matched_events import MatchedEvents, Occurrences
from drip_pipeline.engine.in_memory.event_lookup import latest_events, occurrences, position
from drip_pipeline.engine.in_memory.store import MemoryStore


def context_of(store: MemoryStore, states: Sequence[DueState], now: datetime) -> BatchContext:
    """Return what conditions, waits and splits read of these states."""
    graph, version = store.graph, store.version
    variables = None
    if store.reads_variables:
        by_event = graph.is_entered_by_event
        variables = {
            run.id: run.variables(is_entered_by_event=by_event)
            for run in store.runs_of(states)
            if run.has_variables()
        }
    key = (version.campaign_id, version.version)
    return BatchContext(
        now,
        attributes=_Attributes(store),
        events=_LatestEvents(store),
        since=_Since(store),
        variants=store.variants,
        variables=variables,
        stores_event={key} if graph.reads_event() else (),
        zones=_ContactZones(store),
        rules={version.campaign_id: store.rules},
        matched=_MatchedEvents(store),
    )


class _Lookup(dict[UUID, Any]):
    """A mapping that computes its values. It keeps those that the batch changes."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__()
        self._store = store

    def __bool__(self) -> bool:
        return True

    def get(self, key: UUID, default: Any = None) -> Any:
        """Return the value of a contact or run."""
        return self[key]


class _Attributes(_Lookup):
    def __missing__(self, contact_id: UUID) -> dict[str, Any]:
        # Kept for the batch, because its actions change them.
        attributes = self[contact_id] = self._store.attributes_of(contact_id)
        return attributes


class _LatestEvents(_Lookup):
    def __missing__(self, run_id: UUID) -> Any:
        return latest_events(self._store.runs[run_id])


class _Since(_Lookup):
    def __missing__(self, run_id: UUID) -> datetime:
        return self._store.runs[run_id].since


class _ContactZones(_Lookup):
    def __missing__(self, contact_id: UUID) -> ContactZone:
        zone = self._store.contacts[contact_id].custom_fields.get(_ZONE_FIELD)
        return ContactZone(None if zone is None else str(zone), self._store.time_zone)


class _MatchedEvents(MatchedEvents):
    def __init__(self, store: MemoryStore) -> None:
        super().__init__()
        self._store = store

    def events_of(self, state: DueState) -> Occurrences:
        """Return the events of the state's run and contact, by type."""
        return occurrences(self._store.runs[state.id])

    def position_of(self, state: DueState) -> RunPosition | None:
        """Return the position of the state's run."""
        return position(self._store.runs[state.id])


_ZONE_FIELD: Final = "timezone"
