"""`drip alerts …`: incidents and their notifications."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import now_option

if TYPE_CHECKING:
    from rich.console import RenderableType

    from drip_pipeline.db.operations.incidents import ListedIncident, NoticeState


@click.group()
def alerts() -> None:
    """List incidents, check for new ones, and test the notifications."""


@command(alerts, name="list")
@click.option("--all", "is_all", is_flag=True, help="Include resolved incidents.")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="Maximum number of incidents.",
)
def list_(invocation: Invocation, is_all: bool, limit: int) -> CommandResult:
    """List open incidents with their next steps and notifications."""
    from drip_pipeline.db.operations import incidents as incidents_db

    with invocation.database.transaction(is_read_only=True) as connection:
        rows = incidents_db.listed(connection, is_all=is_all, limit=limit)
    if not rows:
        return CommandResult(rows, "no incidents" if is_all else "no open incidents")
    records = [{**row._asdict(), "notified": _describe_notices(row.notices)} for row in rows]
    columns = ["opened_at", "resolved_at", "sentence", "what_to_do", "notified"]
    if not is_all:
        columns.remove("resolved_at")
    return CommandResult(rows, _with_contacts(rows, table(records, columns)))


@command(alerts)
@now_option
def check(invocation: Invocation, now: datetime) -> CommandResult:
    """Check for incidents, and send notifications.

    The Dagster sensor does this every minute. Exits with code 1 if a notification failed.
    """
    from drip_pipeline.engine.operations.alerts import watch

    report = watch(invocation.database, invocation.settings, now=now)
    summary = (
        f"{report.opened} new incidents, {report.resolved} resolved,"
        f" {report.notified} notifications sent, {report.failed} failed"
    )
    text = "\n".join([summary, *report.errors])
    return CommandResult(report, text, exit_code=1 if report.failed else 0)


@command(alerts)
@now_option
def test(invocation: Invocation, now: datetime) -> CommandResult:
    """Send a test notification by every configured route. Exits with code 1 if one fails."""
    from drip_pipeline.engine.operations.alerts import send_test_notifications

    results = send_test_notifications(invocation.settings, now=now)
    rows = [{"route": route, "result": error or "sent"} for route, error in results.items()]
    if not rows:
        hint = (
            "no route is configured: set DRIP_DELIVERY=send, and DRIP_ALERT_TO or"
            " DRIP_ALERT_WEBHOOK"
        )
        return CommandResult({}, hint, exit_code=1)
    return CommandResult(results, table(rows), exit_code=1 if any(results.values()) else 0)


def _with_contacts(rows: Sequence[ListedIncident], incidents: RenderableType) -> RenderableType:
    """Add the contacts that incidents name, each with its reason."""
    from rich.console import Group

    tables = [
        table(contacts, ["contact_id", "node_id", "reason"], title=row.sentence.partition(".")[0])
        for row in rows
        if isinstance(contacts := row.details.get("contacts"), list)
    ]
    return Group(incidents, *tables) if tables else incidents


def _describe_notices(notices: Sequence[NoticeState]) -> str:
    routes = [
        f"{notice['route']}" if notice["notified_at"] else f"{notice['route']} failed"
        for notice in notices
    ]
    return ", ".join(routes) or "nobody"
