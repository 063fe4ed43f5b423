"""Shared by the tests of imports: write a file, import it, and read what was stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.contacts.import_contacts import ImportReport, import_contacts
from tests.engine.factories import NOW


def written(folder: Path, text: str, name: str = "people.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def imported(database: Database, path: Path, **options: Any) -> ImportReport:
    return import_contacts(database, path, now=options.pop("now", NOW), **options)


def contacts(database: Database, columns: str = "email") -> list[Any]:
    with database.transaction() as connection:
        rows = connection.execute(f"SELECT {columns} FROM contacts ORDER BY email").fetchall()
    return [row[0] if len(row) == 1 else row for row in rows]


def rejected_lines(database: Database) -> list[tuple[int, str]]:
    with database.transaction() as connection:
        return connection.execute(
            "SELECT line_number, reason FROM rejected_contacts ORDER BY line_number"
        ).fetchall()


def rejected_cells(database: Database) -> list[tuple[int, str, str, str]]:
    with database.transaction() as connection:
        return connection.execute(
            "SELECT line_number, column_name, reason, cell FROM rejected_cells ORDER BY 1, 2"
        ).fetchall()


def suppressed(database: Database) -> list[tuple[str, str | None, str]]:
    with database.transaction() as connection:
        return connection.execute(
            "SELECT address, channel, reason FROM campaign_suppressions ORDER BY 1, 2"
        ).fetchall()
