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


STEPWISE = "-- migrate: statement by statement\n"
"""The first line of a migration whose statements are applied one after the other, because they
build indexes on large tables or validate constraints."""
REWRITTEN = {
    "0009_classify_bounces": ("e41d7ca1981bb571265ea4c7d9fd130e82b8ba69d9373c8a7109f34b714d7cde"),
    "0011_create_canonical_addresses": (
        "86be44c14c038f882b611245db5c862a79e2d231a43f353ef8b2201d1ca40626"
    ),
    "0019_create_demo_workspaces": (
        "6553e67f17dffd454c73e3b17dfff72c9884a3a966b15e79791e8373a1617790"
    ),
    "0021_store_provider_of_rejected_events": (
        "886bdee723dcf29736f335a6ad0bd761bcbf0ea01ff30f36758b78769493a8cb"
    ),
}
"""Migrations that were changed so that they do not block writers, with the checksum of the earlier
file, which had the same result."""
_TOKEN = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?\*/)|'(?:[^']|'')*'|\"[^\"]*\"|(?P<tag>\$[a-z_]*\$).*?(?P=tag)|(?P<end>;)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class SqlFile:
    """A migration with its number, or a file of functions (version 0).

    `before`: statements that are run before the migration, without its locks, so that it finds the
    work on large tables done (sql/online/).
    """

    version: int
    name: str
    text: str
    checksum: str
    before: str = ""

    @property
    def is_stepwise(self) -> bool:
        """Return whether its statements are applied one after the other."""
        return self.text.startswith(STEPWISE)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement with the comments before it, and its line in the file.

    `code`: without the comments before it and without the semicolon.
    """

    text: str
    code: str
    line: int


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


def statements(text: str) -> list[Statement]:
    """Split SQL at its semicolons, but not within strings, function bodies and comments."""
    parts: list[Statement] = []
    start = 0
    code_start: int | None = None
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            if code_start is None and not text[position].isspace():
                code_start = position
            position += 1
            continue
        if match["end"] and code_start is not None:
            parts.append(_statement(text, start, code_start, match.start()))
            code_start = None
        elif not match["comment"] and not match["end"] and code_start is None:
            code_start = match.start()
        position = match.end()
        if match["end"]:
            start = position
    if code_start is not None:
        parts.append(_statement(text, start, code_start, len(text)))
    return parts


def _statement(text: str, start: int, code_start: int, end: int) -> Statement:
    line = text.count("\n", 0, code_start) + 1
    return Statement(text[start:end].strip(), text[code_start:end].strip(), line)


def _sql_file(path: Path, version: int) -> SqlFile:
    text = _text(path)
    before = path.parents[1] / "online" / path.name
    return SqlFile(
        version,
        path.stem,
        text,
        hashlib.sha256(text.encode()).hexdigest(),
        _text(before) if before.exists() else "",
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").replace("\r\n", "\n")
