"""Enroll contacts in a campaign, set-based and in chunks. Repetitions enroll no contact twice.

Audiences are read by audience.py, and admission.py decides about a chunk. Entry triggers belong to
entry_triggers.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.enrollment import guards as guards_db
from drip_pipeline.db.enrollment.enrollments import Remaining
from drip_pipeline.domain.run_variables import JsonObject
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.campaigns.campaign import Campaign, find_campaign
from drip_pipeline.engine.conflict_retry import retry_on_conflict
from drip_pipeline.engine.enrollment import entry_guards
from drip_pipeline.engine.enrollment.admission import admit, decide
from drip_pipeline.engine.enrollment.audience import (
    AudienceCursor,
    EntryList,
    Selection,
    summary,
)
from drip_pipeline.engine.enrollment.confirmation import within_agreed
from drip_pipeline.engine.enrollment.entry_keys import NO_ENTRY_KEY, RunEntry
from drip_pipeline.engine.enrollment.entry_terms import EntryTerms, check_key, lock_entry_terms
from drip_pipeline.engine.progress import Progress

CHUNK_CONTACTS: Final = 20_000
"""Contacts enrolled by one transaction."""


@dataclass(frozen=True, slots=True)
class EnrollReport:
    """The numbers of enrolled and refused contacts.

    `already_in`: the re-entry policy does not admit them again. `refused` counts by reason:
    suppressed, left_topic, holdout, no_email, no_phone, too_soon, not_found, other_workspace,
    same_address (another contact of the address, in another spelling, is enrolled), locked
    (another transaction has locked the contact; a repetition enrolls it), no_entry_key (its entry
    data has no key), over_max_people and over_per_day (limits of the campaign), over_confirmed
    (contacts that were added while the audience was enrolled), refused_by_database (a constraint or
    a trigger refused the enrollment; `drip alerts list` names the contact), or the reason of an
    exit rule. A dry run has enrolled nobody; its numbers are what would happen. `agreed`: more than
    this would have to be confirmed.
    """

    campaign_id: UUID
    campaign: str
    version: int
    status: str
    enrolled: int
    already_in: int
    refused: Mapping[str, int]
    is_dry_run: bool = False
    agreed: int | None = None


@dataclass(frozen=True, slots=True)
class EntryOptions:
    """How an audience is enrolled.

    `entry_key` identifies the run (for example an order number): required by the re-entry policy
    `per_key`, unless that takes it from the entry data; otherwise the first run has the key '' and
    later ones are numbered. `spread_minutes` spreads the start of the runs. `data` is the entry
    data of all runs, where the audience has none of its own. `actor` and `reason` are recorded in
    the audit trail.

    `is_guarded`: an audience that would enroll more contacts than the workspace's agreed size, or
    than `confirm`, is refused as a whole. Callers that have shown the number to a person set it;
    the library trusts its caller. `is_dry_run`: count what would happen, and enroll nobody.
    """

    entry_key: str | None = None
    spread_minutes: float = 0
    data: JsonObject | None = None
    actor: Actor = LIBRARY
    reason: str | None = None
    is_guarded: bool = False
    confirm: int | None = None
    is_dry_run: bool = False


DEFAULT_ENTRY: Final = EntryOptions()


def enroll(
    database: Database,
    campaign: str | UUID,
    audience: Selection,
    *,
    now: datetime,
    options: EntryOptions = DEFAULT_ENTRY,
    chunk_size: int = CHUNK_CONTACTS,
    progress: Progress | None = None,
) -> EnrollReport:
    """Enroll an audience in the published version of a campaign, given by id or name.

    Raises CampaignNotFound, CampaignAmbiguous, NotAllowed; also if the audience is guarded and
    above the agreed size.
    """
    with database.transaction() as connection:
        target = find_campaign(connection, campaign)
        terms = lock_entry_terms(connection, target)
        has_data = options.data is not None or isinstance(audience, EntryList)
        check_key(target, terms, options.entry_key, has_data=has_data)
        agreed = _agreed(connection, target, options)
    cursor = AudienceCursor(database, target.workspace_id, audience, now, chunk_size)
    counts: Counter[str] = Counter()
    action_id = uuid4()

    def note(connection: Connection, version: int, results: Mapping[str, int]) -> None:
        if not results.get("enrolled"):
            return
        audit.record(
            connection,
            options.actor,
            "enroll",
            target.subject,
            now=now,
            reason=options.reason,
            details={
                "enrolled": counts["enrolled"] + results["enrolled"],
                "into_version": version,
                "audience": summary(audience),
                "spread_minutes": options.spread_minutes,
            },
            action_id=action_id,
        )

    def entries_in(contact_ids: Sequence[UUID]) -> list[RunEntry]:
        return [
            RunEntry(contact_id, options.entry_key, options.data if data is None else data)
            for contact_id in contact_ids
            for data in cursor.data_of(contact_id)
        ]

    def would_enroll(chunks: Iterable[Sequence[UUID]]) -> Counter[str]:
        return _count_chunks(database, target, map(entries_in, chunks), options, now, progress)

    chunks: Iterable[Sequence[UUID]] = cursor.chunks()
    if options.is_dry_run:
        counts = would_enroll(chunks)
    else:
        if agreed is not None:
            chunks = within_agreed(
                cursor.chunks(),
                agreed,
                lambda chunk: len(entries_in(chunk)),
                lambda read: would_enroll(read)["enrolled"],
                is_confirmed=options.confirm is not None,
            )
        for contact_ids in chunks:
            left = None if agreed is None else max(0, agreed - counts["enrolled"])
            entries = entries_in(contact_ids)
            terms, results = _enroll_chunk(database, target, entries, options, now, note, left)
            counts.update(results)
            if progress:
                progress(f"{counts['enrolled']:,} enrolled of {counts.total():,} contacts checked")
    counts.update(cursor.missed)
    return EnrollReport(
        campaign_id=target.campaign_id,
        campaign=target.name,
        version=terms.version,
        status=terms.status,
        enrolled=counts.pop("enrolled", 0),
        already_in=counts.pop("already_in", 0),
        refused=dict(counts.most_common()),
        is_dry_run=options.is_dry_run,
        agreed=agreed,
    )


def _agreed(connection: Connection, campaign: Campaign, options: EntryOptions) -> int | None:
    if not options.is_guarded or options.confirm is not None:
        return options.confirm
    stored = guards_db.entry_guard(connection, campaign.campaign_id)
    return entry_guards.agreed_size(stored.rule)


def _enroll_chunk(
    database: Database,
    campaign: Campaign,
    entries: Sequence[RunEntry],
    options: EntryOptions,
    now: datetime,
    note: Callable[[Connection, int, Mapping[str, int]], None],
    left: int | None,
) -> tuple[EntryTerms, dict[str, int]]:
    """Enroll one chunk in one transaction; retry on a conflict with a concurrent writer."""

    def transaction() -> tuple[EntryTerms, dict[str, int]]:
        with database.transaction() as connection:
            terms = lock_entry_terms(connection, campaign)
            admission = admit(
                connection,
                campaign,
                terms,
                entries,
                spread_minutes=options.spread_minutes,
                now=now,
                agreed=left,
            )
            note(connection, terms.version, admission.counts)
            return terms, admission.counts

    return retry_on_conflict(transaction)


def _count_chunks(
    database: Database,
    campaign: Campaign,
    chunks: Iterable[Sequence[RunEntry]],
    options: EntryOptions,
    now: datetime,
    progress: Progress | None,
) -> Counter[str]:
    """Return what enrolling these chunks would result in; write nothing."""
    counts: Counter[str] = Counter()
    remaining: Remaining | None = None
    for entries in chunks:
        with database.transaction() as connection:
            terms = lock_entry_terms(connection, campaign)
            if remaining is None:
                remaining = Remaining()
                if terms.guards.limits_entries:
                    remaining = entry_guards.entries_of(
                        connection, campaign, terms.guards, now
                    ).remaining
            keyed, results = decide(
                connection, campaign, terms, entries, now, remaining, is_dry_run=True
            )
        for row in results:
            counts[_REASONS.get(row.result, row.result)] += row.contacts
            if row.result == "enrolled":
                remaining = Remaining(
                    None if remaining.contacts is None else remaining.contacts - row.new_contacts,
                    None if remaining.runs is None else remaining.runs - row.contacts,
                )
        counts[NO_ENTRY_KEY] += keyed.without_key
        counts["already_in"] += keyed.repeated
        if progress:
            progress(f"{counts.total():,} contacts checked")
    return +counts


_REASONS: Final[Mapping[str, str]] = {"over_runs": entry_guards.OVER_PER_DAY}
