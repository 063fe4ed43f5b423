"""The rules of time at the eligibility check: messages that are leased outside of their window or
in quiet hours are held until the next opening, or skipped.

The due time was set by the same rules when the message was queued (execution/message_holds.py).
They are checked again because time has passed: after an outage, a retry, or a change of the rules.
Groups of messages without rules cost nothing: no statement is run for them. Rules of other kinds,
such as frequency caps, belong here too, after those of time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.delivery import held_messages as held_db
from drip_pipeline.db.delivery.deliveries import LeasedDelivery
from drip_pipeline.db.delivery.held_messages import HeldMessage
from drip_pipeline.domain.conditions.time_zones import zone_name
from drip_pipeline.domain.graph.windows import Hold, SendRules, Zones
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.campaigns.workspace_rules import rules_of
from drip_pipeline.errors import VersionNotFound

HELD: Final = "held"
"""The blocked reason of a leased message that was held; it is not settled."""
_Group = tuple[UUID, int, str]


class CheckedDeliveries(NamedTuple):
    """Leased messages after the check of the rules, and the numbers of those held, by rule."""

    deliveries: list[LeasedDelivery]
    held: Mapping[str, int]


def apply_rules(
    connection: Connection, leased: list[LeasedDelivery], *, now: datetime, at: datetime
) -> CheckedDeliveries:
    """Hold or mark as blocked the messages that may not be sent at `at`.

    `now` is the tick's logical time, and is stored. The caller's transaction holds the messages
    locked.
    """
    rules = _rules(connection, leased, now)
    if not rules:
        return CheckedDeliveries(leased, {})
    checked = [
        each
        for each in leased
        if each.blocked_reason is None
        and (each.campaign_id, each.campaign_version, each.node_id) in rules
    ]
    if not checked:
        return CheckedDeliveries(leased, {})
    held: list[HeldMessage] = []
    reasons: dict[UUID, str] = {}
    computed: dict[tuple[_Group, Zones], Hold | None] = {}
    queued = held_db.queued(connection, [each.id for each in checked])
    for delivery in checked:
        group = (delivery.campaign_id, delivery.campaign_version, delivery.node_id)
        row = queued[delivery.id]
        zones = Zones(zone_name(row.of_contact, row.of_workspace), row.of_workspace)
        key = (group, zones)
        if key not in computed:
            computed[key] = rules[group].hold(at, zones)
        hold = computed[key]
        if hold is None:
            continue
        skipping = hold.skips(row.queued_at)
        reasons[delivery.id] = skipping or HELD
        if skipping is None:
            held.append(HeldMessage(delivery.id, hold.rule, hold.until))
    if not reasons:
        return CheckedDeliveries(leased, {})
    if held:
        held_db.hold(connection, held, now)
    numbers: dict[str, int] = {}
    for message in held:
        numbers[message.rule] = numbers.get(message.rule, 0) + 1
    return CheckedDeliveries(
        [
            each._replace(blocked_reason=reasons[each.id]) if each.id in reasons else each
            for each in leased
        ],
        numbers,
    )


def _rules(
    connection: Connection, leased: Sequence[LeasedDelivery], now: datetime
) -> dict[_Group, SendRules]:
    """Return the rules of the groups that have any."""
    groups: dict[tuple[int, int, str], LeasedDelivery] = {}
    for each in leased:
        # By the integer: a UUID computes its hash in Python.
        groups.setdefault((each.campaign_id.int, each.campaign_version, each.node_id), each)
    of_workspace = rules_of(connection, {each.workspace_id for each in groups.values()}, now)
    rules: dict[_Group, SendRules] = {}
    for each in groups.values():
        try:
            version = version_cache.version(connection, each.campaign_id, each.campaign_version)
        except VersionNotFound:
            continue  # rendering reports it
        node = version.graph.nodes.get(each.node_id)
        if node is None:
            continue
        workspace = of_workspace.get(each.workspace_id)
        of_node = node.rules(workspace.quiet_hours if workspace else None)
        if of_node.has_any():
            rules[(each.campaign_id, each.campaign_version, each.node_id)] = of_node
    return rules
