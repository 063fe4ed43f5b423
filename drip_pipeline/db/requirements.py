"""Refuse, before the first migration, a database in which the engine cannot run.

Server version, encoding, locale, schema, and tables of an application that merely have the names of
the specification's tables, or keys, partitions or collations that the migrations cannot work with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection
from drip_pipeline.errors import DatabaseUnsuitable

OLDEST_VERSION: Final = 15
ENCODING: Final = "UTF8"

_UUID: Final = frozenset({"uuid"})
_TEXT: Final = frozenset({"text", "character varying", "character", "citext"})
_ANY: Final = frozenset[str]()
_OWN_SCHEMA: Final = (
    "Use a schema of its own: CREATE SCHEMA drip_engine; then add"
    " ?options=-csearch_path%3Ddrip_engine to DRIP_DATABASE_URL. Nothing was changed."
)


def _columns(uuids: str, texts: str, others: str) -> Mapping[str, frozenset[str]]:
    return {
        **dict.fromkeys(uuids.split(), _UUID),
        **dict.fromkeys(texts.split(), _TEXT),
        **dict.fromkeys(others.split(), _ANY),
    }


TABLES: Final[Mapping[str, Mapping[str, frozenset[str]]]] = {
    "workspaces": _columns("id", "name", ""),
    "contacts": _columns(
        "id workspace_id",
        "name email company phone",
        "job_title ai_score status tags custom_fields last_interaction created_at updated_at",
    ),
    "drip_campaigns": _columns(
        "id workspace_id", "name", "description sequence_type goal status tags created_at"
    ),
    "campaign_steps": _columns(
        "id campaign_id", "", "step_number step_name day_delay subject_line email_body"
    ),
    "campaign_enrollments": _columns(
        "id campaign_id contact_id",
        "",
        "contact_email contact_name current_step status started_at last_email_sent_at",
    ),
    "campaign_channels": _columns(
        "id workspace_id", "channel_slug", "channel_name channel_category platform is_active specs"
    ),
}
"""The specification's tables that an application may have created, with the columns that the engine
needs. The types of a column are those that it may have; none means any."""


class MigrationTarget(NamedTuple):
    """The server, and the schema in which new tables would be created.

    `version_number` as in 150004. `schema_name` is None if search_path names no existing schema;
    `is_plain` is whether the name needs no quotation marks.
    """

    version_number: int
    version: str
    encoding: str
    search_path: str
    schema_name: str | None
    is_plain: bool | None
    role_name: str
    is_standby: bool
    is_read_only: bool
    has_plpgsql: bool


class LetterCases(NamedTuple):
    """How the database's locale changes letters to lower case."""

    locale: str
    is_plain: bool
    is_unicode: bool


class ExistingTable(NamedTuple):
    """A table that the search path finds; `columns` are the types by name.

    `kind` as in pg_class.relkind: r is a table, p a partitioned table.
    """

    name: str
    schema_name: str
    kind: str
    columns: dict[str, str]
    has_id_key: bool
    deferred_keys: list[str]
    unsuited_collations: list[str]


def check_requirements(connection: Connection) -> None:
    """Raise DatabaseUnsuitable if migrating this database cannot give a working engine."""
    target = queries.record(connection, "migration_target", MigrationTarget)
    assert target is not None
    _check_server(target)
    cases = queries.record(connection, "letter_cases", LetterCases)
    assert cases is not None
    _check_locale(cases)
    names = [*TABLES, "drip_schema_migrations"]
    tables = queries.records(connection, "existing_tables", ExistingTable, names=names)
    for table in tables:
        _check_table(table, target)
    # The foreign keys between tables that exist are the application's matter.
    has_enrollments = any(table.name == "campaign_enrollments" for table in tables)
    for table in tables:
        if table.name in TABLES:
            _check_form(table, has_to_be_referenced=table.name != "contacts" or not has_enrollments)


