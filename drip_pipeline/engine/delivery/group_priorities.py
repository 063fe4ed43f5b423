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
    """Return the rank of each group; None if no workspace of them has frequency caps.

    Groups that caps do not limit have no rank: transactional messages do not wait for others.
    """
    rules = rules_of(connection, {group.workspace_id for group in groups}, now)
    capped = {workspace_id for workspace_id, each in rules.items() if each.caps}
    if not capped:
        return None
    return [_rank(connection, group) if group.workspace_id in capped else None for group in groups]


def _rank(connection: Connection, group: DueGroup) -> GroupRank:
    try:
        version = version_cache.version(connection, group.campaign_id, group.campaign_version)
    except VersionNotFound:  # rendering reports it
        return None
    priority = version.graph.cap_priority(group.node_id)
    return None if priority is None else (group.workspace_id, priority)
