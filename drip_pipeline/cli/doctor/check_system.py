"""Checks of the ground: settings, server, schema. A check takes an Invocation and yields Findings;
the registry in `doctor.py` names it.
"""

from __future__ import annotations

from collections.abc import Iterator

from drip_pipeline.cli.doctor.check_result import CheckResult
from drip_pipeline.cli.framework.command import Invocation
from drip_pipeline.settings import environment_variables_unknown


def check_settings(invocation: Invocation) -> Iterator[CheckResult]:
    """Variables nobody reads are likely misspelled; some settings only make sense together."""
    settings = invocation.settings
    unknown = environment_variables_unknown()
    for name in unknown:
        yield CheckResult("settings", "warning", f"{name} is set, but no setting has that name")
    if settings.delivery == "send" and settings.smtp_url is None:
        yield CheckResult(
            "settings",
            "warning",
            "DRIP_DELIVERY is `send` and DRIP_SMTP_URL is not set: email cannot leave",
            "Set DRIP_SMTP_URL, or DRIP_DELIVERY=record.",
        )
    if settings.delivery == "send" and settings.public_url.startswith("http://localhost"):
        yield CheckResult(
            "settings",
            "warning",
            "DRIP_PUBLIC_URL points at this machine: links in real messages will not work",
            "Set it to an address that recipients can reach.",
        )
    if not unknown:
        yield CheckResult("settings", "ok", "every DRIP_ variable is known")


def check_database(invocation: Invocation) -> Iterator[CheckResult]:
    """The server answers and the schema is current. Nothing is started for it."""
    from drip_pipeline.db.embedded.server import EmbeddedServer
    from drip_pipeline.db.migrate import status
    from drip_pipeline.db.server_info import server_version

    if invocation.settings.database_url is None:
        server = EmbeddedServer.from_settings(invocation.settings).status()
        if not server.is_running:
            state = "is stopped" if server.is_installed else "was never started"
            yield CheckResult(
                "database",
                "warning",
                f"the embedded PostgreSQL {state}",
                "`drip db start` starts it; commands that need it do so by themselves.",
            )
            return
    version = server_version(invocation.database)
    yield CheckResult("database", "ok", f"PostgreSQL {version} answers")
    schema = status(invocation.database)
    if schema.is_current:
        yield CheckResult("schema", "ok", f"at version {schema.version}, nothing to apply")
    for name in (*schema.edited, *schema.unknown):
        yield CheckResult(
            "schema",
            "failure",
            f"{name} differs between the database and sql/migrations/",
        )
    missing = [*schema.pending, *schema.functions]
    if missing:
        yield CheckResult(
            "schema", "failure", f"not applied: {', '.join(missing)}", "Run `drip db migrate`."
        )
