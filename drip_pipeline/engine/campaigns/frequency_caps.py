"""The frequency caps of a workspace: list, set and remove them.

A cap counts messages from before it was set. Setting one counts them first, then stores the rule,
waits for the transactions that began without it, and counts again what these have sent: from the
end of the command on, nobody gets one message more than the cap. Repeating the command completes
one that was interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import sleep
from typing import Final
from uuid import UUID

from pydantic import ValidationError

from drip_pipeline.db.campaigns import workspace_rules as rules_db
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.delivery import frequency_caps as caps_db
from drip_pipeline.db.delivery.frequency_caps import MessageNode
from drip_pipeline.domain.definition.problems import from_validation
from drip_pipeline.domain.graph.frequency_caps import CAP, FrequencyCap, longest_period
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.campaigns.workspace_rules import forget
from drip_pipeline.engine.campaigns.workspaces import existing_workspace
from drip_pipeline.engine.conflict_retry import retry_on_conflict
from drip_pipeline.engine.progress import Progress
from drip_pipeline.errors import NotAllowed, VersionNotFound

_MARGIN: Final = timedelta(days=1)
_PAUSE_SECONDS: Final = 0.1
_PAUSES: Final = 100
"""How often to look whether the transactions that began before the rule have ended."""


@dataclass(frozen=True, slots=True)
class ListedCaps:
    """The caps of a workspace, by name."""

    workspace_id: UUID
    caps: list[Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class CapChange:
    """A cap after a command; None if it was removed. `counted`: earlier messages that count now.
    `rechecked`: messages that the cap held, which the next tick checks again."""

    workspace_id: UUID
    cap: Mapping[str, object] | None
    is_changed: bool = False
    counted: int = 0
    rechecked: int = 0


@dataclass
class _Counting:
    """Counts earlier messages of a workspace."""

    database: Database
    workspace_id: UUID
    now: datetime
    progress: Progress
    counted: int = field(default=0)

    def count(self, longest: timedelta) -> dict[MessageNode, int]:
        """Count what was sent in the longest period; return the nodes that caps limit, with their
        priorities."""
        since = self.now - longest - _MARGIN
        with self.database.transaction(is_read_only=True) as connection:
            priorities = _priorities(connection, self.workspace_id, since)
        if not priorities:
            return priorities
        nodes = list(priorities)
        # Locks are created in a transaction of their own: nobody waits for them while they count.
        retry_on_conflict(lambda: self._create_locks(nodes, since))
        counted = retry_on_conflict(lambda: self._count(nodes, since))
        self.counted += counted
        self.progress(f"{counted:,} earlier messages counted")
        return priorities

    def _create_locks(self, nodes: list[MessageNode], since: datetime) -> None:
        with self.database.transaction() as connection:
            caps_db.create_locks(connection, nodes, since)

    def _count(self, nodes: list[MessageNode], since: datetime) -> int:
        with self.database.transaction() as connection:
            return caps_db.count_earlier(connection, nodes, since=since, now=self.now)


def frequency_caps(database: Database, workspace: str | None) -> ListedCaps:
    """Return the caps of a workspace. Raises NotAllowed for an unknown workspace."""
    with database.transaction(is_read_only=True) as connection:
        workspace_id = existing_workspace(connection, workspace)
        return ListedCaps(workspace_id, [_file(cap) for cap in _stored(connection, workspace_id)])


def set_cap(
    database: Database,
    workspace: str | None,
    config: Mapping[str, object],
    *,
    now: datetime,
    actor: Actor = LIBRARY,
    reason: str | None = None,
    progress: Progress | None = None,
) -> CapChange:
    """Set a cap of a workspace, by its name. Idempotent.

    Raises NotAllowed for an unknown workspace, and for a cap that means nothing.
    """
    cap = _valid(config)
    stored = _file(cap)
    with database.transaction(is_read_only=True) as connection:
        workspace_id = existing_workspace(connection, workspace)
        others = tuple(each for each in _stored(connection, workspace_id) if each.name != cap.name)
    longest = longest_period((*others, cap))
    counting = _Counting(database, workspace_id, now, progress or (lambda _: None))
    priorities = counting.count(longest)

    def store() -> tuple[bool, int]:
        with database.transaction() as connection:
            changed = rules_db.store(
                connection, workspace_id, kind=CAP, name=cap.name, config=stored, now=now
            )
            rechecked = 0
            if changed:
                rechecked = rules_db.recheck_held(connection, workspace_id, cap.reason, now)
                audit.record(
                    connection,
                    actor,
                    "set_cap",
                    audit.Subject("workspace", workspace_id, workspace_id, workspace),
                    now=now,
                    reason=reason,
                    details={"cap": stored, "rechecked": rechecked},
                )
            caps_db.mark(connection, priorities)
        return changed, rechecked

    changed, rechecked = retry_on_conflict(store)
    forget(workspace_id)
    _wait_for_earlier_transactions(database)
    priorities = counting.count(longest)

    def mark() -> None:
        with database.transaction() as connection:
            caps_db.mark(connection, priorities)

    retry_on_conflict(mark)
    return CapChange(workspace_id, stored, changed, counting.counted, rechecked)


def remove_cap(
    database: Database,
    workspace: str | None,
    name: str,
    *,
    now: datetime,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> CapChange:
    """Remove a cap of a workspace; messages that it holds are checked again. Idempotent."""

    def remove() -> CapChange:
        with database.transaction() as connection:
            workspace_id = existing_workspace(connection, workspace)
            changed = rules_db.delete(connection, workspace_id, kind=CAP, name=name)
            rechecked = rules_db.recheck_held(connection, workspace_id, f"{CAP}:{name}", now)
            if changed:
                audit.record(
                    connection,
                    actor,
                    "remove_cap",
                    audit.Subject("workspace", workspace_id, workspace_id, workspace),
                    now=now,
                    reason=reason,
                    details={"cap": name, "rechecked": rechecked},
                )
            if not _stored(connection, workspace_id):
                caps_db.unmark(connection, workspace_id)
        forget(workspace_id)
        return CapChange(workspace_id, None, changed, rechecked=rechecked)

    return retry_on_conflict(remove)


def delete_uncounted_sends(database: Database, now: datetime, chunk_size: int) -> int:
    """Delete the messages that no cap of any workspace counts any more; return their number."""
    with database.transaction(is_read_only=True) as connection:
        caps = tuple(FrequencyCap.model_validate(config) for config in caps_db.configs(connection))
    before = now - longest_period(caps) - (_MARGIN if caps else timedelta(0))
    total = 0
    while True:
        with database.transaction() as connection:
            rows = caps_db.delete_old(connection, before, chunk_size)
        total += rows
        if rows < chunk_size:
            return total


def _stored(connection: Connection, workspace_id: UUID) -> list[FrequencyCap]:
    return [
        FrequencyCap.model_validate(row.config)
        for row in rules_db.rules(connection, [workspace_id])
        if row.kind == CAP
    ]


def _file(cap: FrequencyCap) -> dict[str, object]:
    return cap.model_dump(mode="json", exclude_none=True)


def _priorities(
    connection: Connection, workspace_id: UUID, since: datetime
) -> dict[MessageNode, int]:
    priorities = {}
    for node in caps_db.nodes(connection, workspace_id, since):
        try:
            version = version_cache.version(connection, node.campaign_id, node.campaign_version)
        except VersionNotFound:
            continue
        priority = version.graph.cap_priority(node.node_id)
        if priority is not None:
            priorities[node] = priority
    return priorities


def _wait_for_earlier_transactions(database: Database) -> None:
    """Wait until the transactions have ended that may have leased messages before the rule."""
    with database.transaction(is_read_only=True) as connection:
        earlier = caps_db.writers(connection)
    for _ in range(_PAUSES):
        if not earlier:
            return
        sleep(_PAUSE_SECONDS)
        with database.transaction(is_read_only=True) as connection:
            earlier &= caps_db.writers(connection)


def _valid(config: Mapping[str, object]) -> FrequencyCap:
    try:
        return FrequencyCap.model_validate(config)
    except ValidationError as error:
        problems = from_validation(error, node_id=None, where="", model=FrequencyCap)
        reasons = "; ".join(problem.message for problem in problems)
        raise NotAllowed(f"invalid frequency cap: {reasons}") from None
