"""The priorities of groups of due deliveries, in workspaces with frequency caps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.delivery.deliveries import DueGroup
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.campaigns.workspace_rules import rules_of
from drip_pipeline.errors import VersionNotFound

GroupRank = tuple[UUID, int] | None
"""The workspace and the priority of a group; None where nothing is ranked."""


def ranks_of(
    connection: Connection, groups: Sequence[DueGroup], now: datetime
) -> list[GroupRank] | None:
    """Return the rank of each group; None if no workspace of them has frequency caps."""
    rules = rules_of(connection, {group.workspace_id for group in groups}, now)
    if not any(each.caps for each in rules.values()):
        return None
    return [
        (group.workspace_id, _priority(connection, group))
        if (of_workspace := rules.get(group.workspace_id)) is not None and of_workspace.caps
        else None
        for group in groups
    ]


def _priority(connection: Connection, group: DueGroup) -> int:
    try:
        version = version_cache.version(connection, group.campaign_id, group.campaign_version)
    except VersionNotFound:  # rendering reports it
        return 0
    return version.graph.priority
