"""Take erased persons out of the tables whose texts can name anyone: payloads, rejected lines,
results of calls, errors and incidents."""

from __future__ import annotations

from typing import cast

from drip_pipeline.db.connection import Database
from drip_pipeline.db.privacy import searched_texts as texts_db
from drip_pipeline.db.privacy.catalog import DELETED_IF_FOUND, PAYLOADS
from drip_pipeline.engine.privacy.identifiers import Finder
from drip_pipeline.engine.privacy.payloads import without_person
from drip_pipeline.engine.progress import Progress

_MOST_PASSES = 3
"""A row that another transaction changes meanwhile is found by the next pass."""


def search_tables(database: Database, finder: Finder, progress: Progress | None = None) -> int:
    """Rewrite or delete all rows whose texts name one of the persons. Return their number.

    Each table is read once, in a transaction of its own.
    """
    changed = 0
    for table in texts_db.searched_tables():
        for _ in range(_MOST_PASSES):
            rows = _search(database, table, finder)
            changed += rows
            if not rows:
                break
        if progress:
            progress(f"{table}: searched")
    return changed


def _search(database: Database, table: str, finder: Finder) -> int:
    changed = 0
    with database.transaction() as connection:
        for row in texts_db.rows(connection, table):
            workspace_id = row.workspace_id
            if table == PAYLOADS:
                payload, context = row.texts
                rest = without_person(cast("bytes", payload), finder)
                kept = None if context is None else finder.replaced(cast("str", context))
                if rest is None:
                    texts_db.delete(connection, table, row)
                elif rest != payload or kept != context:
                    texts_db.replace(connection, table, row, [rest, kept])
                else:
                    continue
            else:
                texts = [cast("str | None", text) for text in row.texts]
                if not any(text and finder.finds(text, workspace_id) for text in texts):
                    continue
                if table in DELETED_IF_FOUND:
                    texts_db.delete(connection, table, row)
                else:
                    texts_db.replace(
                        connection,
                        table,
                        row,
                        [text and finder.replaced(text, workspace_id) for text in texts],
                    )
            changed += 1
    return changed
