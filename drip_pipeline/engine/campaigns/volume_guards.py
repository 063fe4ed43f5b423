"""The agreed size of a workspace, and the confirmation of entries by a campaign's trigger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from drip_pipeline.db.campaigns import workspace_rules as rules_db
from drip_pipeline.db.connection import Database
from drip_pipeline.db.enrollment import guards as guards_db
from drip_pipeline.domain.graph.volume import CONFIRM_ABOVE
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.campaigns.campaign import find_campaign
from drip_pipeline.engine.campaigns.workspaces import existing_workspace
from drip_pipeline.errors import NotAllowed

GUARD: Final = "guard"


@dataclass(frozen=True, slots=True)
class WorkspaceGuard:
    """The agreed size of a workspace: more enrollments at once, or by one trigger a day, have to be
    confirmed. None: never. `continued`: triggers that are checked again."""

    workspace_id: UUID
    confirm_above: int | None
    is_default: bool = False
    is_changed: bool = False
    continued: int = 0


def workspace_guard(database: Database, workspace: str | None) -> WorkspaceGuard:
    """Return the agreed size of a workspace. Raises NotAllowed for an unknown workspace."""
    with database.transaction(is_read_only=True) as connection:
        workspace_id = existing_workspace(connection, workspace)
        rows = rules_db.rules(connection, [workspace_id])
    stored = next((row.config for row in rows if row.kind == GUARD), None)
    if stored is None:
        return WorkspaceGuard(workspace_id, CONFIRM_ABOVE, is_default=True)
    return WorkspaceGuard(workspace_id, stored["confirm_above"])


def set_workspace_guard(
    database: Database,
    workspace: str | None,
    confirm_above: int | None,
    *,
    now: datetime,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> WorkspaceGuard:
    """Set the agreed size of a workspace; None asks for no confirmation.

    Raises NotAllowed for an unknown workspace, or a size below 1.
    """
    if confirm_above is not None and confirm_above < 1:
        raise NotAllowed("the agreed size must be at least 1", hint="--off switches it off.")
    with database.transaction() as connection:
        workspace_id = existing_workspace(connection, workspace)
        is_changed = rules_db.store(
            connection,
            workspace_id,
            kind=GUARD,
            name=GUARD,
            config={"confirm_above": confirm_above},
            now=now,
        )
        continued = guards_db.continue_entries(connection, workspace_id) if is_changed else 0
        if is_changed:
            audit.record(
                connection,
                actor,
                "set_guard",
                audit.Subject("workspace", workspace_id, workspace_id, workspace),
                now=now,
                reason=reason,
                details={"confirm_above": confirm_above},
            )
    return WorkspaceGuard(workspace_id, confirm_above, is_changed=is_changed, continued=continued)


@dataclass(frozen=True, slots=True)
class EntryConfirmation:
    """Enrollments a day that the entry trigger of a campaign may make."""

    campaign_id: UUID
    campaign: str
    size: int
    is_changed: bool


def confirm_entries(
    database: Database,
    campaign: str | UUID,
    size: int,
    *,
    now: datetime,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> EntryConfirmation:
    """Let the entry trigger of a campaign enroll so many contacts a day, from now on.

    Raises CampaignNotFound, CampaignAmbiguous.
    """
    with database.transaction() as connection:
        target = find_campaign(connection, campaign)
        is_changed = guards_db.confirm_entries(
            connection, target.campaign_id, target.workspace_id, size
        )
        if is_changed:
            audit.record(
                connection,
                actor,
                "confirm_entries",
                target.subject,
                now=now,
                reason=reason,
                details={"size": size},
            )
    return EntryConfirmation(target.campaign_id, target.name, size, is_changed)
