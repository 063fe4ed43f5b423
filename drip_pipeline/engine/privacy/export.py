"""Collect all that is stored of a person: rows of tables, archived events, lines of event files.

Nothing is changed; the operation is recorded in the audit trail. `reports/person_export.py` writes
the result to a file.
"""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import orjson

from drip_pipeline.db.campaigns import workspaces as workspaces_db
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.privacy import erasures as erasures_db
from drip_pipeline.db.privacy import person_rows as rows_db
from drip_pipeline.db.privacy import searched_texts as texts_db
from drip_pipeline.db.privacy.catalog import DELETED_IF_FOUND, PAYLOADS, TABLES
from drip_pipeline.db.privacy.person_rows import JsonRow, PersonKeys
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.campaigns.workspaces import existing_workspace
from drip_pipeline.engine.events.landing_folder import look
from drip_pipeline.engine.privacy.erase import ErasureScope
from drip_pipeline.engine.privacy.identifiers import Finder, Identifiers
from drip_pipeline.engine.privacy.payloads import of_person
from drip_pipeline.engine.privacy.request import NamedPerson
from drip_pipeline.engine.privacy.rewrite import spellings_in_use
from drip_pipeline.engine.progress import Progress
from drip_pipeline.errors import NotAllowed
from drip_pipeline.redaction import redact

_GZIP_MAGIC: Final = b"\x1f\x8b"
_PARQUET_MAGIC: Final = b"PAR1"
_TIMES: Final = (
    "created_at", "occurred_at", "sent_at", "recorded_at", "assigned_at", "started_at",
    "changed_at", "received_at", "rejected_at", "counted_at",
)  # fmt: skip
"""Columns by which rows are sorted; the first that a row has."""


