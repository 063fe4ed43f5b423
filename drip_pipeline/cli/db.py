"""`drip db …`: the schema, and the embedded server."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.errors import NotAllowed

OWN_SERVER = "DRIP_DATABASE_URL is set, and drip does not start or stop that server"


@click.group()
def db() -> None:
    """Manage the schema and the embedded PostgreSQL server."""


@command(db)
def migrate(invocation: Invocation) -> CommandResult:
    """Apply pending migrations.

    Also takes over the campaigns of an existing database. Can be repeated safely.
    """
    from drip_pipeline.db.migrate import migrate as migrate_database
    from drip_pipeline.engine.publishing.adopt_legacy import adopt_legacy
    from drip_pipeline.engine.publishing.publish_options import PublishOptions

    report = migrate_database(invocation.database)
    options = PublishOptions(
        now=datetime.now(UTC), settings=invocation.settings, actor=invocation.actor
    )
    legacy = adopt_legacy(invocation.database, options)
    applied = f"applied {', '.join(report.applied)}" if report.applied else "nothing to apply"
    lines = [f"{applied}; the schema is at version {report.version}"]
    lines += [f"took over {one.name!r} with {one.states:,} enrollments" for one in legacy.adopted]
    lines += [
        f"could not take over {name!r}: {'; '.join(reasons)}"
        for name, reasons in legacy.refused.items()
    ]
    if report.open_tables:
        lines.append(
            "row-level security is off, and anon or authenticated can read or write: "
            f"{', '.join(report.open_tables)}; enable it, or revoke their privileges"
        )
    data = {
        **asdict(report),
        "adopted": [asdict(one) for one in legacy.adopted],
        "refused": legacy.refused,
    }
    return CommandResult(data, "\n".join(lines))


@command(db)
def status(invocation: Invocation) -> CommandResult:
    """Show the state of the server and of the migrations. Does not start the server."""
    from drip_pipeline.db.embedded.server import EmbeddedServer

    settings = invocation.settings
    data: dict[str, object] = {"server": "your own", "is_running": True}
    if settings.database_url is None:
        server = EmbeddedServer.from_settings(settings).status()
        data = {
            "server": "embedded",
            "is_running": server.is_running,
            "pid": server.pid,
            "port": server.port,
            "data_folder": server.data_folder,
        }
    if data["is_running"]:
        data |= _schema_status(invocation)
    return CommandResult(data)


@command(db)
def url(invocation: Invocation) -> CommandResult:
    """Print a database URL for psql. Starts the embedded server if it is stopped."""
    address = invocation.database.url
    return CommandResult({"url": address}, address)


@command(db)
def start(invocation: Invocation) -> CommandResult:
    """Start the embedded server, and create it the first time. Does not migrate."""
    from drip_pipeline.db.embedded.server import EmbeddedServer

    if invocation.settings.database_url is not None:
        raise NotAllowed(OWN_SERVER)
    server = EmbeddedServer.from_settings(invocation.settings)
    server.ensure_running()
    state = server.status()
    return CommandResult(state, f"PostgreSQL {state.version} is running on port {state.port}")


@command(db)
def stop(invocation: Invocation) -> CommandResult:
    """Stop the embedded server."""
    from drip_pipeline.db.embedded.server import EmbeddedServer

    if invocation.settings.database_url is not None:
        raise NotAllowed(OWN_SERVER)
    was_running = EmbeddedServer.from_settings(invocation.settings).stop()
    return CommandResult(
        {"was_running": was_running}, "stopped" if was_running else "was not running"
    )


def _schema_status(invocation: Invocation) -> dict[str, object]:
    from drip_pipeline.db.migrate import status as schema_status
    from drip_pipeline.db.server_info import server_version

    schema = schema_status(invocation.database)
    return {
        "server_version": server_version(invocation.database),
        "schema_version": schema.version,
        "is_current": schema.is_current,
        "pending": list(schema.pending),
        "edited": list(schema.edited),
        "unknown": list(schema.unknown),
        "changed_functions": list(schema.functions),
    }
