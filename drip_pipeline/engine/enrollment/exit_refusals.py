"""Exit rules on entry: a contact whose run a rule would end at once is not enrolled.

A run begins with the entry, so events count only where a rule looks back: with `within` or
`time_window`, or `of: any`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.enrollment import enrollments as enrollments_db
from drip_pipeline.db.execution import batch_context as contacts_db
from drip_pipeline.db.unreadable import Unreadable
from drip_pipeline.domain.conditions.conditions import NO_NEEDS, Condition, ContactAttributes, Needs
from drip_pipeline.domain.conditions.occurrences import RunPosition, is_about_a_message
from drip_pipeline.domain.conditions.time_zones import effective_zone
from drip_pipeline.domain.contact_fields import contact_context
from drip_pipeline.domain.graph.exits import ExitRule, first_to_hold, leaves
from drip_pipeline.domain.run_variables import RunVariables
from drip_pipeline.engine.enrollment import contact_occurrences
from drip_pipeline.engine.enrollment.audience import MATCHED_CONTACTS, NO_OCCURRENCES
from drip_pipeline.engine.enrollment.entry_keys import RunEntry

_NO_TIMES: Mapping[str, datetime] = {}


def reasons_to_refuse(
    connection: Connection, exits: Sequence[ExitRule], entries: Sequence[RunEntry], now: datetime
) -> list[str | None]:
    """Return for each entry the reason of the rule that would end its run, None if none would.

    A contact with a value that cannot be read is not refused: the first step of its run reports it.
    """
    reasons: list[str | None] = []
    needs = NO_NEEDS
    for rule in exits:
        needs |= rule.needs()
    for first in range(0, len(entries), MATCHED_CONTACTS):
        part = entries[first : first + MATCHED_CONTACTS]
        reasons += _reasons(connection, exits, part, needs, now)
    return reasons


def _reasons(
    connection: Connection,
    exits: Sequence[ExitRule],
    entries: Sequence[RunEntry],
    needs: Needs,
    now: datetime,
) -> list[str | None]:
    contact_ids = list({entry.contact_id for entry in entries})
    rows, _ = contacts_db.contact_attributes(connection, contact_ids)
    contacts = {row["id"]: row for row in rows}
    times = _latest_times(connection, contact_ids, _types_in_time_windows(exits))
    occurrences: contact_occurrences.OccurrencesByContact = {}
    if needs.occurrences:
        occurrences, _ = contact_occurrences.load(connection, contact_ids, needs.occurrences)
    reasons: list[str | None] = []
    for entry in entries:
        row = contacts.get(entry.contact_id)
        if row is None:
            reasons.append(None)
            continue
        fields = contact_context(row)
        zone = effective_zone(fields)
        if needs.variables and entry.data:
            fields = {**fields, **RunVariables(entry=entry.data).by_name()}
        rule = first_to_hold(
            exits,
            ContactAttributes(
                fields,
                frozenset(row["tags"] or ()),
                times.get(entry.contact_id, _NO_TIMES),
                now,
                zone,
                occurrences.get(entry.contact_id, NO_OCCURRENCES),
                RunPosition(now, now, entry=entry.data or {}),
            ),
        )
        reasons.append(None if rule is None else rule.why)
    return reasons


def _types_in_time_windows(exits: Sequence[ExitRule]) -> set[str]:
    return {
        leaf.event_type
        for rule in exits
        if isinstance(rule.when, Condition)
        for leaf in leaves(rule.when)
        if leaf.event_type is not None
        and leaf.time_window is not None
        and not is_about_a_message(leaf.event_type)
    }


def _latest_times(
    connection: Connection, contact_ids: Sequence[UUID], event_types: set[str]
) -> dict[UUID, dict[str, datetime]]:
    times: dict[UUID, dict[str, datetime]] = {}
    if event_types:
        for contact_id, event_type, latest_at in enrollments_db.latest_events(
            connection, contact_ids, sorted(event_types)
        ):
            if not isinstance(latest_at, Unreadable):
                times.setdefault(contact_id, {})[event_type] = latest_at
    return times
