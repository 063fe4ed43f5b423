"""The export of a person: a ZIP file with a page to read, and the rows of each table as JSON."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any, Final

import orjson

from drip_pipeline.engine.privacy.export import PersonData
from drip_pipeline.reports.style import html_page

MOST_ROWS: Final = 200
"""Rows of a table on the page; the files have all of them."""
_FILE_MODE: Final = 0o600
_READABLE: Final = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.\d+)?([+-]\d\d:\d\d|Z)")
_NOTHING: Final[tuple[object, ...]] = (None, "", [], {})
_TITLES: Final[Mapping[str, str]] = {
    "contacts": "The contact",
    "campaign_enrollments": "Entries into campaigns",
    "campaign_workflow_states": "Where the runs stand",
    "campaign_deliveries": "Messages",
    "campaign_message_outcomes": "What became of the messages",
    "recorded_messages": "Texts of messages that were recorded and not sent",
    "campaign_events": "Events of the runs",
    "contact_events": "Other events",
    "campaign_split_assignments": "Variants of tests",
    "campaign_suppressions": "Messages refused",
    "topic_consents": "Topics joined and left",
    "contact_sends": "Messages that count in frequency caps",
    "event_inbox": "Payloads of providers",
    "rejected_events": "Event lines that were rejected",
    "rejected_cells": "Cells of imported files that could not be read",
    "campaign_data_faults": "Values that could not be read",
    "operator_actions": "What operators did",
    "trigger_calls": "Calls of webhooks",
    "campaign_batches": "Errors of batches",
    "campaign_broadcasts": "Errors of posts",
    "campaign_incidents": "Incidents",
    "campaign_incident_notices": "Notices of incidents",
    "channel_flow": "Errors of channels",
    "landed_files": "Errors of event files",
    "campaign_deleted_enrollments": "Entries that were deleted",
    "campaign_entry_queue": "Entries that wait",
}
_STYLE: Final = """
main{max-width:1280px}
.toc{list-style:none;padding:0;margin:0;display:grid;gap:4px 20px;
grid-template-columns:repeat(auto-fill,minmax(260px,1fr))}
.toc li{margin:0;display:flex;justify-content:space-between;border-bottom:1px solid var(--rule)}
.rows td,.rows th{text-align:left;white-space:normal;overflow-wrap:anywhere;min-width:8em;
max-width:28em}
.rows th{overflow-wrap:normal}
.rows pre{margin:0;white-space:pre-wrap;font:inherit;font-size:.88rem;overflow-wrap:anywhere}
h2{overflow-wrap:anywhere}h2 small{margin-left:.6em;white-space:normal}
.toc span{padding-left:1em}
@media(max-width:600px){.rows td,.rows th{min-width:0;max-width:none}
.rows,.rows tbody{display:block}.rows td{display:block!important}.rows td::before{display:block}
.rows td.none{display:none!important}}
"""


def write_export(path: Path, person: PersonData) -> None:
    """Write the ZIP file: beside its place, then renamed; only the owner can read it.

    Raises OSError with the name of the file.
    """
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.unlink(missing_ok=True)
        opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
        with os.fdopen(opened, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("index.html", person_page(person))
                for name, rows in person.tables.items():
                    data = orjson.dumps(
                        rows, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
                    )
                    archive.writestr(file_of(name), data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def file_of(table: str) -> str:
    """Return the name of a table's file in the ZIP file."""
    return f"data/{re.sub(r'[^A-Za-z0-9._/-]', '_', table).strip('/')}.json"


def person_page(person: PersonData) -> str:
    """Return the page as HTML. It has no scripts and loads nothing."""
    contacts = person.tables.get("contacts", [])
    names = [str(row.get("name") or row.get("email") or row.get("id")) for row in contacts]
    title = f"What is stored of {', '.join(names) or 'this address'}"
    total = sum(len(rows) for rows in person.tables.values())
    order = sorted(person.tables, key=_place)
    contents = "".join(
        f"<li><a href='#{_anchor(name)}'>{escape(_title(name))}</a>"
        f"<span>{len(person.tables[name]):,}</span></li>"
        for name in order
    )
    missing = ""
    if person.missing:
        missing = (
            "<section class=warnings><p>These archive files are not on this machine, and are not"
            f" part of the export: {escape(', '.join(person.missing))}</p></section>"
        )
    body = (
        f"<header><p class=where>Exported {person.exported_at:%Y-%m-%d %H:%M} UTC</p>"
        f"<h1>{escape(title)}</h1></header>{missing}"
        f"<section><h2>{total:,} rows of {len(order)} tables and files</h2>"
        f"<ul class=toc>{contents}</ul><p class=note>Ids are not shown here. The folder"
        " <code>data</code> beside this page has all rows with all columns, as JSON.</p></section>"
        + "".join(_section(name, person.tables[name]) for name in order)
    )
    return html_page(title, body, style=_STYLE)


def _section(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    columns = [key for key in rows[0] if any(_is_shown(row.get(key)) for row in rows)]
    head = "".join(f"<th scope=col>{escape(_label(key))}</th>" for key in columns)
    body = "".join(f"<tr>{_cells(row, columns)}</tr>" for row in rows[:MOST_ROWS])
    more = ""
    if len(rows) > MOST_ROWS:
        more = (
            f"<p class=note>The first {MOST_ROWS:,} of {len(rows):,} rows; all are in"
            f" <code>{escape(file_of(name))}</code>.</p>"
        )
    return (
        f"<section id='{_anchor(name)}'><h2>{escape(_title(name))}"
        f"<small>{escape(name)}, {len(rows):,}</small></h2>"
        f"<div class=wide><table class='rows stack'><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>{more}</section>"
    )


def _cells(row: Mapping[str, Any], columns: Iterable[str]) -> str:
    cells = []
    for key in columns:
        value = row.get(key)
        kind = " class=none" if value in _NOTHING else ""
        cells.append(f"<td{kind} data-label='{escape(_label(key))}'>{_shown(value)}</td>")
    return "".join(cells)


def _is_shown(value: object) -> bool:
    """Return whether a value says something to a reader: ids of the engine do not."""
    return value not in _NOTHING and not (isinstance(value, str) and _ID.fullmatch(value))


def _label(key: str) -> str:
    return key.replace("_", " ")


def _shown(value: object) -> str:
    if value in _NOTHING:
        return ""
    if isinstance(value, str) and (time := _TIME.fullmatch(value)):
        return f"{time[1]} {time[2]}{' UTC' if time[3] in ('+00:00', 'Z') else time[3]}"
    if isinstance(value, (dict, list)):
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
        return f"<pre>{escape(text)}</pre>"
    return escape(str(value))


def _title(name: str) -> str:
    if name.startswith("archive/"):
        return f"Archived events: {name.removeprefix('archive/')}"
    if name.startswith("files/"):
        return f"Event file {name.removeprefix('files/')}"
    return _TITLES.get(name, name)


def _place(name: str) -> tuple[int, str]:
    titles = list(_TITLES)
    return (titles.index(name) if name in _TITLES else len(titles), name)


def _anchor(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower())
