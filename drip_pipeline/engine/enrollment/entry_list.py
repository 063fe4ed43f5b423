"""Entry data of `drip enroll --data`: one JSON object for all contacts, or a file with a line for
each run: NDJSON, a JSON list, CSV or Parquet, with the contact's address as `email`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from drip_pipeline.domain.run_variables import JsonObject, data_problem
from drip_pipeline.engine.contacts.cell_values import CellInvalid, as_value
from drip_pipeline.engine.contacts.contact_file import UnreadableCell
from drip_pipeline.engine.contacts.file_formats import open_source
from drip_pipeline.engine.contacts.sources import Source
from drip_pipeline.engine.enrollment.audience import EntryList
from drip_pipeline.errors import ImportFileError, NotAllowed

EMAIL: Final = "email"
_HINT: Final = 'Give one JSON object, or lines such as {"email": …, "order_id": …} or a CSV file.'


@dataclass(frozen=True, slots=True)
class EntryData:
    """Entry data: `common` for all contacts, or `entries` that name their contacts.

    `rejected` are lines that cannot be used, as (line, reason).
    """

    common: JsonObject | None = None
    entries: EntryList | None = None
    rejected: tuple[tuple[int, str], ...] = ()


def read_data(text: str) -> EntryData:
    """Read a JSON object, or the file of this path; `-` is standard input.

    Raises NotAllowed if it is neither or too large, ImportFileError or OSError for a file that
    cannot be read.
    """
    if text.lstrip().startswith("{"):
        return EntryData(common=_common(_json(text.encode("utf-8", "surrogateescape"))))
    source = Source(Path(text))
    with source.read_errors(), source.open() as file:
        start = file.read(1_000_000).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        is_json = start in (b"{", b"[")
    if not is_json:
        return _listed(_table_lines(source))
    with source.read_errors(), source.open() as file:
        content = file.read()
    try:
        whole = orjson.loads(content)
    except orjson.JSONDecodeError:
        return _listed(_ndjson_lines(content))
    if isinstance(whole, list):
        return _listed(enumerate(whole, 1))
    if isinstance(whole, dict) and EMAIL in whole:
        return _listed([(1, whole)])
    return EntryData(common=_common(whole))


def _json(content: bytes) -> object:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise NotAllowed(f"--data is not JSON: {error}", hint=_HINT) from None


def _common(value: object) -> JsonObject:
    problem = "it is not a JSON object" if not isinstance(value, dict) else data_problem(value)
    if problem is not None:
        raise NotAllowed(f"--data cannot be entry data: {problem}", hint=_HINT)
    assert isinstance(value, dict)
    return value


def _ndjson_lines(content: bytes) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            try:
                yield number, orjson.loads(line)
            except orjson.JSONDecodeError:
                yield number, "not_json"


def _table_lines(source: Source) -> Iterator[tuple[int, object]]:
    table = open_source(source)
    columns = [name.strip() for name in table.columns]
    if EMAIL not in map(str.lower, columns):
        raise ImportFileError(str(source.path), "has no column `email`", hint=_HINT)
    names = [EMAIL if name.lower() == EMAIL else name for name in columns]
    for line, cells in table.lines():
        if isinstance(cells, str):
            yield line, cells
            continue
        unreadable = next((cell for cell in cells if isinstance(cell, UnreadableCell)), None)
        if unreadable is not None:
            yield line, unreadable.reason
            continue
        try:
            values = [as_value(cell) for cell in cells]
        except CellInvalid as invalid:
            yield line, str(invalid)
            continue
        row: dict[str, Any] = {}
        for name, value in zip(names, values, strict=True):
            if value is not None:
                row.setdefault(name, value)
        yield line, row


def _listed(lines: Iterable[tuple[int, object]]) -> EntryData:
    entries: list[tuple[str, JsonObject]] = []
    rejected: list[tuple[int, str]] = []
    for number, row in lines:
        if isinstance(row, str):
            rejected.append((number, row))
            continue
        if not isinstance(row, dict):
            rejected.append((number, "not_an_object"))
            continue
        address = row.get(EMAIL)
        if not isinstance(address, str) or not address.strip():
            rejected.append((number, "no_email"))
            continue
        data = {name: value for name, value in row.items() if name != EMAIL}
        if (problem := data_problem(data)) is not None:
            rejected.append((number, f"entry data: {problem}"))
            continue
        entries.append((address, data))
    return EntryData(entries=EntryList(entries), rejected=tuple(rejected))
