"""`drip db …`: the schema and the embedded server."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.errors import NotAllowed

OWN_SERVER = "DRIP_DATABASE_URL names a server of your own, which drip neither starts nor stops"


@click.group(help="The database: its schema, and the embedded server.")
def db() -> None:
    """Commands of the database."""


@command(db)
def migrate(invocation: Invocation) -> CommandResult:
    """Bring the schema up to date and take over running campaigns. Safe to repeat."""
    from drip_pipeline.db.migrate import migrate as migrate_database
    from drip_pipeline.engine.publishing.adopt_legacy import adopt_legacy
    from drip_pipeline.engine.runner.factory import AVAILABLE_CHANNELS

    report = migrate_database(invocation.database)
    taken = adopt_legacy(invocation.database, now=datetime.now(UTC), channels=AVAILABLE_CHANNELS)
    done = f"applied {', '.join(report.applied)}; " if report.applied else "nothing to apply; "
    lines = [f"{done}the schema is at version {report.version}"]
    lines += [f"took over {one.name!r} with {one.people} people" for one in taken.adopted]
    lines += [
        f"could not take over {name!r}: {'; '.join(reasons)}"
        for name, reasons in taken.refused.items()
    ]
    data = {
        **asdict(report),
        "adopted": [asdict(one) for one in taken.adopted],
        "refused": taken.refused,
    }
    return CommandResult(data, "\n".join(lines))


@command(db)
def status(invocation: Invocation) -> CommandResult:
    """Show the server and the migrations, starting nothing."""
    from drip_pipeline.db.embedded.server import EmbeddedServer

    settings = invocation.settings
    data: dict[str, Any] = {"server": "your own", "is_running": True}
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
    """Print the URL for psql, starting the embedded server if it is down."""
    found = invocation.database.url
    return CommandResult({"url": found}, found)


@command(db)
def start(invocation: Invocation) -> CommandResult:
    """Start the embedded server; it is made the first time. Does not migrate."""
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


def _schema_status(invocation: Invocation) -> dict[str, Any]:
    from drip_pipeline.db.migrate import status as schema_status
    from drip_pipeline.db.server_info import server_version

    found = schema_status(invocation.database)
    return {
        "server_version": server_version(invocation.database),
        "schema_version": found.version,
        "is_current": found.is_current,
        "pending": list(found.pending),
        "edited": list(found.edited),
        "unknown": list(found.unknown),
        "changed_functions": list(found.functions),
    }
