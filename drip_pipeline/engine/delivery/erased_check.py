"""Addresses that were suppressed when they were erased, at the eligibility check.

An import suppresses them again at once. Contacts that an application inserts are checked here, in
workspaces that have such addresses; in others no statement is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.contacts import erased_suppressions as erased_db
from drip_pipeline.db.contacts.erased_suppressions import MessageTo
from drip_pipeline.db.delivery.deliveries import LeasedDelivery, Quota
from drip_pipeline.engine.campaigns.workspace_rules import rules_of
from drip_pipeline.engine.delivery.render import MessageSettings
from drip_pipeline.engine.erased_addresses import ErasureKeys, restore


def apply_erased(
    connection: Connection,
    quotas: Sequence[Quota],
    leased: list[LeasedDelivery],
    settings: MessageSettings,
    *,
    channel: str,
    now: datetime,
) -> list[LeasedDelivery]:
    """Suppress addresses again that were suppressed when they were erased, and mark their messages
    as blocked. The caller's transaction holds the messages locked."""
    rules = rules_of(connection, {quota.group.workspace_id for quota in quotas}, now)
    workspaces = {id_ for id_, of_one in rules.items() if of_one.has_erased_suppressions}
    if not workspaces:
        return leased
    checked = {
        each.contact_id: each
        for each in leased
        if each.blocked_reason is None and each.workspace_id in workspaces
    }
    if not checked:
        return leased
    contacts = erased_db.addresses(connection, list(checked))
    if not restore(connection, ErasureKeys(settings.secret_key, settings.former_keys), contacts):
        return leased
    addresses = {each.contact_id: (each.email, each.phone) for each in contacts}
    messages = [
        MessageTo(each.id, each.workspace_id, each.campaign_id, address)
        for each in leased
        if each.blocked_reason is None and each.contact_id in addresses
        for address in addresses[each.contact_id]
        if address
    ]
    reasons = {row.id: row.reason for row in erased_db.suppressed(connection, messages, channel)}
    return [
        each._replace(blocked_reason=reasons[each.id]) if each.id in reasons else each
        for each in leased
    ]
