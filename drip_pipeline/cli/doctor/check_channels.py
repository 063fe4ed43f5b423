"""Checks of the channels and of the sender rules, for `drip doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, Literal

from drip_pipeline.channels.protocol import Severity
from drip_pipeline.cli.doctor.check_result import CheckResult
from drip_pipeline.cli.framework.command import Invocation

_STATES: Final[dict[Severity, Literal["ok", "warning", "failure"]]] = {
    Severity.OK: "ok",
    Severity.WARNING: "warning",
    Severity.ERROR: "failure",
}


def check_channels(invocation: Invocation) -> Iterator[CheckResult]:
    """Every way out connects and authenticates; nothing is sent, and no server is started."""
    from drip_pipeline.engine.transports.diagnostics import look_at_channels

    database = invocation.database if has_database(invocation) else None
    for look in look_at_channels(invocation.settings, database, now=datetime.now(UTC)):
        told = f"{look.about}: {look.finding.message}"
        yield CheckResult("channels", _STATES[look.finding.severity], told)


def check_sender(invocation: Invocation) -> Iterator[CheckResult]:
    """The rules for senders of bulk mail, as far as they can be seen from here."""
    from drip_pipeline.engine.transports.diagnostics import look_at_sender

    for look in look_at_sender(invocation.settings):
        yield CheckResult("sender", _STATES[look.finding.severity], look.finding.message)


def has_database(invocation: Invocation) -> bool:
    """Whether there is one to look into without starting it."""
    if invocation.settings.database_url is not None:
        return True
    from drip_pipeline.db.embedded.server import EmbeddedServer

    return EmbeddedServer.from_settings(invocation.settings).status().is_running
