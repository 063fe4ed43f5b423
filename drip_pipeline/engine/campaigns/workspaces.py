"""Find the workspace that a command refers to; set the time zone of its metrics and the country of
its phone numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Final
from uuid import UUID

from drip_pipeline.db.campaigns import workspaces as workspaces_db
from drip_pipeline.db.campaigns.workspaces import ListedWorkspace
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.domain.addresses import is_region
from drip_pipeline.domain.conditions.time_zones import iana_name
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.errors import NotAllowed

DEFAULT_WORKSPACE: Final = "default"


def workspace_named(connection: Connection, name: str | None) -> UUID:
    """Return the workspace of that name, created if it does not exist.

    Without a name, return the only workspace that the demo did not create, or create one called
    `default`. Raises NotAllowed if several match.
    """
    workspaces = publish_db.workspaces(connection, name)
    if len(workspaces) == 1:
        return workspaces[0].id
    if not workspaces:
        return publish_db.insert_workspace(connection, name or DEFAULT_WORKSPACE)
    if name is not None:
        raise NotAllowed(
            f"{len(workspaces)} workspaces are named {name!r}", hint="Rename one of them first."
        )
    names = ", ".join(repr(row.name) for row in workspaces[:5])
    raise NotAllowed(
        f"several workspaces exist: {names}{', …' if len(workspaces) > 5 else ''}",
        hint="Name one with --workspace.",
    )


@dataclass(frozen=True, slots=True)
class TimeZoneChange:
    """A workspace whose time zone was set. `stale_days`: days whose metrics must be recomputed, 0
    if the time zone is unchanged.
    """

    workspace: str
    time_zone: str
    before: str
    stale_days: int


def set_time_zone(
    database: Database,
    name: str | None,
    time_zone: str,
    *,
    now: datetime,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> TimeZoneChange:
    """Set the time zone of a workspace (without a name: the only one); its metrics become stale.

    Raises NotAllowed for an unknown time zone or workspace.
    """
    with database.transaction() as connection:
        zones = workspaces_db.time_zones(connection)
        time_zone = iana_name(time_zone) or time_zone
        if time_zone not in zones:
            near = get_close_matches(time_zone, zones, n=3)
            hint = f"Did you mean {' or '.join(near)}?" if near else "As in Europe/Berlin."
            raise NotAllowed(f"unknown time zone {time_zone!r}", hint=hint)
        workspace_id = existing_workspace(connection, name)
        before = _listed(connection, workspace_id)
        workspaces_db.set_time_zone(connection, workspace_id, time_zone)
        if before.time_zone != time_zone:
            audit.record(
                connection,
                actor,
                "set_time_zone",
                audit.Subject("workspace", workspace_id, workspace_id, before.workspace),
                now=now,
                reason=reason,
                details={"before": before.time_zone, "after": time_zone},
            )
        days = workspaces_db.count_stale_days(connection, workspace_id)
        return TimeZoneChange(before.workspace, time_zone, before.time_zone, days)


def _listed(connection: Connection, workspace_id: UUID) -> ListedWorkspace:
    return next(row for row in workspaces_db.listed(connection) if row.workspace_id == workspace_id)


def existing_workspace(connection: Connection, name: str | None) -> UUID:
    """Return the workspace of that name, or the only one. Raises NotAllowed."""
    if not publish_db.workspaces(connection, name):
        what = "no workspace exists yet" if name is None else f"unknown workspace {name!r}"
        raise NotAllowed(what, hint="`drip workspace list` shows all workspaces.")
    return workspace_named(connection, name)


def region_of(connection: Connection, name: str | None) -> str | None:
    """Return the country of national phone numbers in the workspace of that name, or in the only
    one; None if it does not exist yet or has none.
    """
    workspaces = publish_db.workspaces(connection, name)
    if len(workspaces) != 1:
        return None
    return workspaces_db.regions(connection, [workspaces[0].id])[workspaces[0].id]


def set_region(
    database: Database,
    name: str | None,
    region: str,
    *,
    now: datetime,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> str:
    """Set the country of a workspace's phone numbers without a country code, as an ISO 3166 code.

    Return the code in capitals. Raises NotAllowed for an unknown country or workspace.
    """
    code = region.strip().upper()
    if not is_region(code):
        raise NotAllowed(f"unknown country {region!r}", hint="Give an ISO 3166 code such as DE.")
    with database.transaction() as connection:
        workspace_id = existing_workspace(connection, name)
        before = _listed(connection, workspace_id)
        workspaces_db.set_region(connection, workspace_id, code)
        if before.region != code:
            audit.record(
                connection,
                actor,
                "set_region",
                audit.Subject("workspace", workspace_id, workspace_id, before.workspace),
                now=now,
                reason=reason,
                details={"before": before.region, "after": code},
            )
    return code
