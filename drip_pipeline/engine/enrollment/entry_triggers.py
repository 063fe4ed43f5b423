"""Letting in who came to match a campaign's entry trigger since the last look: tag, score, event,
schedule. Set-based, a slice a transaction, safe to repeat, to interrupt and to run twice at once.

Tags, scores and events are noted by the database when they change (sql/functions/
entry_triggers.sql); a slice of notes is taken out in the transaction that lets those people in. A
schedule, and people who matched already (`backfill`), are a walk through the workspace whose place
is kept with each slice. While a campaign is paused its notes wait; on resuming those enter who
match then, and a schedule is caught up once, not for every time it missed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.enrollment import enrollments as enrollments_db
from drip_pipeline.db.enrollment import entry_triggers as triggers_db
from drip_pipeline.domain.conditions.cron import latest_occurrence
from drip_pipeline.domain.graph.nodes import TriggerConfig
from drip_pipeline.engine.campaigns.campaign import Campaign, find_campaign
from drip_pipeline.engine.conflict_retry import retry_on_conflict
from drip_pipeline.engine.deadline import NO_DEADLINE, Deadline
from drip_pipeline.engine.enrollment.audience import matching_contacts
from drip_pipeline.engine.enrollment.enroll import (
    CHUNK_CONTACTS,
    EntryTerms,
    admit,
    lock_entry_terms,
)
from drip_pipeline.engine.progress import Progress
from drip_pipeline.errors import CampaignNotFound, NotAllowed

NO_LONGER: Final = "no_longer"
"""The verdict on people who had come to match and do not any more."""


@dataclass
class NewEnrollments:
    """What became of the people who came to match one campaign's trigger. `refused` by reason as in
    `EnrollReport`, and `no_longer`: they matched once, but not when they were looked at.
    """

    campaign_id: UUID
    campaign: str
    kind: str
    enrolled: int = 0
    already_in: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    chunks: int = 0

    def count(self, verdicts: Mapping[str, int]) -> None:
        """Add a slice."""
        self.chunks += 1
        for verdict, people in verdicts.items():
            if verdict == "enrolled":
                self.enrolled += people
            elif verdict == "already_in":
                self.already_in += people
            elif people:
                self.refused[verdict] = self.refused.get(verdict, 0) + people


@dataclass(frozen=True, slots=True)
class PendingEntries:
    """How many campaigns listen, and the names of those that somebody may enter now."""

    listening: int
    campaigns: Sequence[str]


def pending_entries(database: Database, now: datetime) -> PendingEntries:
    """Look, changing nothing."""
    with database.transaction(is_read_only=True) as connection:
        triggers = triggers_db.listening(connection)
    due = [
        row["campaign"] for row in triggers if row["has_notes"] or _walk_due(row, now) is not None
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
    """Let in everybody who came to match; one entry per campaign that somebody was looked at for.
    The deadline ends it between two chunks; the next call continues there.
    """
    with database.transaction(is_read_only=True) as connection:
        triggers = triggers_db.listening(connection)
    reports = []
    for row in triggers:
        report = NewEnrollments(row["campaign_id"], row["campaign"], row["kind"])
        turns = [_take_notes] if row["has_notes"] else []
        if _walk_due(row, now) is not None:
            turns.append(_walk_on)
        for turn in turns:
            while not deadline.is_over():
                verdicts = _slice(database, turn, row, chunk_size, now)
                if verdicts is None:
                    break
                report.count(verdicts)
                if progress:
                    progress(f"{report.campaign}: {report.enrolled:,} came to match")
        if report.chunks:
            reports.append(report)
    return reports


Turn = Callable[
    [Connection, Campaign, EntryTerms, Mapping[str, Any], int, datetime], dict[str, int] | None
]


def _slice(
    database: Database, turn: Turn, row: Mapping[str, Any], chunk_size: int, now: datetime
) -> dict[str, int] | None:
    """One transaction; None when there is nothing (more) to do, or nothing may be done now."""

    def transaction() -> dict[str, int] | None:
        with database.transaction() as connection:
            try:
                campaign = find_campaign(connection, row["campaign_id"])
                # Locked from here on: neither published again, paused nor archived meanwhile.
                door = lock_entry_terms(connection, campaign)
            except (CampaignNotFound, NotAllowed):
                return None
            if door.status != "active" or door.trigger.kind != row["kind"]:
                return None
            return turn(connection, campaign, door, row, chunk_size, now)

    return retry_on_conflict(transaction)


def _take_notes(
    connection: Connection,
    campaign: Campaign,
    door: EntryTerms,
    row: Mapping[str, Any],
    chunk_size: int,
    now: datetime,
) -> dict[str, int] | None:
    notes = triggers_db.take_notes(connection, row["id"], chunk_size)
    if not notes:
        return None
    keys: dict[tuple[UUID, str | None], None] = {}
    for note_id, contact_id, event_id in notes:
        own = str(event_id) if event_id is not None else f"{door.trigger.kind}-{note_id}"
        keys[contact_id, own if door.re_entry == "per_key" else None] = None
    people = list(dict.fromkeys(contact_id for contact_id, _ in keys))
    matching = _still_matching(connection, people, door.trigger)
    verdicts = _admitted(
        connection, campaign, door, [key for key in keys if key[0] in matching], now
    )
    return {**verdicts, NO_LONGER: len(people) - len(matching)}


def _walk_on(
    connection: Connection,
    campaign: Campaign,
    door: EntryTerms,
    row: Mapping[str, Any],
    chunk_size: int,
    now: datetime,
) -> dict[str, int] | None:
    place = triggers_db.lock(connection, row["id"], now)
    if place is None:
        return None
    walks_for = _walk_due({**row, **place}, now)
    if walks_for is None:
        return None
    trigger = door.trigger
    if trigger.kind != "schedule" and not place["is_open"]:
        if place["is_opening"]:
            return None
        triggers_db.begin_to_open(connection, row["id"])
        return {}
    people = enrollments_db.contacts_after(
        connection,
        campaign.workspace_id,
        after=place["walked_to"],
        chunk_size=chunk_size,
        tag=trigger.tag,
    )
    found = _who_match(connection, people, trigger, now)
    if walks_for == place["since"] and trigger.kind != "schedule":
        # Somebody who came to match since has their note, and may have been through already.
        found -= triggers_db.in_campaign(connection, campaign.campaign_id, sorted(found))
    key = walks_for.isoformat() if door.re_entry == "per_key" else None
    chosen = [(contact_id, key) for contact_id in people if contact_id in found]
    verdicts = _admitted(connection, campaign, door, chosen, now)
    triggers_db.keep_walk(
        connection,
        row["id"],
        walks_for=walks_for,
        walked_to=people[-1] if people else None,
        is_done=len(people) < chunk_size,
    )
    return verdicts


def _walk_due(row: Mapping[str, Any], now: datetime) -> datetime | None:
    """What a walk through everybody would be for: the one under way, else those who matched
    already, else the last occurrence that was not carried out.
    """
    walks_for: datetime | None = row["walks_for"]
    if walks_for is None and row["is_backfill_due"]:
        walks_for = row["since"]
    if walks_for is None and row["kind"] == "schedule":
        walks_for = latest_occurrence(
            row["cron"], row["timezone"], after=row["taken_up_to"], until=now
        )
    return walks_for


def _still_matching(
    connection: Connection, people: Sequence[UUID], trigger: TriggerConfig
) -> set[UUID]:
    """Who has the tag or the score now; what happened to somebody stays so."""
    if trigger.kind not in ("tag", "score"):
        return set(people)
    return triggers_db.who_match(connection, people, tag=trigger.tag, at_least=trigger.at_least)


def _who_match(
    connection: Connection, people: Sequence[UUID], trigger: TriggerConfig, now: datetime
) -> set[UUID]:
    if trigger.kind == "event" and trigger.event_type is not None:
        happened = enrollments_db.latest_events(connection, people, [trigger.event_type])
        return {contact_id for contact_id, _, _ in happened}
    if trigger.where is not None:
        return set(matching_contacts(connection, people, trigger.where, now))
    return _still_matching(connection, people, trigger)


def _admitted(
    connection: Connection,
    campaign: Campaign,
    door: EntryTerms,
    people: Sequence[tuple[UUID, str | None]],
    now: datetime,
) -> dict[str, int]:
    verdicts: Counter[str] = Counter()
    if people:
        verdicts.update(
            admit(
                connection,
                campaign,
                door,
                [contact_id for contact_id, _ in people],
                [key for _, key in people],
                door.trigger.spread_minutes,
                now,
            )
        )
    return dict(verdicts)
