"""Read the columns of the engine's tables from sql/schema.sql, without a database."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from drip_pipeline.db.queries import SQL_FOLDER
from drip_pipeline.errors import NotFound

_TABLE = re.compile(r"^CREATE TABLE (\w+) \(\n(.*?)^\)", re.MULTILINE | re.DOTALL)
_COLUMN = re.compile(
    r"^    (?P<name>[a-z_0-9]+) (?P<rest>(?!.*\bCONSTRAINT\b).+?),?$", re.MULTILINE
)
_END_OF_TYPE = re.compile(r" (?:NOT NULL|DEFAULT|GENERATED|COLLATE)\b.*$")


class TableColumn(NamedTuple):
    """A column, with its type as PostgreSQL writes it."""

    name: str
    type: str
    is_nullable: bool


@lru_cache(maxsize=1)
def _tables() -> dict[str, tuple[TableColumn, ...]]:
    text = (SQL_FOLDER / "schema.sql").read_text(encoding="utf-8")
    return {
        table: tuple(
            TableColumn(
                match["name"],
                _END_OF_TYPE.sub("", match["rest"]),
                " NOT NULL" not in match["rest"],
            )
            for match in _COLUMN.finditer(columns)
        )
        for table, columns in _TABLE.findall(text)
    }


def columns_of(table: str) -> tuple[TableColumn, ...]:
    """Return the columns of a table in their order. Raises NotFound."""
    try:
        return _tables()[table]
    except KeyError:
        raise NotFound("table", table) from None
