"""What stands in a database's catalogs, in one normal form: read from any PostgreSQL (its own dump
program may be missing), comparable between databases, and printable. `sql/schema.sql` is that of a
migrated empty database; `write_schema` makes it.

Left out: what every database has of itself, the months' partitions of the event log, and the bodies
of functions, which stand in sql/functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from drip_pipeline.db.connection import Connection

_TABLES = """
SELECT
    c.oid, c.relname, c.relrowsecurity,
    CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END,
    CASE WHEN c.relispartition THEN
        (SELECT i.inhparent::regclass::text FROM pg_inherits i WHERE i.inhrelid = c.oid)
        || ' ' || pg_get_expr(c.relpartbound, c.oid)
    END,
    coalesce(c.reloptions, '{}')
FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
  AND c.relname !~ '^campaign_events_[0-9]{4}_[0-9]{2}$'
ORDER BY c.relname COLLATE "C"
"""
_COLUMNS = """
SELECT
    a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
    CASE WHEN a.attidentity = '' THEN pg_get_expr(d.adbin, d.adrelid) ELSE 'IDENTITY' END
FROM pg_attribute a
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
_CONSTRAINTS = """
SELECT c.conname, pg_get_constraintdef(c.oid)
FROM pg_constraint c
WHERE c.conrelid = %s AND c.contype IN ('p', 'u', 'f', 'c', 'x')
ORDER BY c.contype <> 'p', c.conname COLLATE "C"
"""
_INDEXES = """
SELECT i.relname, pg_get_indexdef(x.indexrelid)
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
WHERE x.indrelid = %s AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = x.indexrelid)
ORDER BY i.relname COLLATE "C"
"""
_TRIGGERS = """
SELECT t.tgname, pg_get_triggerdef(t.oid)
FROM pg_trigger t
WHERE t.tgrelid = %s AND NOT t.tgisinternal
ORDER BY t.tgname COLLATE "C"
"""
_POLICIES = """
SELECT
    p.polname,
    p.polcmd::text || ' TO ' || array_to_string(
        ARRAY(SELECT r.rolname FROM pg_roles r WHERE r.oid = ANY (p.polroles) ORDER BY 1), ', '
    ) || coalesce(' USING ' || pg_get_expr(p.polqual, p.polrelid), '')
    || coalesce(' WITH CHECK ' || pg_get_expr(p.polwithcheck, p.polrelid), '')
FROM pg_policy p
WHERE p.polrelid = %s
ORDER BY p.polname COLLATE "C"
"""
_FUNCTIONS = """
SELECT
    p.proname,
    format(
        '%%s(%%s) RETURNS %%s %%s', p.proname, pg_get_function_arguments(p.oid),
        pg_get_function_result(p.oid),
        concat_ws(
            ' ', 'LANGUAGE ' || l.lanname,
            CASE p.provolatile WHEN 's' THEN 'STABLE' WHEN 'i' THEN 'IMMUTABLE' END,
            CASE WHEN p.prosecdef THEN 'SECURITY DEFINER' END,
            'SET ' || array_to_string(p.proconfig, ' SET ')
        )
    )
FROM pg_proc p
JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = current_schema()::regnamespace
ORDER BY p.proname COLLATE "C", p.oid
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the catalogs tell it; an identity is a default of that name."""

    type: str
    is_not_null: bool
    default: str | None

    def __str__(self) -> str:
        not_null = " NOT NULL" if self.is_not_null else ""
        default = f" DEFAULT {self.default}" if self.default is not None else ""
        return f"{self.type}{not_null}{default}"


@dataclass(frozen=True, slots=True)
class Table:
    """A table and what hangs on it, each by name. `options` are storage parameters."""

    columns: dict[str, Column]
    constraints: dict[str, str]
    indexes: dict[str, str]
    triggers: dict[str, str]
    policies: dict[str, str]
    is_row_secured: bool
    partition_key: str | None
    partition_of: str | None
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables and the functions' signatures of a database's current schema."""

    tables: dict[str, Table] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """The schema for reading, in the SQL that one would write for it."""
        parts = ["\n".join(_table_lines(name, table)) for name, table in self.tables.items()]
        functions = [f"-- {signature}" for signature in self.functions.values()]
        return "\n\n".join([*parts, "\n".join(functions)]) + "\n"


def read_schema(connection: Connection) -> Schema:
    """Read the catalogs of the connection's current schema."""
    tables: dict[str, Table] = {}
    for oid, name, is_row_secured, key, parent, options in connection.execute(_TABLES).fetchall():
        columns = {
            column: Column(kind, not_null, default)
            for column, kind, not_null, default in connection.execute(_COLUMNS, [oid])
        }
        tables[name] = Table(
            columns=columns,
            constraints=_named(connection, _CONSTRAINTS, oid),
            indexes=_named(connection, _INDEXES, oid),
            triggers=_named(connection, _TRIGGERS, oid),
            policies=_named(connection, _POLICIES, oid),
            is_row_secured=is_row_secured,
            partition_key=key,
            partition_of=parent,
            options=tuple(sorted(options)),
        )
    return Schema(tables, dict(connection.execute(_FUNCTIONS, []).fetchall()))


def _named(connection: Connection, query: str, oid: int) -> dict[str, str]:
    return dict(connection.execute(query, [oid]).fetchall())


def _table_lines(name: str, table: Table) -> Iterator[str]:
    if table.partition_of is not None:
        yield f"CREATE TABLE {name} PARTITION OF {table.partition_of};"
    else:
        yield f"CREATE TABLE {name} ("
        inside = [f"    {column} {definition}" for column, definition in table.columns.items()]
        inside += [f"    CONSTRAINT {key} {text}" for key, text in table.constraints.items()]
        yield ",\n".join(inside)
        partitioned = f" PARTITION BY {table.partition_key}" if table.partition_key else ""
        options = f" WITH ({', '.join(table.options)})" if table.options else ""
        yield f"){partitioned}{options};"
    yield from (f"{text};" for text in table.indexes.values())
    yield from (f"{text};" for text in table.triggers.values())
    if table.is_row_secured:
        yield f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;"
    yield from (f"-- policy {key}: {text}" for key, text in table.policies.items())
