"""Reading what the engine must know of people: contacts, events, tests and variants; and changing
contacts set-based."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.binary_arrays import uuids
from drip_pipeline.db.connection import Connection, dump_json

FACT_COLUMNS: Final = (
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


def contact_facts(
    connection: Connection, contact_ids: Sequence[UUID], columns: Collection[str] = FACT_COLUMNS
) -> list[dict[str, Any]]:
    """One row a contact: `id` and the columns asked for; the others are not in it."""
    wanted = [name for name in FACT_COLUMNS if name in columns]
    places = [1 + FACT_COLUMNS.index(name) for name in wanted]
    found = queries.many(
        connection, "contact_facts", contact_ids=uuids(contact_ids), columns=wanted
    )
    return [
        {"id": row[0], **{name: row[place] for name, place in zip(wanted, places, strict=True)}}
        for row in found
    ]


def latest_events(
    connection: Connection,
    enrollment_ids: Sequence[UUID],
    contact_ids: Sequence[UUID],
    event_types: Sequence[str],
) -> list[tuple[UUID, str, datetime]]:
    """(enrollment, event type, latest time) of the run and of the contact; the two lists of ids go
    in step."""
    return [
        (row[0], row[1], row[2])
        for row in queries.tuples(
            connection,
            "latest_events",
            enrollment_ids=enrollment_ids,
            contact_ids=contact_ids,
            event_types=event_types,
        )
    ]


def look_back_from(connection: Connection, state_ids: Sequence[UUID]) -> dict[UUID, datetime]:
    """From when on events count for a wait, by state."""
    return {
        row[0]: row[1] for row in queries.tuples(connection, "look_back_from", state_ids=state_ids)
    }


def running_tests(connection: Connection, campaign_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """The tests of these campaigns that are running or decided."""
    return queries.rows(connection, "running_tests", campaign_ids=campaign_ids)


def existing_variants(
    connection: Connection,
    enrollment_ids: Sequence[UUID],
    contact_ids: Sequence[UUID],
    test_ids: Sequence[UUID],
) -> list[tuple[UUID, str, str, bool]]:
    """(owner, split, variant, whether by chance) where the owner is an enrollment or, for earlier
    runs of the same test, a contact."""
    found = queries.tuples(connection, "existing_assignments", enrollment_ids=enrollment_ids)
    if test_ids:
        found += queries.tuples(
            connection, "contact_assignments", test_ids=test_ids, contact_ids=contact_ids
        )
    return [(row[0], row[1], row[2], row[3]) for row in found]


def compiled_graph(
    connection: Connection, campaign_id: UUID, version: int
) -> dict[str, Any] | None:
    """The compiled graph of a version with the campaign's name and workspace, None when there is no
    such version."""
    return queries.one(connection, "compiled_graph", campaign_id=campaign_id, version=version)


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
    """Move the score by `delta`, or set it; clamped to 0..100."""
    queries.run(connection, "change_score", contact_ids=contact_ids, delta=delta, set=to, now=now)


def change_column(
    connection: Connection,
    contact_ids: Sequence[UUID],
    column: str,
    value: str | None,
    now: datetime,
) -> None:
    """Write one of the updatable columns."""
    queries.run(
        connection, "change_column", contact_ids=contact_ids, column=column, value=value, now=now
    )


def change_custom_field(
    connection: Connection, contact_ids: Sequence[UUID], field: str, value: Any, now: datetime
) -> None:
    """Write one custom field."""
    queries.run(
        connection,
        "change_custom_field",
        contact_ids=contact_ids,
        field=field,
        value=dump_json(value).decode(),
        now=now,
    )
