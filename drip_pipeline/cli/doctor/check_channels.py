"""Checks of the channels and of the rules for senders, for `drip doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from drip_pipeline.channels.protocol import Severity
from drip_pipeline.cli.doctor.check_result import CheckResult, CheckState
from drip_pipeline.cli.framework.command import Invocation

_STATES: Final[dict[Severity, CheckState]] = {
    Severity.OK: "ok",
    Severity.WARNING: "warning",
    Severity.ERROR: "failure",
}


def check_channels(invocation: Invocation) -> Iterator[CheckResult]:
    """Check that every transport connects and authenticates. Sends nothing, starts no server."""
    from drip_pipeline.engine.transports.diagnostics import diagnose_channels

    database = invocation.database if has_database(invocation) else None
    for check in diagnose_channels(invocation.settings, database, now=datetime.now(UTC)):
        message = f"{check.about}: {check.finding.message}"
        yield CheckResult("channels", _STATES[check.finding.severity], message)


def check_sender(invocation: Invocation) -> Iterator[CheckResult]:
    """Check the rules for bulk senders that can be checked from this machine."""
    from drip_pipeline.engine.transports.diagnostics import diagnose_sender

    for check in diagnose_sender(invocation.settings):
        yield CheckResult("sender", _STATES[check.finding.severity], check.finding.message)


def has_database(invocation: Invocation) -> bool:
    """Return whether a database can be queried without starting a server."""
    if invocation.settings.database_url is not None:
        return True
    from drip_pipeline.db.embedded.server import EmbeddedServer

    return EmbeddedServer.from_settings(invocation.settings).status().is_running
