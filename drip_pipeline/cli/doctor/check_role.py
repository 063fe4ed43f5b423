"""Checks of the database role and of the server's clock, for `drip doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from drip_pipeline.cli.doctor.check_channels import has_database
from drip_pipeline.cli.doctor.check_result import CheckResult
from drip_pipeline.cli.framework.command import Invocation

if TYPE_CHECKING:
    from drip_pipeline.db.connection import Connection
    from drip_pipeline.db.database_role import DatabaseRole

_CLOCK_TOLERANCE: Final = timedelta(minutes=1)
_SHOWN_TABLES: Final = 5


def check_role(invocation: Invocation) -> Iterator[CheckResult]:
    """Check the rights and time limits of the role, and the server's clock. Starts no server."""
    from drip_pipeline.db.database_role import database_role
    from drip_pipeline.db.server_info import server_clock

    if not has_database(invocation):
        return
    with invocation.database.transaction() as connection:
        before = _now()
        server_time = server_clock(connection)
        after = _now()
        role = database_role(connection)
        results = [*_check_rights(connection, role), *_check_time_limits(connection, role)]
        open_tables = [*_check_public_roles(connection)]
    yield from results
    yield from open_tables
    yield from _check_clock(server_time, before, after)
    if not results:
        message = f"{role.role_name} has the rights and the time that the engine needs"
        yield CheckResult("role", "ok", message)


def _now() -> datetime:
    return datetime.now(UTC)


def _check_rights(connection: Connection, role: DatabaseRole) -> Iterator[CheckResult]:
    from drip_pipeline.db.database_role import written_tables
    from drip_pipeline.db.migration_files import table_names

    tables = written_tables(connection, table_names())
    missing = [table.name for table in tables if not table.is_writable]
    grant = (
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {role.schema_name}"
        f" TO {role.role_name};"
    )
    if missing and len(missing) == len(tables):
        message = f"the role {role.role_name} is read-only: it may write to no table of the engine"
        yield CheckResult("role", "failure", message, grant)
        return
    if missing:
        shown = ", ".join(missing[:_SHOWN_TABLES])
        more = f" and {len(missing) - _SHOWN_TABLES} more" if missing[_SHOWN_TABLES:] else ""
        message = f"the role {role.role_name} may not write to {shown}{more}"
        hint = f"The receiver's role needs no more; for any other: {grant}"
        yield CheckResult("role", "warning", message, hint)
    if not role.may_create_temporary:
        message = f"the role {role.role_name} may not create temporary tables, as imports do"
        hint = f"GRANT TEMPORARY ON DATABASE {role.database_name} TO {role.role_name};"
        yield CheckResult("role", "failure", message, hint)


def _check_public_roles(connection: Connection) -> Iterator[CheckResult]:
    from drip_pipeline.db.database_role import tables_open_to_public_roles
    from drip_pipeline.db.migration_files import table_names

    tables = tables_open_to_public_roles(connection, table_names())
    for names, what, statement in (
        (
            [table.name for table in tables if table.has_open_rows],
            "reach without row-level security",
            "ALTER TABLE … ENABLE ROW LEVEL SECURITY; for each, and policies (docs/supabase.md).",
        ),
        (
            [table.name for table in tables if table.may_truncate],
            "truncate",
            "REVOKE TRUNCATE, REFERENCES, TRIGGER ON {} FROM anon, authenticated;",
        ),
    ):
        if names:
            message = f"anon or authenticated can {what}: {', '.join(names)}"
            yield CheckResult(
                "public roles", "warning", message, statement.format(", ".join(names))
            )


def _check_time_limits(connection: Connection, role: DatabaseRole) -> Iterator[CheckResult]:
    from drip_pipeline.db.database_role import SHORTEST_LIMITS, short_time_limits

    for limit in short_time_limits(connection):
        needed = SHORTEST_LIMITS[limit.name]
        message = (
            f"{limit.name} is {limit.milliseconds} ms for the role {role.role_name}; the engine"
            f" needs {needed} ms or no limit"
        )
        hint = (
            f"Take {limit.name} out of DRIP_DATABASE_URL."
            if limit.source in ("client", "session")
            else f"ALTER ROLE {role.role_name} SET {limit.name} = {needed};"
        )
        yield CheckResult("role", "failure", message, hint)


def _check_clock(server_time: datetime, before: datetime, after: datetime) -> Iterator[CheckResult]:
    if before - _CLOCK_TOLERANCE <= server_time <= after + _CLOCK_TOLERANCE:
        return
    is_ahead = server_time > after
    apart = server_time - after if is_ahead else before - server_time
    direction = "ahead of" if is_ahead else "behind"
    yield CheckResult(
        "clock",
        "failure",
        f"the database server's clock is {apart.total_seconds():,.0f} s {direction} this machine's",
        "Synchronize both (NTP): due times are of this machine, times of new rows of the server.",
    )
