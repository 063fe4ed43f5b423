"""What an event trigger takes from events: which of them match its `where`, and their properties,
which are the entry data of the runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.enrollment import entry_triggers as triggers_db
from drip_pipeline.db.enrollment.entry_triggers import TriggeringEvent
from drip_pipeline.db.execution import batch_context as contacts_db
from drip_pipeline.db.unreadable import Unreadable
from drip_pipeline.domain.conditions.conditions import reads_zone
from drip_pipeline.domain.conditions.matcher_keys import compile_where
from drip_pipeline.domain.conditions.time_zones import zone_name
from drip_pipeline.domain.graph.nodes import TriggerConfig
from drip_pipeline.domain.run_variables import JsonObject
from drip_pipeline.engine.enrollment.audience import store_unchecked


def queued_data(
    connection: Connection, trigger: TriggerConfig, event_ids: Iterable[UUID], now: datetime
) -> Mapping[UUID, JsonObject | None]:
    """Return the entry data of each of these events that matches the trigger.

    An event that was deleted meanwhile matches a trigger without `where`, and has no data.
    """
    ids = list(dict.fromkeys(event_ids))
    matching = _matching(connection, trigger, triggers_db.events_by_id(connection, ids), now)
    data: dict[UUID, JsonObject | None] = {} if trigger.where else dict.fromkeys(ids)
    return data | {event.id: properties for event, properties in matching}


def earlier_data(
    connection: Connection,
    campaign_id: UUID,
    trigger: TriggerConfig,
    contact_ids: Sequence[UUID],
    now: datetime,
) -> dict[UUID, list[JsonObject]]:
    """Return the entry data of the events that matched before the trigger existed, by contact, the
    latest first."""
    assert trigger.event_type is not None
    events = triggers_db.events_of_contacts(
        connection, campaign_id, contact_ids, trigger.event_type
    )
    data: dict[UUID, list[JsonObject]] = {}
    for event, properties in sorted(
        _matching(connection, trigger, events, now),
        key=lambda pair: (_time(pair[0], now), pair[0].id),
        reverse=True,
    ):
        data.setdefault(event.contact_id, []).append(properties)
    return data


def _time(event: TriggeringEvent, now: datetime) -> datetime:
    return now if isinstance(event.occurred_at, Unreadable) else event.occurred_at


def _matching(
    connection: Connection, trigger: TriggerConfig, events: Sequence[TriggeringEvent], now: datetime
) -> list[tuple[TriggeringEvent, JsonObject]]:
    where = None if trigger.where is None else compile_where(trigger.where)
    zones: Mapping[UUID, str | None] = {}
    if reads_zone(trigger.where):
        zones = {
            contact_id: zone_name(zone.of_contact, zone.of_workspace)
            for contact_id, zone in contacts_db.contact_zones(
                connection, list({event.contact_id for event in events})
            ).items()
        }
    matching: list[tuple[TriggeringEvent, JsonObject]] = []
    unreadable: dict[UUID, str] = {}
    for event in events:
        properties = event.event_data
        if isinstance(properties, Unreadable):
            unreadable[event.contact_id] = (
                f"contact {event.contact_id}: the properties of event {event.id} cannot be read:"
                f" {properties.reason}"
            )
        elif where is None or where(properties, now, zones.get(event.contact_id)):
            matching.append((event, properties))
    if unreadable:
        store_unchecked(connection, unreadable, now)
    return matching
