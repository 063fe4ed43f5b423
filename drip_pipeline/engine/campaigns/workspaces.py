"""Which workspace a command is about (the named one, the only one, or a new one), and the time zone
by which its days are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final
from uuid import UUID

from drip_pipeline.db.campaigns import workspaces as workspaces_db
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.errors import NotAllowed

DEFAULT_WORKSPACE: Final = "default"


def workspace_named(connection: Connection, name: str | None) -> UUID:
    """The workspace of that name, made if there is none; without a name the only one there is, or a
    new one called `default`.

    Raises NotAllowed when several could be meant.
    """
    found = publish_db.workspaces(connection, name)
    if len(found) == 1:
        return found[0].id
    if not found:
        return publish_db.insert_workspace(connection, name or DEFAULT_WORKSPACE)
    if name is not None:
        raise NotAllowed(
            f"{len(found)} workspaces are named {name!r}", hint="Rename one of them first."
        )
    names = ", ".join(repr(row.name) for row in found[:5])
    raise NotAllowed(
        f"there are several workspaces: {names}{', …' if len(found) > 5 else ''}",
        hint="Name one with --workspace.",
    )


@dataclass(frozen=True, slots=True)
class MovedWorkspace:
    """A workspace whose time zone was set. `days_to_count`: days of its figures that have to be
    counted anew; none when the zone is what it was.
    """

    workspace: str
    time_zone: str
    before: str
    days_to_count: int


def set_time_zone(database: Database, name: str | None, time_zone: str) -> MovedWorkspace:
    """Set the time zone of a workspace (the only one, when none is named) and mark its days to be
    counted anew.

    Raises NotAllowed for a zone or a workspace that is not there.
    """
    with database.transaction() as connection:
        known = workspaces_db.time_zones(connection)
        if time_zone not in known:
            near = get_close_matches(time_zone, known, n=3)
            hint = f"Did you mean {' or '.join(near)}?" if near else "As in Europe/Berlin."
            raise NotAllowed(f"there is no time zone {time_zone!r}", hint=hint)
        if not publish_db.workspaces(connection, name):
            what = "there is no workspace yet" if name is None else f"no workspace {name!r}"
            raise NotAllowed(what, hint="`drip workspace list` shows what there is.")
        workspace_id = workspace_named(connection, name)
        before = next(
            row for row in workspaces_db.listed(connection) if row["workspace_id"] == workspace_id
        )
        workspaces_db.set_time_zone(connection, workspace_id, time_zone)
        days = workspaces_db.marked_days(connection, workspace_id)
        return MovedWorkspace(before["workspace"], time_zone, before["time_zone"], days)
