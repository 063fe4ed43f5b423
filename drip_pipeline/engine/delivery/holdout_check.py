"""The global holdout at the eligibility check: no marketing message goes to a contact in it.

Contacts in the holdout are not enrolled; this is for those who were enrolled before, or by an
application. Messages of workspaces without a holdout cost nothing: no statement is run for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.delivery.deliveries import LeasedDelivery, Quota
from drip_pipeline.domain.graph.holdout import HOLDOUT, Holdout
from drip_pipeline.domain.graph.nodes import sends_to_person
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.campaigns.workspace_rules import rules_of
from drip_pipeline.errors import VersionNotFound


def apply_holdout(
    connection: Connection, quotas: Sequence[Quota], leased: list[LeasedDelivery], now: datetime
) -> list[LeasedDelivery]:
    """Mark the marketing messages to contacts in the holdout as blocked.

    `quotas` say of which nodes the messages are.
    """
    holdouts = _holdouts(connection, quotas, now)
    if not holdouts:
        return leased
    return [
        each._replace(blocked_reason=HOLDOUT)
        if each.blocked_reason is None
        and (of_node := holdouts.get((each.campaign_id.int, each.campaign_version, each.node_id)))
        is not None
        and of_node.has(each.contact_id)
        else each
        for each in leased
    ]


def _holdouts(
    connection: Connection, quotas: Sequence[Quota], now: datetime
) -> dict[tuple[int, int, str], Holdout]:
    """Return the holdouts of the nodes with marketing messages."""
    workspaces: dict[tuple[int, int, str], UUID] = {}
    for group in [quota.group for quota in quotas]:
        try:
            version = version_cache.version(connection, group.campaign_id, group.campaign_version)
        except VersionNotFound:
            continue  # rendering reports it
        node = version.graph.nodes.get(group.node_id)
        if node is not None and node.kind == "marketing" and sends_to_person(node.config):
            key = (group.campaign_id.int, group.campaign_version, group.node_id)
            workspaces[key] = version.workspace_id
    rules = rules_of(connection, workspaces.values(), now)
    return {
        key: holdout
        for key, workspace_id in workspaces.items()
        if (of_workspace := rules.get(workspace_id)) is not None
        and (holdout := of_workspace.holdout) is not None
    }
