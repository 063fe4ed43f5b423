"""The files of sql/migrations/ and sql/functions/, and the names of what they create."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from drip_pipeline.db.queries import SQL_FOLDER
from drip_pipeline.errors import MigrationError

_FILE_NAME = re.compile(r"(?P<version>\d{4})_[a-z][a-z0-9_]*")
_CREATED_TABLE = re.compile(r"^CREATE TABLE (?:IF NOT EXISTS )?([a-z_]+)", re.MULTILINE)
_CREATED_VIEW = re.compile(r"^CREATE (?:OR REPLACE )?VIEW ([a-z_]+)", re.MULTILINE)
_CREATED_FUNCTION = re.compile(r"^CREATE (?:OR REPLACE )?FUNCTION ([a-z_]+)", re.MULTILINE)
BOOKKEEPING_TABLES = ("drip_schema_functions", "drip_schema_migrations")
"""What `migrate` itself creates."""


@dataclass(frozen=True, slots=True)
class SqlFile:
    """A migration with its number, or a file of functions (version 0)."""

    version: int
    name: str
    text: str
    checksum: str


def migration_files(folder: Path = SQL_FOLDER) -> list[SqlFile]:
    """Return the migrations in order. Raises MigrationError for a bad name or duplicate number."""
    files: list[SqlFile] = []
    for path in sorted((folder / "migrations").glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.stem)
        if not match:
            raise MigrationError(f"{path.name} is not named NNNN_action_object.sql")
        version = int(match["version"])
        if files and files[-1].version == version:
            raise MigrationError(
                f"{files[-1].name} and {path.stem} carry the same number", version=version
            )
        files.append(_sql_file(path, version))
    return files


def table_names(folder: Path = SQL_FOLDER) -> list[str]:
    """Return the names of the tables that the migrations create, without partitions of months."""
    return sorted({n for f in migration_files(folder) for n in _CREATED_TABLE.findall(f.text)})


def schema_objects(folder: Path = SQL_FOLDER) -> list[tuple[str, str]]:
    """Return (kind, name) of the tables, views and functions that the files create, in order.

    Later files may drop some of them.
    """
    texts = [file.text for file in (*migration_files(folder), *function_files(folder))]
    kinds = (("table", _CREATED_TABLE), ("view", _CREATED_VIEW), ("function", _CREATED_FUNCTION))
    objects = {
        (kind, name) for kind, rule in kinds for text in texts for name in rule.findall(text)
    }
    return sorted(objects | {("table", name) for name in BOOKKEEPING_TABLES})


def function_files(folder: Path = SQL_FOLDER) -> list[SqlFile]:
    """Return the files of functions, ordered by name."""
    return [_sql_file(path, 0) for path in sorted((folder / "functions").glob("*.sql"))]


def _sql_file(path: Path, version: int) -> SqlFile:
    text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
    return SqlFile(version, path.stem, text, hashlib.sha256(text.encode()).hexdigest())
