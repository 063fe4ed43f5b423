"""Contacts that a campaign refuses before the statement of the enrollment: those who left its
topic, those in the workspace's holdout, and those whose run an exit rule would end at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.contacts import topics as topics_db
from drip_pipeline.db.enrollment.enrollments import EntryResult
from drip_pipeline.domain.graph.exits import ExitRule
from drip_pipeline.domain.graph.holdout import HOLDOUT
from drip_pipeline.engine.campaigns.workspace_rules import rules_of
from drip_pipeline.engine.enrollment.entry_keys import KeyedEntries
from drip_pipeline.engine.enrollment.exit_refusals import reasons_to_refuse

LEFT_TOPIC = "left_topic"


class Terms(Protocol):
    """The terms of entry that refuse contacts."""

    @property
    def topic(self) -> str | None:
        """The topic of the campaign."""

    @property
    def is_marketing(self) -> bool:
        """Whether the campaign sends marketing messages."""

    @property
    def is_by_call(self) -> bool:
        """Whether contacts enter by a call of the campaign's webhook trigger."""

    @property
    def exits(self) -> Sequence[ExitRule]:
        """The exit rules of the campaign."""


def without_refused(
    connection: Connection,
    workspace_id: UUID,
    keyed: KeyedEntries,
    terms: Terms,
    *,
    now: datetime,
) -> tuple[KeyedEntries, list[EntryResult]]:
    """Return the entries without those that are refused, and the numbers of these by reason."""
    results: list[EntryResult] = []
    topic = terms.topic
    if terms.is_marketing:
        rules = rules_of(connection, [workspace_id], now).get(workspace_id)
        if rules is not None and rules.holdout is not None:
            contact_ids = {entry.contact_id for entry in keyed.entries}
            held_out = filter(rules.holdout.has, contact_ids)
            keyed = _without(keyed, held_out, HOLDOUT, results)
    if topic is not None:
        contact_ids = {entry.contact_id for entry in keyed.entries}
        left = topics_db.left_by(connection, workspace_id, topic, list(contact_ids))
        keyed = _without(keyed, left, LEFT_TOPIC, results)
    # The role that serves a call cannot read contacts: the first step of the run judges the rules.
    if terms.exits and not terms.is_by_call:
        keyed = _without_leaving(connection, keyed, terms.exits, results, now)
    return keyed, results


def _without_leaving(
    connection: Connection,
    keyed: KeyedEntries,
    exits: Sequence[ExitRule],
    results: list[EntryResult],
    now: datetime,
) -> KeyedEntries:
    reasons = reasons_to_refuse(connection, exits, keyed.entries, now)
    counts = Counter(reason for reason in reasons if reason is not None)
    if not counts:
        return keyed
    results += [EntryResult(reason, number, (), 0) for reason, number in counts.items()]
    pairs = zip(keyed.entries, reasons, strict=True)
    return keyed._replace(entries=[entry for entry, reason in pairs if reason is None])


def _without(
    keyed: KeyedEntries, refused: Iterable[UUID], reason: str, results: list[EntryResult]
) -> KeyedEntries:
    of_reason = set(refused)
    if not of_reason:
        return keyed
    entries = [entry for entry in keyed.entries if entry.contact_id not in of_reason]
    results.append(EntryResult(reason, len(keyed.entries) - len(entries), (), 0))
    return keyed._replace(entries=entries)
