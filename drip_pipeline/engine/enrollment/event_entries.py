"""What an event trigger takes from events: which of them match it, and their properties, which are
the entry data of the runs.
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
from drip_pipeline.domain.conditions.time_zones import zone_name
from drip_pipeline.domain.graph.nodes import TriggerConfig
from drip_pipeline.domain.run_variables import JsonObject
from drip_pipeline.engine.enrollment import contact_occurrences
from drip_pipeline.engine.enrollment.audience import store_unchecked
from drip_pipeline.engine.enrollment.contact_occurrences import occurrence


def is_plain(trigger: TriggerConfig) -> bool:
    """Return whether an event of the trigger's type matches whatever else is true of it."""
    return trigger.matcher is not None and trigger.matcher.is_plain


def queued_data(
    connection: Connection,
    campaign_id: UUID,
    trigger: TriggerConfig,
    event_ids: Iterable[UUID],
    now: datetime,
) -> Mapping[UUID, JsonObject | None]:
    """Return the entry data of each of these events that matches the trigger.

    An event that was deleted meanwhile matches a trigger that asks for its type only, and has no
    data.
    """
    ids = list(dict.fromkeys(event_ids))
    events = triggers_db.events_by_id(connection, ids)
    matching = _matching(connection, campaign_id, trigger, events, now)
    data: dict[UUID, JsonObject | None] = dict.fromkeys(ids) if is_plain(trigger) else {}
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
        connection,
        campaign_id,
        contact_ids,
        trigger.event_type,
        accepts_machines=trigger.machines is True,
    )
    data: dict[UUID, list[JsonObject]] = {}
    for event, properties in sorted(
        _matching(connection, campaign_id, trigger, events, now),
        key=lambda pair: (_time(pair[0], now), pair[0].id),
        reverse=True,
    ):
        data.setdefault(event.contact_id, []).append(properties)
    return data


def _time(event: TriggeringEvent, now: datetime) -> datetime:
    return now if isinstance(event.occurred_at, Unreadable) else event.occurred_at


def _matching(
    connection: Connection,
    campaign_id: UUID,
    trigger: TriggerConfig,
    events: Sequence[TriggeringEvent],
    now: datetime,
) -> list[tuple[TriggeringEvent, JsonObject]]:
    """Return the events that the trigger accepts, with their properties. If it asks for a number of
    events, only those of contacts that have so many now."""
    matcher = trigger.matcher
    assert matcher is not None
    test = None if matcher.is_plain else matcher.test()
    zones = _zones(connection, trigger, events)
    matching: list[tuple[TriggeringEvent, JsonObject]] = []
    unreadable: dict[UUID, str] = {}
    for event in events:
        properties = event.event_data
        if test is None and not isinstance(properties, Unreadable):
            matching.append((event, properties))
            continue
        read = occurrence(event.id, matcher.event_type, event.occurred_at, properties)
        if isinstance(read, str):
            unreadable[event.contact_id] = f"contact {event.contact_id}: {read}"
        elif test is None or test.accepts(read, None, now, zones.get(event.contact_id)):
            matching.append((event, read.properties))
    if test is not None and test.counts is not None and matching:
        of_contacts, unreadable_events = contact_occurrences.load(
            connection,
            list(dict.fromkeys(event.contact_id for event, _ in matching)),
            {matcher.event_type},
            earliest=None if test.within is None else now - test.within,
            except_campaign=campaign_id,
        )
        unreadable |= unreadable_events
        enough = {
            contact_id
            for contact_id, by_type in of_contacts.items()
            if contact_id not in unreadable_events
            and test.holds(by_type[matcher.event_type], None, now, zones.get(contact_id))
        }
        matching = [pair for pair in matching if pair[0].contact_id in enough]
    if unreadable:
        store_unchecked(connection, unreadable, now)
    return matching


def _zones(
    connection: Connection, trigger: TriggerConfig, events: Sequence[TriggeringEvent]
) -> Mapping[UUID, str | None]:
    """Return the time zones of the contacts, if the trigger compares days."""
    if not reads_zone(trigger.where):
        return {}
    zones = contacts_db.contact_zones(connection, list({event.contact_id for event in events}))
    return {
        contact_id: zone_name(zone.of_contact, zone.of_workspace)
        for contact_id, zone in zones.items()
    }
