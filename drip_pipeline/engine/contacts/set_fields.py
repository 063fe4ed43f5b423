"""Set fields of one contact, read and checked as a file of one row would be.

An address that is corrected gets the contact's messages from then on. A suppression belongs to its
address, so it stays with the former one, except for the person's own no.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID

import orjson

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.contacts.contacts import StagedContact
from drip_pipeline.db.explanations import one_person as person_db
from drip_pipeline.db.explanations.one_person import FieldValues, PersonRow
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.contacts.column_mapping import ColumnPlan, plan_columns
from drip_pipeline.engine.contacts.column_types import kinds_of
from drip_pipeline.engine.contacts.consent import status_reason
from drip_pipeline.engine.contacts.contact_file import Line, LineCounts
from drip_pipeline.engine.contacts.find_person import addresses_of, find_person
from drip_pipeline.engine.contacts.header_names import contact_field
from drip_pipeline.engine.contacts.row_parser import RowReader
from drip_pipeline.errors import NotAllowed

_SOURCE: Final = Path("the fields")
_ANY_ADDRESS: Final = "somebody@example.com"
"""Stands for the address of a row in which it does not change."""
_NEVER_EMPTY: Final = frozenset({"email", "status"})


@dataclass(frozen=True, slots=True)
class FieldsSet:
    """What changed of a contact.

    After a change of an address, `suppressed_by` are the reasons of the suppressions that apply to
    the contact now, and `left_behind` counts those that stay with the former address.
    """

    contact_id: UUID
    changed: Sequence[str]
    unchanged: Sequence[str]
    suppressed_by: Sequence[str] = ()
    left_behind: int = 0


@dataclass(frozen=True, slots=True)
class _OneRow:
    """Fields of a command as a contact file of one row."""

    columns: Sequence[str]
    cells: Sequence[str]
    path: Path = _SOURCE
    is_typed: bool = False
    notes: Sequence[str] = ()
    unsupported: dict[int, str] = field(default_factory=dict)
    line_counts: LineCounts | None = None

    def text(self, index: int) -> str:
        """Return a cell, trimmed."""
        return self.cells[index].strip()

    def lines(self) -> Iterator[Line]:
        """Read the row."""
        yield 1, self.cells


def set_fields(
    database: Database,
    who: str,
    fields: Mapping[str, str],
    *,
    now: datetime,
    types: Mapping[str, str] | None = None,
    workspace: str | None = None,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> FieldsSet:
    """Set fields of the contact with this id or address. Texts are read as in an import; an empty
    text removes a value; tags are replaced. Idempotent.

    Raises NotAllowed for an unknown contact, for a value that cannot be read, for an address that
    another contact of the workspace has, and for a column that says who must not get messages;
    ImportFileError for two names of one field. Nothing is written then.
    """
    if not fields:
        raise NotAllowed("no field is given", hint="Write FIELD=VALUE, such as company=Acorn.")
    with database.transaction() as connection:
        (person, _), _ = find_person(connection, who, workspace)
        row = _read(fields, types or {}, person.region)
        values = _values(row)
        if "email" in row.columns:
            _check_address(connection, person, row.contact.email)
        changes = person_db.set_fields(connection, person.id, values, now)
        if changes is None:
            raise NotAllowed("the contact was deleted meanwhile")
        if changes.names and not changes.written:
            raise NotAllowed(
                "the database did not take the change",
                hint="A trigger of the table `contacts` keeps the row as it is.",
            )
        if changes.names:
            audit.record(
                connection,
                actor,
                "set_fields",
                audit.Subject("contact", person.workspace_id, person.id),
                now=now,
                reason=reason,
                details={"fields": changes.names},
            )
        named = [*values.names, *orjson.loads(values.custom_fields), *values.removed]
        unchanged = [name for name in named if name not in changes.names]
        if not {"email", "phone"} & set(changes.names):
            return FieldsSet(person.id, changes.names, unchanged)
        return _with_suppressions(connection, person, changes.names, unchanged)


class _Row(NamedTuple):
    """The fields of a command, read: columns of `contacts`, and custom fields as JSON."""

    columns: frozenset[str]
    contact: StagedContact
    removed: Sequence[str]


def _read(fields: Mapping[str, str], types: Mapping[str, str], region: str | None) -> _Row:
    has_address = any(contact_field(name) == "email" for name in fields)
    added = {} if has_address else {"email": _ANY_ADDRESS}
    file = _OneRow([*fields, *added], [*fields.values(), *added.values()])
    plan = plan_columns(file, {}, None, types)
    _refuse_consents(file, plan)
    columns = frozenset(plan.fields) - added.keys() - {"custom_fields", "unsubscribed"}
    empty = {n for n, index in {**plan.fields, **plan.custom}.items() if not file.text(index)}
    never = sorted(empty & _NEVER_EMPTY)
    if never:
        raise NotAllowed(f"{never[0]} cannot be empty")
    reader = RowReader(plan, kinds_of(file, plan), is_typed=False, region=region)
    contact = reader.read(1, 1, file.cells)
    if isinstance(contact, str):
        raise NotAllowed(f"email cannot be set: {contact.replace('_', ' ')}")
    if reader.set_aside:
        cell = reader.set_aside[0]
        raise NotAllowed(
            f"{cell.column_name} cannot be set: {cell.reason.replace('_', ' ')}",
            hint="Nothing was changed. `drip contacts import --help` says what fields hold.",
        )
    return _Row(columns, contact, [name for name in plan.custom if name in empty])


def _refuse_consents(file: _OneRow, plan: ColumnPlan) -> None:
    """Raise NotAllowed for a field that says who must not get messages."""
    for index, column in plan.consents.items():
        text = file.text(index)
        if column.reading != "status" or status_reason(text) is not None:
            raise NotAllowed(
                f"{file.columns[index]} says who must not get messages, which is no field",
                hint="`drip contacts suppress` and `drip contacts resubscribe` change that.",
            )


def _values(row: _Row) -> FieldValues:
    contact = row.contact
    return FieldValues(
        names=sorted(row.columns),
        email=contact.email,
        name=contact.name,
        company=contact.company,
        phone=contact.phone,
        job_title=contact.job_title,
        ai_score=contact.ai_score,
        status=contact.status,
        tags=list(dict.fromkeys(contact.tags or ())),
        last_interaction=contact.last_interaction,
        custom_fields=contact.custom_fields,
        removed=list(row.removed),
    )


def _check_address(connection: Connection, person: PersonRow, email: str) -> None:
    # As imports do: another one might insert a contact with this address.
    person_db.lock_contacts_of(connection, person.workspace_id)
    others = person_db.others_of_address(connection, person.workspace_id, person.id, email)
    if others:
        raise NotAllowed(
            f"another contact of the workspace has this address: {others[0]}",
            hint="`drip contacts show` explains it. One address belongs to one contact.",
        )


def _with_suppressions(
    connection: Connection, before: PersonRow, changed: Sequence[str], unchanged: Sequence[str]
) -> FieldsSet:
    """Return what changed, with what that means for the suppressions."""
    ((now, _), *_) = person_db.find(connection, before.id, None, None)
    rows = person_db.suppressions(connection, now.workspace_id, now.id, addresses_of(now))
    former = person_db.suppressions(
        connection, before.workspace_id, before.id, addresses_of(before)
    )
    applying = {(row.address, row.channel, row.campaign_id) for row in rows if row.applies}
    left_behind = [
        row
        for row in former
        if row.applies and (row.address, row.channel, row.campaign_id) not in applying
    ]
    reasons = dict.fromkeys(row.reason for row in rows if row.applies)
    return FieldsSet(before.id, changed, unchanged, list(reasons), len(left_behind))
