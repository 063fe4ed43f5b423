"""Admit contacts to a campaign: one statement decides about a chunk and enrolls it. The trigger on
the table of enrollments creates states and events, as for any other insert.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.enrollment import enrollments as enrollments_db
from drip_pipeline.db.enrollment.enrollments import EntryResult, EntryRules, Remaining
from drip_pipeline.domain.graph.nodes import AfterDays, PerKey
from drip_pipeline.engine.campaigns.campaign import SECONDS_A_MINUTE, Campaign
from drip_pipeline.engine.enrollment import entry_guards
from drip_pipeline.engine.enrollment.audience import store_unchecked
from drip_pipeline.engine.enrollment.entry_guards import Entries
from drip_pipeline.engine.enrollment.entry_keys import (
    NO_ENTRY_KEY,
    KeyedEntries,
    RunEntry,
    with_keys,
)
from drip_pipeline.engine.enrollment.entry_terms import EntryTerms
from drip_pipeline.engine.enrollment.refusals import without_refused
from drip_pipeline.engine.isolation import apply_isolating, describe

REFUSED_BY_DATABASE: Final = "refused_by_database"
"""The result for contacts that a constraint or a trigger of the database refuses."""


class Admission(NamedTuple):
    """The numbers of contacts by result: enrolled, already_in, or the reason of the refusal; and
    the contacts refused as `locked`."""

    counts: dict[str, int]
    locked: frozenset[UUID]


def admit(
    connection: Connection,
    campaign: Campaign,
    terms: EntryTerms,
    entries: Iterable[RunEntry],
    *,
    spread_minutes: float,
    now: datetime,
    guard: Entries | None = None,
    agreed: int | None = None,
) -> Admission:
    """Enroll the contacts that the terms admit, each with the key and the data of its run.

    Contacts that another transaction has locked are not awaited: they are refused as `locked`.
    `guard` is what the guards of the campaign allow, if the caller has read it (by an entry
    trigger). `agreed` runs are enrolled at most.

    A contact whose enrollment the database refuses with an error, for example by a trigger of an
    application, is refused alone, as `refused_by_database`; `drip alerts list` names it.
    """
    is_by_trigger = guard is not None
    allowed = guard
    done: list[Admission] = []
    faults: dict[UUID, str] = {}
    refused = 0

    def enter(part: Sequence[RunEntry]) -> Admission:
        nonlocal allowed
        # Read again for each part: the guards have counted the parts before it.
        part_guard, allowed = allowed, None
        if part_guard is None and (is_by_trigger or terms.guards.limits_entries):
            part_guard = entry_guards.entries_of(connection, campaign, terms.guards, now)
        entered = sum(admission.counts.get("enrolled", 0) for admission in done)
        return _admit(
            connection,
            campaign,
            terms,
            part,
            spread_minutes=spread_minutes,
            now=now,
            guard=part_guard,
            agreed=None if agreed is None else max(0, agreed - entered),
            is_by_trigger=is_by_trigger,
        )

    def refuse(entry: RunEntry, error: Exception) -> None:
        nonlocal refused
        refused += 1
        faults[entry.contact_id] = f"could not be enrolled: {describe(error)}"

    apply_isolating(connection, list(entries), enter, refuse, done=done)
    if faults and not terms.is_by_call:
        store_unchecked(connection, faults, now)
    counts = Counter({REFUSED_BY_DATABASE: refused} if refused else {})
    for admission in done:
        counts.update(admission.counts)
    return Admission(dict(counts), frozenset().union(*(each.locked for each in done)))


def _admit(
    connection: Connection,
    campaign: Campaign,
    terms: EntryTerms,
    entries: Sequence[RunEntry],
    *,
    spread_minutes: float,
    now: datetime,
    guard: Entries | None,
    agreed: int | None,
    is_by_trigger: bool,
) -> Admission:
    remaining = Remaining() if guard is None else guard.remaining
    runs_reason = entry_guards.OVER_PER_DAY
    if agreed is not None and (remaining.runs is None or agreed < remaining.runs):
        remaining, runs_reason = remaining._replace(runs=agreed), entry_guards.OVER_CONFIRMED
    keyed, results = decide(connection, campaign, terms, entries, now, remaining)
    counts = Counter({NO_ENTRY_KEY: keyed.without_key, "already_in": keyed.repeated})
    for row in results:
        counts[runs_reason if row.result == "over_runs" else row.result] += row.contacts
    if guard is not None:
        entry_guards.count(
            connection, campaign, guard, counts["enrolled"], is_by_trigger=is_by_trigger
        )
    if spread_minutes > 0 and counts["enrolled"]:
        enrollments_db.spread(
            connection,
            campaign.campaign_id,
            [entry.contact_id for entry in keyed.entries],
            spread_seconds=spread_minutes * SECONDS_A_MINUTE,
            now=now,
        )
    locked = frozenset().union(*(row.locked_ids for row in results))
    return Admission({result: n for result, n in counts.items() if n}, locked)


def decide(
    connection: Connection,
    campaign: Campaign,
    terms: EntryTerms,
    entries: Iterable[RunEntry],
    now: datetime,
    remaining: Remaining,
    *,
    is_dry_run: bool = False,
) -> tuple[KeyedEntries, Sequence[EntryResult]]:
    """Enroll entries at once, or count what would happen to them."""
    keyed = with_keys(entries, terms.key_path)
    ended_before = None
    match terms.re_entry:
        case AfterDays(after_days=days):
            re_entry = "after_days"
            ended_before = now - timedelta(days=days)
        case PerKey():
            re_entry = "per_key"
        case policy:
            re_entry = policy
    rules = EntryRules(
        re_entry=re_entry,
        ended_before=ended_before,
        # A campaign that only posts or calls webhooks needs no address.
        by_email="email" in terms.channels,
        by_sms="sms" in terms.channels,
    )
    keyed, refused = without_refused(connection, campaign.workspace_id, keyed, terms, now=now)
    has_data = any(entry.data for entry in keyed.entries)
    results = enrollments_db.enroll(
        connection,
        campaign.campaign_id,
        campaign.workspace_id,
        [entry.contact_id for entry in keyed.entries],
        [entry.entry_key for entry in keyed.entries],
        rules,
        now,
        [entry.data for entry in keyed.entries] if has_data else (),
        remaining=remaining,
        is_dry_run=is_dry_run,
        is_by_call=terms.is_by_call,
    )
    return keyed, [*results, *refused]
