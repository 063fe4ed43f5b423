"""`drip alerts …`: what needs a person, and whether they can be told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import now_option


@click.group(help="Incidents: what is open, a look now, and a trial of the ways of telling.")
def alerts() -> None:
    """Commands of alerts."""


@command(alerts, name="list")
@click.option("--all", "is_all", is_flag=True, help="Those that are over too.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
def list_(invocation: Invocation, is_all: bool, limit: int) -> CommandResult:
    """List open incidents, with what to do and whom they were told."""
    from drip_pipeline.db.operations import incidents as incidents_db

    with invocation.database.transaction(is_read_only=True) as connection:
        rows = incidents_db.listed(connection, is_all=is_all, limit=limit)
    if not rows:
        return CommandResult(rows, "no incident is open" if not is_all else "there was none")
    shown = [{**row, "told": _told(row["notices"])} for row in rows]
    columns = ["opened_at", "resolved_at", "sentence", "what_to_do", "told"]
    return CommandResult(
        rows, table(shown, columns if is_all else [c for c in columns if c[0] != "r"])
    )


@command(alerts)
@now_option
def check(invocation: Invocation, now: datetime) -> CommandResult:
    """Look now and tell of what is new, as Dagster's sensor does every minute. Exit code 1 when
    something could not be told.
    """
    from drip_pipeline.engine.operations.alerts import watch

    seen = watch(invocation.database, invocation.settings, now=now)
    told = (
        f"{seen.opened} incidents new, {seen.resolved} over, {seen.told} notices told,"
        f" {seen.failed} not told"
    )
    lines = [told, *seen.errors]
    return CommandResult(seen, "\n".join(lines), exit_code=1 if seen.failed else 0)


@command(alerts)
@now_option
def test(invocation: Invocation, now: datetime) -> CommandResult:
    """Send a trial alert by every way that is set up. Exit code 1 when one fails."""
    from drip_pipeline.engine.operations.alerts import trial

    results = trial(invocation.settings, now=now)
    rows = [{"way": way, "result": error or "told"} for way, error in results.items()]
    if not rows:
        hint = "none is set up: DRIP_DELIVERY=send, with DRIP_ALERT_TO or DRIP_ALERT_WEBHOOK"
        return CommandResult({}, hint, exit_code=1)
    failed = any(results.values())
    return CommandResult(results, table(rows), exit_code=1 if failed else 0)


def _told(notices: list[dict[str, Any]]) -> str:
    told = [n["route"] if n["notified_at"] else f"{n['route']} failed" for n in notices]
    return ", ".join(told) or "nobody"
