"""Exit rules at the eligibility check: a message whose run a rule ends is not sent.

The rules were judged when the message was put into the outbox; since then it may have been held,
or retried, and the contact may have changed. Messages of versions without exit rules cost nothing:
no statement is run for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.delivery.deliveries import LeasedDelivery, Quota
from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.domain.graph.exits import ExitRule
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.execution.exit_rules import judge
from drip_pipeline.errors import VersionNotFound


def apply_exits(
    connection: Connection, quotas: Sequence[Quota], leased: list[LeasedDelivery], now: datetime
) -> tuple[list[LeasedDelivery], Mapping[UUID, ExitRule]]:
    """Mark as blocked the messages whose run an exit rule ends; return the rules by delivery, too.

    `quotas` say of which versions the messages are.
    """
    graphs = _graphs(connection, quotas)
    if not graphs:
        return leased, {}
    checked = [
        each
        for each in leased
        if each.blocked_reason is None and (each.campaign_id, each.campaign_version) in graphs
    ]
    if not checked:
        return leased, {}
    rules: dict[UUID, ExitRule] = {
        state.id: rule
        for rule, states in judge(connection, list(map(_state, checked)), graphs, now)
        for state in states
    }
    if not rules:
        return leased, {}
    by_delivery = {
        each.id: rules[each.enrollment_id] for each in checked if each.enrollment_id in rules
    }
    return [
        each._replace(blocked_reason=by_delivery[each.id].why) if each.id in by_delivery else each
        for each in leased
    ], by_delivery


def _graphs(
    connection: Connection, quotas: Sequence[Quota]
) -> dict[tuple[UUID, int], CampaignGraph]:
    """Return the graphs of the versions with exit rules."""
    graphs: dict[tuple[UUID, int], CampaignGraph] = {}
    for group in [quota.group for quota in quotas]:
        try:
            version = version_cache.version(connection, group.campaign_id, group.campaign_version)
        except VersionNotFound:
            continue  # rendering reports it
        if version.graph.exits:
            graphs[group.campaign_id, group.campaign_version] = version.graph
    return graphs


def _state(delivery: LeasedDelivery) -> DueState:
    return DueState(
        delivery.enrollment_id,
        delivery.campaign_id,
        delivery.campaign_version,
        delivery.contact_id,
        delivery.node_id,
        None,
        0,
        0,
        0,
        "active",
    )
