"""What a batch reads of contacts, events, tests and variants, and its set-based contact changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.binary_arrays import uuids
from drip_pipeline.db.connection import Connection, dump_json, savepoint
from drip_pipeline.db.unreadable import Unreadable
from drip_pipeline.errors import Conflict

ContactColumns: TypeAlias = dict[str, Any]
"""Columns of a contact by name: `id` and those that were requested."""

ATTRIBUTE_COLUMNS: Final = (
    "name",
    "email",
    "company",
    "phone",
    "job_title",
    "ai_score",
    "status",
    "tags",
    "custom_fields",
    "last_interaction",
    "created_at",
    "updated_at",
)
_COLUMNS: Final = (*ATTRIBUTE_COLUMNS, "workspace_time_zone")


class ContactRows(NamedTuple):
    """Contacts, and by id the values of theirs that Python cannot hold, which are None in the
    rows."""

    rows: list[ContactColumns]
    unreadable: Mapping[UUID, Sequence[Unreadable]]


class LatestEnrollmentEvent(NamedTuple):
    """The latest time of an event type, in the enrollment or at contact level."""

    enrollment_id: UUID
    event_type: str
    latest_at: datetime | Unreadable


class LookBack(NamedTuple):
    """The time from which events count for a state that waits for one."""

    id: UUID
    since: datetime


class RunningTest(NamedTuple):
    """A running or decided test and the campaign versions that its split belongs to."""

    id: UUID
    campaign_id: UUID
    split_node_id: str
    campaign_versions: Sequence[int]
    winner_variant: str | None


class EnrollmentVariant(NamedTuple):
    """The variant of an enrollment at a split."""

    enrollment_id: UUID
    split_node_id: str
    variant_group: str
    is_randomized: bool


class ContactVariant(NamedTuple):
    """The variant of a contact in an earlier run of the same test."""

    contact_id: UUID
    split_node_id: str
    variant_group: str
    is_randomized: bool


class CompiledVersion(NamedTuple):
    """The compiled graph of a version (None before it was published) and its campaign."""

    compiled_graph: dict[str, Any] | None
    campaign_name: str
    workspace_id: UUID


def contact_attributes(
    connection: Connection,
    contact_ids: Sequence[UUID],
    columns: Collection[str] = _COLUMNS,
) -> ContactRows:
    """Return the requested columns of each contact, with its `id`."""
    requested = [name for name in _COLUMNS if name in columns]
    positions = [1 + _COLUMNS.index(name) for name in requested]
    rows, has_unreadable = queries.readable(
        connection, "contact_attributes", contact_ids=uuids(contact_ids), columns=requested
    )
    contacts = [
        {"id": row[0], **{name: row[n] for name, n in zip(requested, positions, strict=True)}}
        for row in rows
    ]
    return ContactRows(contacts, _set_aside(contacts) if has_unreadable else {})


class ContactZone(NamedTuple):
    """The time zone of a contact, as it is written in its custom fields, and its workspace's."""

    of_contact: str | None
    of_workspace: str | None


def contact_zones(connection: Connection, contact_ids: Collection[UUID]) -> dict[UUID, ContactZone]:
    """Return the time zones of contacts, by contact."""
    rows = queries.many(connection, "contact_zones", contact_ids=uuids(list(contact_ids)))
    return {row[0]: ContactZone(row[1], row[2]) for row in rows}


def _set_aside(contacts: Sequence[ContactColumns]) -> dict[UUID, list[Unreadable]]:
    """Set unreadable values to None, and return them by contact."""
    unreadable: dict[UUID, list[Unreadable]] = {}
    for contact in contacts:
        values = [value for value in contact.values() if isinstance(value, Unreadable)]
        if values:
            unreadable[contact["id"]] = values
            contact.update(dict.fromkeys((value.column for value in values), None))
    return unreadable


def latest_events(
    connection: Connection,
    enrollment_ids: Sequence[UUID],
    contact_ids: Sequence[UUID],
    event_types: Sequence[str],
) -> list[LatestEnrollmentEvent]:
    """Return the latest time of each event type; the two lists of ids have the same order."""
    rows, _ = queries.readable_records(
        connection,
        "latest_events",
        LatestEnrollmentEvent,
        enrollment_ids=enrollment_ids,
        contact_ids=contact_ids,
        event_types=event_types,
    )
    return rows