def _check_server(target: MigrationTarget) -> None:
    if target.version_number < OLDEST_VERSION * 10_000:
        raise DatabaseUnsuitable(
            f"the server is PostgreSQL {target.version}, and {OLDEST_VERSION} or newer is needed",
            hint="Upgrade the server, or unset DRIP_DATABASE_URL to use the embedded one.",
        )
    if target.encoding != ENCODING:
        raise DatabaseUnsuitable(
            f"the database's encoding is {target.encoding}, and {ENCODING} is needed: other"
            " encodings cannot store all names and texts",
            hint="CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0;",
        )
    if target.schema_name is None:
        raise DatabaseUnsuitable(
            f"search_path is {target.search_path}, which names no schema that exists here and that"
            " the role may use",
            hint="Create the schema, or set search_path for the role or in DRIP_DATABASE_URL.",
        )
    if not target.is_plain:
        raise DatabaseUnsuitable(
            f"the schema {target.schema_name!r} needs quotation marks in SQL",
            hint="Use a name of lower-case letters, digits and underscores.",
        )

    if not target.has_plpgsql:
        raise DatabaseUnsuitable(
            f"the language plpgsql is missing, or the role {target.role_name} may not use it",
            hint="CREATE EXTENSION plpgsql;"
            f" GRANT USAGE ON LANGUAGE plpgsql TO {target.role_name};",
        )
    if target.is_standby:
        raise DatabaseUnsuitable(
            "the server is a standby, and a standby is read-only",
            hint="Put the primary into DRIP_DATABASE_URL.",
        )
    if target.is_read_only:
        raise DatabaseUnsuitable(
            f"the role {target.role_name} is read-only here: default_transaction_read_only is on",
            hint=f"ALTER ROLE {target.role_name} SET default_transaction_read_only = off; and take"
            " it out of DRIP_DATABASE_URL if it is there.",
        )


def _check_locale(cases: LetterCases) -> None:
    if not (cases.is_plain and cases.is_unicode):
        what = "I to ı" if not cases.is_plain else "no letters beyond ASCII"
        raise DatabaseUnsuitable(
            f"the database's locale {cases.locale} changes {what} in lower case: addresses that are"
            " the same would be different ones",
            hint="CREATE DATABASE name TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8';",
        )


def _check_form(table: ExistingTable, *, has_to_be_referenced: bool) -> None:
    name = f"{table.schema_name}.{table.name}"
    if table.name == "campaign_enrollments" and table.kind == "p":
        raise DatabaseUnsuitable(f"the table {name} is partitioned", hint=_OWN_SCHEMA)
    if has_to_be_referenced and not table.has_id_key:
        raise DatabaseUnsuitable(
            f"the table {name} has no unique key on id alone, to which foreign keys could refer",
            hint=f"ALTER TABLE {name} ADD PRIMARY KEY (id); or UNIQUE (id), not deferrable; a"
            " partitioned table can have it if it is partitioned by id. Nothing was changed.",
        )
    if table.deferred_keys:
        key = table.deferred_keys[0]
        raise DatabaseUnsuitable(
            f"the unique key {key} of {name} is deferrable, and imports cannot work with that",
            hint=f"ALTER TABLE {name} DROP CONSTRAINT {key}; and add it again without DEFERRABLE."
            " Nothing was changed.",
        )
    if table.unsuited_collations:
        column = table.unsuited_collations[0]
        raise DatabaseUnsuitable(
            f"the collation of {name}.{column} cannot compare addresses: it is nondeterministic,"
            " knows letters of ASCII only, or has another lower case of I",
            hint=f'ALTER TABLE {name} ALTER COLUMN {column} TYPE text COLLATE "default";'
            " Nothing was changed.",
        )


def _check_table(table: ExistingTable, target: MigrationTarget) -> None:
    if table.schema_name != target.schema_name:
        raise DatabaseUnsuitable(
            f"table {table.name} is in the schema {table.schema_name}, but search_path"
            f" ({target.search_path}) would create new tables in {target.schema_name}",
            hint=f"Begin search_path with {table.schema_name}, or use a schema alone:"
            f" ?options=-csearch_path%3D{target.schema_name} in DRIP_DATABASE_URL.",
        )
    if table.name not in TABLES:
        return
    if table.kind not in ("r", "p"):
        raise DatabaseUnsuitable(f"{table.name} is no table here", hint=_OWN_SCHEMA)
    differences = _differences(table.columns, TABLES[table.name])
    if differences:
        raise DatabaseUnsuitable(
            f"the table {table.schema_name}.{table.name} is not the one that the engine works with:"
            f" {'; '.join(differences)}",
            hint=_OWN_SCHEMA,
        )


def _differences(columns: Mapping[str, str], needed: Mapping[str, frozenset[str]]) -> Sequence[str]:
    missing = [name for name in needed if name not in columns]
    missed = [f"it has no column {', '.join(missing)}"] if missing else []
    return missed + [
        f"{name} is {columns[name]}, not {'text' if types is _TEXT else 'uuid'}"
        for name, types in needed.items()
        if name in columns and types and columns[name] not in types
    ]
