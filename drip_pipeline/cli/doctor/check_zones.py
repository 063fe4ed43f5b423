"""The check of the database's time zones, for `drip doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from drip_pipeline.cli.doctor.check_result import CheckResult
from drip_pipeline.cli.framework.command import Invocation


def check_zones(invocation: Invocation) -> Iterator[CheckResult]:
    """Compare the time zones of workspaces in the database with the engine's. Starts no server."""
    from drip_pipeline.db.embedded.server import EmbeddedServer
    from drip_pipeline.db.migrate import status
    from drip_pipeline.engine.campaigns.zone_differences import zone_differences

    settings = invocation.settings
    server = EmbeddedServer.from_settings(settings) if settings.database_url is None else None
    if server is not None and not server.status().is_running:
        return
    if status(invocation.database).pending:
        return  # reported by the check of the schema
    with invocation.database.transaction(is_read_only=True) as connection:
        differences = zone_differences(connection, datetime.now(UTC))
    for difference in differences:
        yield CheckResult(
            "time zones",
            "warning",
            difference.describe(),
            "Update PostgreSQL (its time zone data) or drip (the package tzdata): until then the"
            " days of the daily metrics change at another hour than the contacts' clocks."
            if difference.first_day
            else "Set a known one with `drip workspace zone`.",
        )
    if not differences:
        yield CheckResult("time zones", "ok", "the database computes the workspaces' days as drip")
