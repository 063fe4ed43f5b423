"""`drip audit`: who did what, when and why."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import parse_time

if TYPE_CHECKING:
    from drip_pipeline.db.operations.audit import ListedAction


@command()
@click.option("--campaign", metavar="C", help="Only operations on this campaign (id or name).")
@click.option("--contact", metavar="EMAIL|ID", help="Only operations on this contact.")
@click.option("--actor", metavar="NAME", help="Only operations of this actor.")
@click.option("--action", metavar="A", help="Only operations of this kind, for example pause.")
@click.option(
    "--since", metavar="ISO", callback=parse_time, help="Only operations at or after this time."
)
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=100,
    show_default=True,
    help="Maximum number of operations.",
)
def audit(
    invocation: Invocation,
    campaign: str | None,
    contact: str | None,
    actor: str | None,
    action: str | None,
    since: datetime | None,
    limit: int,
) -> CommandResult:
    """List what operators and applications changed, latest first: who, when, what and why.

    Operations that changed nothing are not listed. The actor is the NAME of `drip --as NAME …`,
    else DRIP_ACTOR, else the login name; in Dagster, the tag drip/actor of the run.
    """
    from drip_pipeline.engine.operations.audit_trail import audit_trail

    rows = audit_trail(
        invocation.read_database,
        campaign=campaign,
        contact=contact,
        actor=actor,
        action=action,
        since=since,
        limit=limit,
    )
    shown = [_shown(row) for row in rows]
    return CommandResult(rows, table(shown) if shown else "no operations")


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _shown(row: ListedAction) -> dict[str, object]:
    subject = row.object_name or row.object_id or ""
    details = ", ".join(
        f"{name} {_text(value)}"
        for name, value in row.details.items()
        if value not in (None, 0, "", [])
    )
    return {
        "time": row.occurred_at,
        "actor": row.actor,
        "by": row.source,
        "action": row.action,
        "object": f"{row.object_kind} {subject}".strip(),
        "reason": row.reason or "",
        "details": details,
    }
