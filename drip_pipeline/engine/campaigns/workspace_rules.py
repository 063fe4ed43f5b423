"""The rules of a workspace for its messages: the lookup of the engine, and their changes.

The engine looks them up once per batch, from a cache of this process that is read again every
half minute. A workspace without rules costs a lookup in a dictionary. Rules of other kinds belong
into `WorkspaceRules`; the eligibility check applies them in delivery/send_rules.py, and frequency
caps in delivery/cap_check.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock
from typing import Final
from uuid import UUID

from pydantic import ValidationError

from drip_pipeline.db.campaigns import workspace_rules as rules_db
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.domain.definition.problems import from_validation
from drip_pipeline.domain.graph.frequency_caps import CAP, FrequencyCap
from drip_pipeline.domain.graph.holdout import HOLDOUT, Holdout, current
from drip_pipeline.domain.graph.windows import QUIET_HOURS, QuietHours
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.campaigns.workspaces import existing_workspace
from drip_pipeline.engine.erased_addresses import RULE
from drip_pipeline.errors import NotAllowed

CACHED_FOR: Final = timedelta(seconds=30)
"""Until a change of the rules is seen by the other processes."""


@dataclass(frozen=True, slots=True)
class WorkspaceRules:
    """The rules of a workspace that has any. `fingerprint` is the sum of those of its caps."""

    quiet_hours: QuietHours | None = None
    holdout: Holdout | None = None
    caps: tuple[FrequencyCap, ...] = ()
    fingerprint: int = 0
    has_erased_suppressions: bool = False


_cache: dict[UUID, tuple[datetime, WorkspaceRules | None]] = {}
_lock = Lock()


def rules_of(
    connection: Connection, workspace_ids: Iterable[UUID], now: datetime
) -> Mapping[UUID, WorkspaceRules]:
    """Return the rules of these workspaces; those without rules are left out."""
    ids = set(workspace_ids)
    with _lock:
        cached = {
            each: entry[1]
            for each in ids
            if (entry := _cache.get(each)) is not None and abs(now - entry[0]) < CACHED_FOR
        }
    missing = ids - cached.keys()
    if missing:
        loaded: dict[UUID, WorkspaceRules | None] = dict.fromkeys(missing)
        for row in rules_db.rules(connection, missing):
            so_far = loaded[row.workspace_id] or WorkspaceRules()
            if row.kind == QUIET_HOURS:
                hours = QuietHours.model_validate(row.config)
                loaded[row.workspace_id] = replace(so_far, quiet_hours=hours)
            elif row.kind == HOLDOUT and (holdout := current(row.config)) is not None:
                loaded[row.workspace_id] = replace(so_far, holdout=holdout)
            elif row.kind == CAP:
                loaded[row.workspace_id] = replace(
                    so_far,
                    caps=(*so_far.caps, FrequencyCap.model_validate(row.config)),
                    fingerprint=so_far.fingerprint + row.fingerprint,
                )
            elif row.kind == RULE:
                loaded[row.workspace_id] = replace(so_far, has_erased_suppressions=True)
        cached |= loaded
        with _lock:
            _cache.update({each: (now, rules) for each, rules in loaded.items()})
    return {each: rules for each, rules in cached.items() if rules is not None}


@dataclass(frozen=True, slots=True)
class QuietHoursChange:
    """The quiet hours of a workspace after a command. `rechecked`: messages that they held, which
    the next tick checks again."""

    workspace_id: UUID
    quiet_hours: Mapping[str, object] | None
    is_changed: bool = False
    rechecked: int = 0


def quiet_hours(database: Database, workspace: str | None) -> QuietHoursChange:
    """Return the quiet hours of a workspace. Raises NotAllowed for an unknown workspace."""
    with database.transaction(is_read_only=True) as connection:
        workspace_id = existing_workspace(connection, workspace)
        rows = rules_db.rules(connection, [workspace_id])
    config = next((row.config for row in rows if row.kind == QUIET_HOURS), None)
    return QuietHoursChange(workspace_id, config)


def set_quiet_hours(
    database: Database,
    workspace: str | None,
    config: Mapping[str, object],
    *,
    now: datetime,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> QuietHoursChange:
    """Set the quiet hours of a workspace; messages that the former ones hold are checked again.

    Raises NotAllowed for an unknown workspace, for times that mean nothing, and for hours that
    never end.
    """
    hours = _valid(config, now)
    stored = hours.model_dump(mode="json", by_alias=True, exclude_none=True)
    with database.transaction() as connection:
        workspace_id = existing_workspace(connection, workspace)
        changed = rules_db.store(
            connection, workspace_id, kind=QUIET_HOURS, name=QUIET_HOURS, config=stored, now=now
        )
        rechecked = 0
        if changed:
            rechecked = rules_db.recheck_held(connection, workspace_id, QUIET_HOURS, now)
            subject = audit.Subject("workspace", workspace_id, workspace_id, workspace)
            audit.record(
                connection,
                actor,
                "set_quiet_hours",
                subject,
                now=now,
                reason=reason,
                details={"quiet_hours": stored, "rechecked": rechecked},
            )
    forget(workspace_id)
    return QuietHoursChange(workspace_id, stored, changed, rechecked)


def clear_quiet_hours(
    database: Database,
    workspace: str | None,
    *,
    now: datetime,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> QuietHoursChange:
    """Remove the quiet hours of a workspace; messages that they hold are checked again."""
    with database.transaction() as connection:
        workspace_id = existing_workspace(connection, workspace)
        changed = rules_db.delete(connection, workspace_id, kind=QUIET_HOURS, name=QUIET_HOURS)
        rechecked = rules_db.recheck_held(connection, workspace_id, QUIET_HOURS, now)
        if changed:
            audit.record(
                connection,
                actor,
                "clear_quiet_hours",
                audit.Subject("workspace", workspace_id, workspace_id, workspace),
                now=now,
                reason=reason,
                details={"rechecked": rechecked},
            )
    forget(workspace_id)
    return QuietHoursChange(workspace_id, None, changed, rechecked)


def forget(workspace_id: UUID) -> None:
    """Drop the rules of a workspace from this process's cache."""
    with _lock:
        _cache.pop(workspace_id, None)


def _valid(config: Mapping[str, object], now: datetime) -> QuietHours:
    try:
        hours = QuietHours.model_validate(config)
    except ValidationError as error:
        problems = from_validation(error, node_id=None, where="", model=QuietHours)
        reasons = "; ".join(problem.message for problem in problems)
        raise NotAllowed(f"invalid quiet hours: {reasons}") from None
    if hours.never_end(now):
        raise NotAllowed(
            "these quiet hours never end: no marketing message would be sent",
            hint="Name a range such as --from 21:00 --to 08:00, or `drip campaign pause`.",
        )
    return hours
