"""The global holdout of a workspace: set and clear it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from drip_pipeline.db.campaigns import workspace_rules as rules_db
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.domain.graph.holdout import DEFAULT_SALT, HOLDOUT, MOST_PERCENT
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.campaigns.workspace_rules import forget
from drip_pipeline.engine.campaigns.workspaces import existing_workspace
from drip_pipeline.errors import NotAllowed

_LONGEST_SALT = 200


@dataclass(frozen=True, slots=True)
class HoldoutSetting:
    """The holdout of a workspace; `percent` is 0 without one. `is_regrouped`: another salt selects
    other contacts than before."""

    workspace_id: UUID
    percent: float
    salt: str | None
    is_changed: bool = False
    is_regrouped: bool = False


def holdout(database: Database, workspace: str | None) -> HoldoutSetting:
    """Return the holdout of a workspace. Raises NotAllowed for an unknown workspace."""
    with database.transaction(is_read_only=True) as connection:
        workspace_id = existing_workspace(connection, workspace)
        config = stored_rule(connection, workspace_id)
    if config is None:
        return HoldoutSetting(workspace_id, 0, None)
    return HoldoutSetting(workspace_id, config["percent"], config["salt"])


def stored_rule(connection: Connection, workspace_id: UUID) -> Mapping[str, Any] | None:
    """Return the stored rule with its history; None if there never was a holdout."""
    rows = rules_db.rules(connection, [workspace_id])
    return next((row.config for row in rows if row.kind == HOLDOUT), None)


def set_holdout(
    database: Database,
    workspace: str | None,
    percent: float,
    *,
    salt: str | None = None,
    now: datetime,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> HoldoutSetting:
    """Set the share of the holdout in percent; a salt that is not given stays as it is.

    Raises NotAllowed for an unknown workspace, and for a share that is not above 0 and up to 50.
    """
    if not 0 < percent <= MOST_PERCENT:
        raise NotAllowed(
            f"a holdout of {percent:g} % is not possible: it is above 0 and up to 50 %",
            hint="`drip workspace holdout clear` ends the holdout.",
        )
    if salt is not None and not (salt.strip() and len(salt) <= _LONGEST_SALT and "\0" not in salt):
        raise NotAllowed("the salt is a name of up to 200 characters")
    return _store(database, workspace, percent, salt, now, actor, reason)


def clear_holdout(
    database: Database,
    workspace: str | None,
    *,
    now: datetime,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> HoldoutSetting:
    """End the holdout of a workspace; its history stays for the report."""
    return _store(database, workspace, 0, None, now, actor, reason)


def _store(
    database: Database,
    workspace: str | None,
    percent: float,
    salt: str | None,
    now: datetime,
    actor: Actor,
    reason: str | None,
) -> HoldoutSetting:
    with database.transaction() as connection:
        workspace_id = existing_workspace(connection, workspace)
        before = stored_rule(connection, workspace_id)
        if before is None and percent == 0:
            return HoldoutSetting(workspace_id, 0, None)
        salt = salt or (before["salt"] if before else DEFAULT_SALT)
        if before is not None and (before["percent"], before["salt"]) == (percent, salt):
            return HoldoutSetting(workspace_id, percent, salt)
        entry = {"since": now.isoformat(), "salt": salt, "percent": percent}
        changes = [*before["history"], entry] if before else [entry]
        rules_db.store(
            connection,
            workspace_id,
            kind=HOLDOUT,
            name=HOLDOUT,
            config={"percent": percent, "salt": salt, "history": changes},
            now=now,
        )
        audit.record(
            connection,
            actor,
            "set_holdout" if percent else "clear_holdout",
            audit.Subject("workspace", workspace_id, workspace_id, workspace),
            now=now,
            reason=reason,
            details={"percent": percent, "salt": salt},
        )
    forget(workspace_id)
    is_regrouped = before is not None and before["percent"] > 0 and before["salt"] != salt
    return HoldoutSetting(workspace_id, percent, salt, True, is_regrouped)
