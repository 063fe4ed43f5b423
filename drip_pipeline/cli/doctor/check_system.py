"""Checks of the settings, the database server and the schema, for `drip doctor`."""

from __future__ import annotations

from collections.abc import Iterator

from drip_pipeline.cli.doctor.check_result import CheckResult
from drip_pipeline.cli.framework.command import Invocation
from drip_pipeline.errors import DatabaseUnsuitable, DripError
from drip_pipeline.settings import environment_variables_unknown


def check_settings(invocation: Invocation) -> Iterator[CheckResult]:
    """Check for unknown variables, and for settings that contradict each other."""
    settings = invocation.settings
    unknown = environment_variables_unknown()
    for name in unknown:
        yield CheckResult("settings", "warning", f"{name} is not a known setting")
    if settings.delivery == "send" and settings.smtp_url is None:
        yield CheckResult(
            "settings",
            "warning",
            "DRIP_DELIVERY is `send`, but DRIP_SMTP_URL is not set: email cannot be sent",
            "Set DRIP_SMTP_URL, or DRIP_DELIVERY=record.",
        )
    if settings.delivery == "send" and settings.public_url.startswith("http://localhost"):
        yield CheckResult(
            "settings",
            "warning",
            "DRIP_PUBLIC_URL is an address of this machine: recipients cannot open the links",
            "Set it to an address that recipients can reach.",
        )
    if settings.delivery == "send" and settings.alert_to and settings.alert_webhook is None:
        yield CheckResult(
            "settings",
            "warning",
            "alerts are only mailed: an alert about the mail relay goes through the mail relay",
            "Set DRIP_ALERT_WEBHOOK as a second route.",
        )
    if not unknown:
        yield CheckResult("settings", "ok", "all DRIP_ variables are known")


def check_database(invocation: Invocation) -> Iterator[CheckResult]:
    """Check that the server responds and the schema is current. Starts no server."""
    from drip_pipeline.db.embedded.server import EmbeddedServer
    from drip_pipeline.db.migrate import status
    from drip_pipeline.db.requirements import check_requirements
    from drip_pipeline.db.server_info import server_version
    from drip_pipeline.db.standby import check_writable

    if invocation.settings.database_url is None:
        server = EmbeddedServer.from_settings(invocation.settings).status()
        if not server.is_running:
            state = "is stopped" if server.is_installed else "has never been started"
            yield CheckResult(
                "database",
                "warning",
                f"the embedded PostgreSQL {state}",
                "Run `drip db start`; commands that need the server also start it.",
            )
            return
    version = server_version(invocation.database)
    pooled = ", through a pooler in transaction mode" if invocation.database.is_pooled else ""
    yield CheckResult("database", "ok", f"PostgreSQL {version} responds{pooled}")
    try:
        with invocation.database.transaction() as connection:
            check_writable(connection)
            check_requirements(connection)
    except DatabaseUnsuitable as error:
        yield CheckResult("database", "failure", error.message, error.hint or "")
        return
    yield from _check_standby(invocation)
    schema = status(invocation.database)
    if schema.is_current:
        yield CheckResult("schema", "ok", f"at version {schema.version}, nothing to apply")
    for name in (*schema.edited, *schema.unknown):
        yield CheckResult(
            "schema",
            "failure",
            f"schema mismatch: {name} differs between the database and sql/migrations/",
        )
    missing = [*schema.pending, *schema.functions]
    if missing:
        yield CheckResult(
            "schema", "failure", f"not applied: {', '.join(missing)}", "Run `drip db migrate`."
        )


def _check_standby(invocation: Invocation) -> Iterator[CheckResult]:
    """Check that the database of DRIP_READ_DATABASE_URL can be read, and is not too old."""
    from drip_pipeline.db.standby import read_database

    reads = read_database(invocation.settings)
    if reads is None:
        return
    try:
        with reads, reads.transaction():
            pass
    except DripError as error:
        yield CheckResult("standby", "failure", error.message, error.hint or "")
        return
    behind = "at an unknown time" if reads.lag_seconds is None else f"{reads.lag_seconds:.1f} s"
    yield CheckResult("standby", "ok", f"DRIP_READ_DATABASE_URL answers, {behind} behind")