def look_back_from(connection: Connection, state_ids: Sequence[UUID]) -> list[LookBack]:
    """Return the time from which events count for each waiting state."""
    return queries.records(connection, "look_back_from", LookBack, state_ids=state_ids)


def running_tests(connection: Connection, campaign_ids: Sequence[UUID]) -> list[RunningTest]:
    """Return the tests of these campaigns that are running or decided."""
    return queries.records(connection, "running_tests", RunningTest, campaign_ids=campaign_ids)


def enrollment_variants(
    connection: Connection, enrollment_ids: Sequence[UUID]
) -> list[EnrollmentVariant]:
    """Return the variants that these enrollments have at any split."""
    return queries.records(
        connection, "existing_assignments", EnrollmentVariant, enrollment_ids=enrollment_ids
    )


def contact_variants(
    connection: Connection, test_ids: Sequence[UUID], contact_ids: Sequence[UUID]
) -> list[ContactVariant]:
    """Return the variants that these contacts have in any run of these tests."""
    return queries.records(
        connection,
        "contact_assignments",
        ContactVariant,
        test_ids=test_ids,
        contact_ids=contact_ids,
    )


def compiled_version(
    connection: Connection, campaign_id: UUID, version: int
) -> CompiledVersion | None:
    """Return the compiled graph of a version, None if the version does not exist."""
    return queries.record(
        connection, "compiled_graph", CompiledVersion, campaign_id=campaign_id, version=version
    )


def lock_contacts(
    connection: Connection, contact_ids: Sequence[UUID], *, wait_milliseconds: int
) -> set[UUID]:
    """Lock contacts before they are changed; return those that somebody else keeps locked.

    Waits for other transactions only for `wait_milliseconds`.
    """
    try:
        with savepoint(connection):
            queries.run(connection, "limit_lock_wait", milliseconds=wait_milliseconds)
            queries.run(connection, "lock_contacts", contact_ids=contact_ids)
            queries.run(connection, "reset_lock_wait")
        return set()
    except Conflict:
        free = set(queries.column(connection, "lock_free_contacts", contact_ids=contact_ids))
    left = [contact_id for contact_id in contact_ids if contact_id not in free]
    return set(queries.column(connection, "existing_contacts", contact_ids=left))


def change_tags(
    connection: Connection,
    contact_ids: Sequence[UUID],
    add: Sequence[str],
    remove: Sequence[str],
    now: datetime,
) -> None:
    """Add and remove tags."""
    queries.run(
        connection,
        "change_tags",
        contact_ids=contact_ids,
        add=list(add),
        remove=list(remove),
        now=now,
    )


def change_score(
    connection: Connection,
    contact_ids: Sequence[UUID],
    *,
    delta: int | None,
    to: int | None,
    now: datetime,
) -> None:
    """Change the score by `delta`, or set it; limited to 0..100."""
    queries.run(connection, "change_score", contact_ids=contact_ids, delta=delta, set=to, now=now)


def change_column(
    connection: Connection,
    contact_ids: Sequence[UUID],
    column: str,
    value: str | None,
    now: datetime,
) -> None:
    """Set one of the updatable columns."""
    queries.run(
        connection, "change_column", contact_ids=contact_ids, column=column, value=value, now=now
    )


def change_custom_field(
    connection: Connection, contact_ids: Sequence[UUID], field: str, value: object, now: datetime
) -> None:
    """Set one custom field to a JSON value."""
    queries.run(
        connection,
        "change_custom_field",
        contact_ids=contact_ids,
        field=field,
        value=dump_json(value).decode(),
        now=now,
    )


def set_column(
    connection: Connection, column: str, values: Mapping[UUID, str | None], now: datetime
) -> None:
    """Set one of the updatable columns of each contact to its own value."""
    queries.run(
        connection,
        "set_column",
        contact_ids=uuids(list(values)),
        column=column,
        values=list(values.values()),
        now=now,
    )


def set_custom_field(
    connection: Connection, field: str, values: Mapping[UUID, object], now: datetime
) -> None:
    """Set one custom field of each contact to its own JSON value."""
    queries.run(
        connection,
        "set_custom_field",
        contact_ids=uuids(list(values)),
        field=field,
        values=[dump_json(value).decode() for value in values.values()],
        now=now,
    )
