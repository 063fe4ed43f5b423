"""What the role of a connection may do, and the time limits that it has.

Other databases than the engine's own come with roles that an administrator set up: a right that is
missing or a limit that is too short is named before a run fails on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection
from drip_pipeline.errors import PermissionMissing

SHORTEST_LIMITS: Final[Mapping[str, int]] = {
    "statement_timeout": 60_000,
    "lock_timeout": 1_000,
    "idle_in_transaction_session_timeout": 60_000,
    "transaction_timeout": 600_000,
}
"""Milliseconds. Imports, retention and metrics have statements of many seconds; a batch computes
between the statements of its transaction. `transaction_timeout` exists from PostgreSQL 17 on."""


class DatabaseRole(NamedTuple):
    """The role of the connection. Names are quoted as SQL needs them."""

    role_name: str
    database_name: str
    schema_name: str | None
    may_create_temporary: bool
    may_create_tables: bool


class TimeLimit(NamedTuple):
    """A limit of a session. `source` as in pg_settings: `client` is the connection's URL."""

    name: str
    milliseconds: int
    source: str


class TableOfOthers(NamedTuple):
    """A table that the role may not alter; `owner` is quoted."""

    name: str
    owner: str


class WrittenTable(NamedTuple):
    """A table of the engine; `is_writable` is whether the role has all four rights on its rows."""

    name: str
    is_writable: bool


class OpenToPublicRoles(NamedTuple):
    """A table that a platform's public roles reach without row-level security, or may truncate."""

    name: str
    has_open_rows: bool
    may_truncate: bool


def database_role(connection: Connection) -> DatabaseRole:
    """Return the role of the connection."""
    role = queries.record(connection, "database_role", DatabaseRole)
    assert role is not None
    return role


def short_time_limits(connection: Connection) -> list[TimeLimit]:
    """Return the limits that are shorter than the engine's own work may take."""
    limits = queries.records(connection, "role_time_limits", TimeLimit, names=list(SHORTEST_LIMITS))
    return [limit for limit in limits if limit.milliseconds < SHORTEST_LIMITS[limit.name]]


def written_tables(connection: Connection, names: Sequence[str]) -> list[WrittenTable]:
    """Return those of the tables that exist."""
    return queries.records(connection, "written_tables", WrittenTable, names=list(names))


def tables_open_to_public_roles(
    connection: Connection, names: Sequence[str]
) -> list[OpenToPublicRoles]:
    """Return those of the tables that `anon` or `authenticated` reach without row-level security,
    or may truncate; none where these roles do not exist."""
    return queries.records(
        connection, "tables_open_to_public_roles", OpenToPublicRoles, names=list(names)
    )


def check_rights_to_migrate(connection: Connection, names: Sequence[str]) -> None:
    """Raise PermissionMissing if the role may not create tables, or not alter these tables."""
    role = database_role(connection)
    if not role.may_create_tables:
        raise PermissionMissing(
            f"the role {role.role_name} may not create tables in the schema {role.schema_name}",
            hint=f"GRANT USAGE, CREATE ON SCHEMA {role.schema_name} TO {role.role_name};"
            " or migrate as the owner of the tables. Nothing was changed.",
        )
    others = queries.records(connection, "tables_of_others", TableOfOthers, names=list(names))
    if others:
        owners = sorted({table.owner for table in others})
        raise PermissionMissing(
            f"the role {role.role_name} may not alter {', '.join(table.name for table in others)},"
            f" which belong to {', '.join(owners)}",
            hint=f"GRANT {', '.join(owners)} TO {role.role_name}; or migrate as the owner of the"
            " tables. Nothing was changed.",
        )
    if not role.may_create_temporary:
        raise PermissionMissing(
            f"the role {role.role_name} may not create temporary tables",
            hint=f"GRANT TEMPORARY ON DATABASE {role.database_name} TO {role.role_name};",
        )


def check_rows_are_visible(connection: Connection, table: str) -> None:
    """Raise PermissionMissing if row-level security applies to the role in this table: no rows does
    not mean then that there are none."""
    if not queries.scalar(connection, "is_row_security_active", table=table):
        return
    role = database_role(connection)
    raise PermissionMissing(
        f"row-level security hides the rows of {table} from the role {role.role_name}",
        hint="Run deploy/postgres/roles.sql again, or connect as the owner of the tables, or"
        f" CREATE POLICY {table}_reads ON {table} FOR SELECT TO {role.role_name} USING (true);",
    )
