"""Enroll contacts that have started to match a campaign's entry trigger: tag, score, event or
schedule. Set-based, one chunk per transaction; safe to repeat, interrupt and run concurrently.

The database queues contacts when their tags, scores or events change (sql/functions/
entry_triggers.sql); a chunk of the queue is deleted in the transaction that enrolls its contacts.
Schedules, and contacts that matched before (`backfill`), need a scan of the workspace; its position
is stored with each chunk. Contacts that another transaction has locked are queued (again). While a
campaign is paused, its queue waits; after resuming, contacts that still match are enrolled, and a
schedule runs once, not once per missed occurrence. Guards of volume: entry_guards.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.enrollment import enrollments as enrollments_db
from drip_pipeline.db.enrollment import entry_triggers as triggers_db
from drip_pipeline.db.enrollment import guards as guards_db
from drip_pipeline.db.enrollment.entry_triggers import EntryTrigger, ScanPosition
from drip_pipeline.db.enrollment.guards import WaitsFor
from drip_pipeline.domain.conditions.cron import latest_occurrence
from drip_pipeline.domain.graph.nodes import TriggerConfig
from drip_pipeline.domain.run_variables import JsonObject
from drip_pipeline.engine.campaigns.campaign import Campaign, find_campaign
from drip_pipeline.engine.conflict_retry import retry_on_conflict
from drip_pipeline.engine.deadline import NO_DEADLINE, Deadline
from drip_pipeline.engine.enrollment import entry_guards
from drip_pipeline.engine.enrollment.admission import Admission, admit
from drip_pipeline.engine.enrollment.audience import matching_contacts, store_unchecked
from drip_pipeline.engine.enrollment.enroll import CHUNK_CONTACTS
from drip_pipeline.engine.enrollment.entry_guards import Entries
from drip_pipeline.engine.enrollment.entry_keys import RunEntry
from drip_pipeline.engine.enrollment.entry_terms import EntryTerms, lock_entry_terms
from drip_pipeline.engine.enrollment.event_entries import earlier_data, is_plain, queued_data
from drip_pipeline.engine.progress import Progress
from drip_pipeline.errors import CampaignNotFound, NotAllowed

NO_LONGER: Final = "no_longer"
"""The result for queued contacts that do not match any more."""


@dataclass
class NewEnrollments:
    """The numbers of contacts enrolled and refused by one campaign's trigger.

    `refused` counts by reason as in `EnrollReport`, and by `no_longer`: contacts that matched when
    they were queued, but not when they were checked.
    """

    campaign_id: UUID
    campaign: str
    kind: str
    enrolled: int = 0
    already_in: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    chunks: int = 0

    def count(self, results: Mapping[str, int]) -> None:
        """Add the results of a chunk."""
        self.chunks += 1
        for result, contacts in results.items():
            if result == "enrolled":
                self.enrolled += contacts
            elif result == "already_in":
                self.already_in += contacts
            elif contacts:
                self.refused[result] = self.refused.get(result, 0) + contacts


@dataclass(frozen=True, slots=True)
class PendingEntries:
    """The number of active triggers, and the names of campaigns with contacts to check."""

    listening: int
    campaigns: Sequence[str]


def pending_entries(database: Database, now: datetime) -> PendingEntries:
    """Return which campaigns have contacts to check. Read-only."""
    with database.transaction(is_read_only=True) as connection:
        triggers = triggers_db.active(connection)
    due = [
        trigger.campaign
        for trigger in triggers
        if not _waits(trigger, now)
        and (trigger.has_queue or _scan_due(trigger, trigger, now) is not None)
    ]
    return PendingEntries(len(triggers), due)


def run_entry_triggers(
    database: Database,
    *,
    now: datetime,
    chunk_size: int = CHUNK_CONTACTS,
    deadline: Deadline = NO_DEADLINE,
    progress: Progress | None = None,
) -> list[NewEnrollments]:
    """Enroll all contacts that match a trigger. Return one report per campaign with such contacts.

    The deadline ends it between two chunks; the next call continues there.
    """
    with database.transaction(is_read_only=True) as connection:
        triggers = triggers_db.active(connection)
    reports = []
    for trigger in triggers:
        if _waits(trigger, now):
            continue
        report = NewEnrollments(trigger.campaign_id, trigger.campaign, trigger.kind)
        steps: list[_Step] = [_enroll_queued] if trigger.has_queue else []
        if _scan_due(trigger, trigger, now) is not None:
            steps.append(_enroll_scanned)
        for step in steps:
            while not deadline.is_over():
                results = _run_step(database, step, trigger, chunk_size, now)
                if results is None:
                    break
                report.count(results)
                if progress:
                    progress(f"{report.campaign}: {report.enrolled:,} contacts enrolled")
        if report.chunks:
            reports.append(report)
    return reports


def _waits(trigger: EntryTrigger, now: datetime) -> bool:
    return trigger.waits_until is not None and trigger.waits_until > now


@dataclass(frozen=True, slots=True)
class _LockedTrigger:
    """A trigger with its campaign, locked in the transaction of one chunk."""

    connection: Connection
    campaign: Campaign
    terms: EntryTerms
    trigger: EntryTrigger
    chunk_size: int
    now: datetime
    entries: Entries

    def size(self) -> int:
        """Return the size of the next chunk: not more than `per_day` still allows."""
        runs = self.entries.remaining.runs
        return self.chunk_size if runs is None else min(self.chunk_size, runs)

    def stop(self, waits_for: WaitsFor, waiting: int | None = None) -> None:
        """Let the trigger wait; nothing is taken from its queue."""
        entry_guards.stop(
            self.connection,
            self.campaign,
            self.terms.version,
            self.entries,
            waits_for,
            waiting=waiting,
        )


_Step: TypeAlias = Callable[[_LockedTrigger], dict[str, int] | None]


def _run_step(
    database: Database, step: _Step, trigger: EntryTrigger, chunk_size: int, now: datetime
) -> dict[str, int] | None:
    """Process one chunk in one transaction; None if nothing is left, or nothing is allowed now."""

    def transaction() -> dict[str, int] | None:
        with database.transaction() as connection:
            try:
                campaign = find_campaign(connection, trigger.campaign_id)
                # Locked from here on: neither published again, paused nor archived meanwhile.
                terms = lock_entry_terms(connection, campaign)
            except (CampaignNotFound, NotAllowed):
                return None
            if terms.status != "active" or terms.trigger.kind != trigger.kind:
                return None
            entries = entry_guards.entries_of(connection, campaign, terms.guards, now)
            locked = _LockedTrigger(connection, campaign, terms, trigger, chunk_size, now, entries)
            return step(locked)

    return retry_on_conflict(transaction)


def _enroll_queued(locked: _LockedTrigger) -> dict[str, int] | None:
    size = locked.size()
    if not size:
        if guards_db.has_queued_more_than(locked.connection, locked.trigger.id, 0):
            locked.stop("per_day")
        return None
    if _is_above_agreed(locked):
        return None
    queued = triggers_db.take_queued(locked.connection, locked.trigger.id, size)
    if not queued:
        return None
    trigger = locked.terms.trigger
    needs_key = locked.terms.re_entry == "per_key"
    event_ids = [entry.event_id for entry in queued if entry.event_id is not None]
    data: Mapping[UUID, JsonObject | None] = {}
    if trigger.kind == "event":
        # Without a reader, 100,000 events would take twice the time for nothing.
        data = dict.fromkeys(event_ids)
        if locked.terms.reads_entry or not is_plain(trigger):
            data = queued_data(
                locked.connection, locked.campaign.campaign_id, trigger, event_ids, locked.now
            )
    is_stored = locked.terms.reads_entry
    entries: list[RunEntry] = []
    for entry in queued:
        key = str(entry.event_id) if entry.event_id is not None else f"{trigger.kind}-{entry.id}"
        if entry.event_id is None:
            entries.append(RunEntry(entry.contact_id, key if needs_key else None))
        elif entry.event_id in data:
            properties = data[entry.event_id] if is_stored else None
            entries.append(RunEntry(entry.contact_id, key if needs_key else None, properties))
    contact_ids = list(dict.fromkeys(entry.contact_id for entry in entries))
    matching = _still_matching(locked.connection, contact_ids, trigger)
    admission = _admit(locked, [entry for entry in entries if entry.contact_id in matching])
    again = [entry for entry in queued if entry.contact_id in admission.locked]
    _queue_again(locked, [(entry.contact_id, entry.event_id) for entry in again])
    if len(again) == len(queued):
        return None
    return {**admission.counts, NO_LONGER: len(contact_ids) - len(matching)}


def _is_above_agreed(locked: _LockedTrigger) -> bool:
    """Return whether the queue has more contacts than may enter unconfirmed; then it waits."""
    remaining = locked.entries.trigger_remaining
    connection, trigger_id = locked.connection, locked.trigger.id
    if remaining is None or not guards_db.has_queued_more_than(connection, trigger_id, remaining):
        return False
    waiting = guards_db.queued_contacts(
        connection,
        trigger_id,
        locked.campaign.campaign_id,
        once=locked.terms.re_entry == "once",
    )
    # Enrollments that `per_day` leaves for later days do not count.
    today = waiting if locked.entries.remaining.runs is None else min(waiting, locked.size())
    if today <= remaining:
        return False
    locked.stop("confirm_above", waiting)
    return True


def _enroll_scanned(locked: _LockedTrigger) -> dict[str, int] | None:
    connection, trigger = locked.connection, locked.terms.trigger
    position = triggers_db.lock(connection, locked.trigger.id, locked.now)
    if position is None:
        return None
    pass_for = _scan_due(locked.trigger, position, locked.now)
    if pass_for is None:
        return None
    if trigger.kind != "schedule" and not position.is_open:
        if position.is_opening:
            return None
        triggers_db.begin_to_open(connection, locked.trigger.id)
        return {}
    runs = locked.entries.remaining.runs
    if runs == 0:
        locked.stop("per_day")
        return None
    contact_ids = enrollments_db.contacts_after(
        connection,
        locked.campaign.workspace_id,
        after=position.pass_reached,
        chunk_size=locked.chunk_size,
        tag=trigger.tag,
    )
    data: dict[UUID, list[JsonObject]] = {}
    if trigger.kind == "event":
        campaign_id = locked.campaign.campaign_id
        data = earlier_data(connection, campaign_id, trigger, contact_ids, locked.now)
        matching = set(data)
    else:
        matching = _matching(connection, contact_ids, trigger, locked.now)
    if pass_for == position.since and trigger.kind != "schedule":
        # Contacts that started to match since then are queued, and may have completed already.
        matching -= triggers_db.enrolled(connection, locked.campaign.campaign_id, sorted(matching))
    key = pass_for.isoformat() if locked.terms.re_entry == "per_key" else None
    # Each event has a run of its own if its data has the key; otherwise the latest one counts.
    latest = None if locked.terms.key_path is not None else 1
    entries = [
        RunEntry(contact_id, key, properties)
        for contact_id in contact_ids
        if contact_id in matching
        for properties in data.get(contact_id, [None])[:latest]
    ]
    is_cut = runs is not None and len(entries) > runs
    if is_cut and runs is not None:
        # The scan goes on with the next contact when the day is over.
        last = entries[runs].contact_id
        whole = [entry for entry in entries[:runs] if entry.contact_id != last]
        entries = whole or entries[:runs]
        contact_ids = contact_ids[: contact_ids.index(entries[-1].contact_id) + 1]
    remaining = locked.entries.trigger_remaining
    if remaining is not None and len(entries) > remaining:
        locked.stop("confirm_above", len(entries))
        return None
    admission = _admit(locked, entries)
    _queue_again(locked, [(contact_id, None) for contact_id in sorted(admission.locked)])
    triggers_db.save_position(
        connection,
        locked.trigger.id,
        pass_for=pass_for,
        pass_reached=contact_ids[-1] if contact_ids else None,
        is_done=len(contact_ids) < locked.chunk_size and not is_cut,
    )
    return admission.counts


def _scan_due(
    trigger: EntryTrigger, position: EntryTrigger | ScanPosition, now: datetime
) -> datetime | None:
    """Return the occurrence that a scan is due for.

    That is the one in progress, else the backfill, else the last missed occurrence of a schedule.
    """
    pass_for = position.pass_for
    if pass_for is None and position.is_backfill_due:
        pass_for = position.since
    done_until = position.completed_through
    if pass_for is None and trigger.kind == "schedule" and trigger.cron and done_until:
        pass_for = latest_occurrence(trigger.cron, trigger.timezone, after=done_until, until=now)
    return pass_for


def _still_matching(
    connection: Connection, contact_ids: Sequence[UUID], trigger: TriggerConfig
) -> set[UUID]:
    """Return the contacts that have the tag or score now; an event that happened always matches."""
    if trigger.kind not in ("tag", "score"):
        return set(contact_ids)
    return triggers_db.matching(connection, contact_ids, tag=trigger.tag, at_least=trigger.at_least)


def _matching(
    connection: Connection, contact_ids: Sequence[UUID], trigger: TriggerConfig, now: datetime
) -> set[UUID]:
    if trigger.where is not None:
        unchecked: dict[UUID, str] = {}
        matching = matching_contacts(connection, contact_ids, trigger.where, now, unchecked)
        store_unchecked(connection, unchecked, now)
        return set(matching)
    return _still_matching(connection, contact_ids, trigger)


def _queue_again(locked: _LockedTrigger, entries: Sequence[tuple[UUID, UUID | None]]) -> None:
    if entries:
        triggers_db.queue_again(
            locked.connection, locked.trigger.id, locked.campaign.workspace_id, entries
        )


def _admit(locked: _LockedTrigger, entries: Sequence[RunEntry]) -> Admission:
    """Enroll contacts; those that are locked are in `locked` only, as they are not refused."""
    if not entries:
        return Admission({}, frozenset())
    admission = admit(
        locked.connection,
        locked.campaign,
        locked.terms,
        entries,
        spread_minutes=locked.terms.trigger.spread_minutes,
        now=locked.now,
        guard=locked.entries,
    )
    admission.counts.pop("locked", None)
    return admission