@dataclass
class PersonData:
    """All that is stored of a person. `tables`: rows by table, and of each archive and event file
    under its path. `missing`: archive files that are not in the folder."""

    contact_ids: list[UUID]
    exported_at: datetime
    tables: dict[str, list[JsonRow]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def person_data(
    database: Database,
    who: str,
    scope: ErasureScope,
    *,
    now: datetime,
    reason: str | None = None,
    workspace: str | None = None,
    actor: Actor = LIBRARY,
    progress: Progress | None = None,
) -> PersonData:
    """Return all that is stored of a person, given by address, phone number or id.

    Raises NotAllowed if nothing is, and for an unknown workspace.
    """
    progress = progress or (lambda _: None)
    with database.transaction(is_read_only=True) as connection:
        workspace_id = existing_workspace(connection, workspace)
        region = workspaces_db.regions(connection, [workspace_id])[workspace_id]
        person = NamedPerson.named(who, region)
        contact_ids = erasures_db.contacts_to_erase(connection, workspace_id, *person)
        keys, identifiers = _keys(connection, workspace_id, region, person, contact_ids)
        data = PersonData(contact_ids, now)
        for table in rows_db.linked_tables():
            data.tables[table] = rows_db.linked_rows(connection, table, keys)
        finder = Finder([identifiers])
        for table in texts_db.searched_tables():
            seen = {orjson.dumps(row) for row in data.tables.get(table, ())}
            data.tables[table] = data.tables.get(table, []) + [
                row for row in _searched(connection, table, finder) if orjson.dumps(row) not in seen
            ]
        progress("tables: read")
        listed = erasures_db.archive_files(connection)
    data.missing = sorted(
        row.file for row in listed if row.file and not (scope.archive / row.file).is_file()
    )
    ids = {str(each) for each in (*keys.contacts, *keys.enrollments)}
    for path in sorted(scope.archive.glob("*.parquet")):
        data.tables[f"archive/{path.stem}"] = list(_archived(path, ids))
    for file in look(scope.landing):
        lines = list(_lines(scope.landing / file.path, finder))
        if lines:
            data.tables[f"files/{file.path}"] = lines
    data.tables = {name: sorted(rows, key=_time_of) for name, rows in data.tables.items() if rows}
    if not data.tables:
        raise NotAllowed("nothing is stored of this address in the workspace")
    with database.transaction() as connection:
        audit.record(
            connection,
            actor,
            "export",
            audit.Subject("contact", workspace_id, contact_ids[0] if contact_ids else None),
            now=now,
            reason=reason,
            details={"rows": sum(map(len, data.tables.values()))},
        )
    return data


def _time_of(row: JsonRow) -> str:
    return next((str(row[name]) for name in _TIMES if row.get(name)), "")


def _keys(
    connection: Connection,
    workspace_id: UUID,
    region: str | None,
    person: NamedPerson,
    contact_ids: list[UUID],
) -> tuple[PersonKeys, Identifiers]:
    """Return by what the person's rows are read, and what identifies it in texts."""
    traces: dict[str, set[str]] = defaultdict(set)
    for row in erasures_db.traces(connection, [(each, each) for each in contact_ids]):
        traces[row.kind].add(row.value)
    addresses = {*traces["address"]}
    addresses |= {text for text in (person.address, person.number) if text}
    for contact in erasures_db.addresses(connection, contact_ids):
        addresses |= {text for text in contact if text}
    spellings, shared = spellings_in_use(
        connection, workspace_id, sorted(addresses), region, except_contacts=contact_ids
    )
    identifiers = Identifiers(
        workspace_id,
        contact_ids[0] if contact_ids else None,
        spellings,
        shared,
        tuple(sorted({*traces["enrollment"], *map(str, contact_ids[1:])})),
        tuple(sorted(traces["message"])),
    )
    keys = PersonKeys(
        workspace_id, contact_ids, [UUID(text) for text in traces["enrollment"]], spellings
    )
    return keys, identifiers


def _searched(connection: Connection, table: str, finder: Finder) -> Iterator[JsonRow]:
    """Yield the rows of a table whose texts name the person; of payloads only its own events."""
    for row in texts_db.rows(connection, table):
        texts = [
            text.decode("utf-8", "replace") if isinstance(text, bytes) else text
            for text in row.texts
        ]
        if not any(text and finder.finds(text, row.workspace_id) for text in texts):
            continue
        stored = rows_db.row_at(connection, table, row.place)
        if table == PAYLOADS:
            stored["payload"] = of_person(row.texts[0], finder)  # type: ignore[arg-type]
        elif table not in DELETED_IF_FOUND and not TABLES[table].links:
            for column in TABLES[table].searched:
                # Errors and incidents may name other people.
                if isinstance(stored[column], str):
                    stored[column] = redact(stored[column])
                elif stored[column] is not None:
                    stored[column] = orjson.loads(redact(orjson.dumps(stored[column]).decode()))
        yield stored


def _archived(path: Path, ids: set[str]) -> Iterator[JsonRow]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                if row.get("contact_id") in ids or row.get("enrollment_id") in ids:
                    yield _plain(row)


def _plain(row: Mapping[str, Any]) -> JsonRow:
    plain: JsonRow = orjson.loads(orjson.dumps(row, default=str))
    if isinstance(plain.get("event_data"), str):
        plain["event_data"] = orjson.loads(plain["event_data"])
    return plain


def _lines(path: Path, finder: Finder) -> Iterator[JsonRow]:
    """Yield the lines of an event file that name the person."""
    with path.open("rb") as file:
        magic = file.read(4)
    if magic == _PARQUET_MAGIC:
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as table:
            for batch in table.iter_batches():
                for row in batch.to_pylist():
                    plain: JsonRow = orjson.loads(orjson.dumps(row, default=str))
                    if finder.finds(orjson.dumps(plain).decode()):
                        yield plain
        return
    with gzip.open(path) if magic[:2] == _GZIP_MAGIC else path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            text = line.decode("utf-8", "replace")
            if finder.finds(text):
                yield {"line": number, "text": text.rstrip("\n")}
