"""Contacts that a campaign refuses before the statement of the enrollment: those who left its
topic, and those in the workspace's holdout.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.contacts import topics as topics_db
from drip_pipeline.db.enrollment.enrollments import EntryResult
from drip_pipeline.domain.graph.holdout import HOLDOUT
from drip_pipeline.engine.campaigns.workspace_rules import rules_of
from drip_pipeline.engine.enrollment.entry_keys import KeyedEntries

LEFT_TOPIC = "left_topic"


def without_refused(
    connection: Connection,
    workspace_id: UUID,
    keyed: KeyedEntries,
    *,
    topic: str | None,
    is_marketing: bool,
    now: datetime,
) -> tuple[KeyedEntries, list[EntryResult]]:
    """Return the entries without those that are refused, and the numbers of these by reason."""
    results: list[EntryResult] = []
    if is_marketing:
        rules = rules_of(connection, [workspace_id], now).get(workspace_id)
        if rules is not None and rules.holdout is not None:
            contact_ids = {entry.contact_id for entry in keyed.entries}
            held_out = filter(rules.holdout.has, contact_ids)
            keyed = _without(keyed, held_out, HOLDOUT, results)
    if topic is not None:
        contact_ids = {entry.contact_id for entry in keyed.entries}
        left = topics_db.left_by(connection, workspace_id, topic, list(contact_ids))
        keyed = _without(keyed, left, LEFT_TOPIC, results)
    return keyed, results


def _without(
    keyed: KeyedEntries, refused: Iterable[UUID], reason: str, results: list[EntryResult]
) -> KeyedEntries:
    of_reason = set(refused)
    if not of_reason:
        return keyed
    entries = [entry for entry in keyed.entries if entry.contact_id not in of_reason]
    results.append(EntryResult(reason, len(keyed.entries) - len(entries), (), 0))
    return keyed._replace(entries=entries)
