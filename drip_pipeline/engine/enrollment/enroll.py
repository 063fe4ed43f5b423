"""Letting people into a campaign, set-based, a slice at a time. Repeating it lets nobody in twice.

Who is meant comes from selection.py; whether they may enter is decided by one statement per slice;
their states and events are made by the trigger on the table, as for any other insert. Who came to
match by themselves is `newcomers.py`'s business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from drip_pipeline.db.campaigns import campaigns as campaigns_db
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.enrollment import enrollments as enrollments_db
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import AfterDays, ReEntry, TriggerConfig, channel_of
from drip_pipeline.engine.campaigns import version_cache as graphs
from drip_pipeline.engine.campaigns.campaign import SECONDS_A_MINUTE, Campaign, find_campaign
from drip_pipeline.engine.conflict_retry import retry_on_conflict
from drip_pipeline.engine.enrollment.audience import AudienceCursor, Selection
from drip_pipeline.engine.progress import Progress
from drip_pipeline.errors import NotAllowed

CHUNK_CONTACTS: Final = 20_000
"""People let in by one transaction."""


@dataclass(frozen=True, slots=True)
class EnrollReport:
    """What became of the people who were meant.

    `already_in`: the re-entry policy does not let them in again (yet). `refused` by reason:
    suppressed, no_email, no_phone, too_soon (after_days), not_found, other_workspace.
    """

    campaign_id: UUID
    campaign: str
    version: int
    status: str
    enrolled: int
    already_in: int
    refused: Mapping[str, int]


def enroll(
    database: Database,
    campaign: str | UUID,
    people: Selection,
    *,
    now: datetime,
    entry_key: str | None = None,
    spread_minutes: float = 0,
    chunk_size: int = CHUNK_CONTACTS,
    progress: Progress | None = None,
) -> EnrollReport:
    """Let people into the published version of a campaign (its id or name).

    `entry_key` names the run (an order's number, say): needed by the policy `per_key`, otherwise
    the first run has the key '' and later ones are numbered. `spread_minutes` spreads when their
    runs begin. Raises CampaignNotFound, CampaignAmbiguous, NotAllowed.
    """
    with database.transaction() as connection:
        found = find_campaign(connection, campaign)
        door = lock_entry_terms(connection, found)
        check_key(found, door, entry_key)
    walk = AudienceCursor(database, found.workspace_id, people, now, chunk_size)
    counted: Counter[str] = Counter()
    for contact_ids in walk.chunks():
        door, verdicts = _slice(
            database,
            found,
            contact_ids,
            entry_key=entry_key,
            spread_minutes=spread_minutes,
            now=now,
        )
        counted.update(verdicts)
        if progress:
            progress(f"{counted['enrolled']:,} enrolled of {counted.total():,} looked at")
    counted.update(walk.missed)
    return EnrollReport(
        campaign_id=found.campaign_id,
        campaign=found.name,
        version=door.version,
        status=door.status,
        enrolled=counted.pop("enrolled", 0),
        already_in=counted.pop("already_in", 0),
        refused=dict(counted.most_common()),
    )


@dataclass(frozen=True, slots=True)
class EntryTerms:
    """What newcomers enter, and on what terms."""

    status: str
    version: int
    trigger: TriggerConfig
    channels: frozenset[str]

    @property
    def re_entry(self) -> ReEntry:
        """Whether people may come again."""
        return self.trigger.re_entry


def lock_entry_terms(connection: Connection, campaign: Campaign) -> EntryTerms:
    """The campaign's terms, held still until the transaction ends. Raises NotAllowed when nobody
    can enter.
    """
    locked = campaigns_db.lock_for_entry(connection, campaign.campaign_id)
    status, version = locked if locked is not None else ("gone", None)
    if status not in ("active", "paused") or version is None:
        raise NotAllowed(
            f"nobody can enter campaign {campaign.name!r}: it is"
            f" {'not published yet' if version is None else status}",
            hint="`drip campaign publish FILE` opens a campaign.",
        )
    graph = graphs.version(connection, campaign.campaign_id, version).graph
    return EntryTerms(status, version, graph.trigger, _channels(graph))


def _channels(graph: CampaignGraph) -> frozenset[str]:
    return frozenset(
        channel for node in graph.nodes.values() if (channel := channel_of(node.config))
    )


def check_key(campaign: Campaign, door: EntryTerms, entry_key: str | None) -> None:
    """Raise NotAllowed when the campaign is entered once per key and there is none."""
    if door.re_entry == "per_key" and not entry_key:
        raise NotAllowed(
            f"campaign {campaign.name!r} is entered once per key, and none is given",
            hint="Name the run with --entry-key, an order's number for example.",
        )


def _slice(
    database: Database,
    campaign: Campaign,
    contact_ids: Sequence[UUID],
    *,
    entry_key: str | None,
    spread_minutes: float,
    now: datetime,
) -> tuple[EntryTerms, dict[str, int]]:
    """Enroll one chunk in one transaction; retry on a conflict with a concurrent writer."""

    def transaction() -> tuple[EntryTerms, dict[str, int]]:
        with database.transaction() as connection:
            door = lock_entry_terms(connection, campaign)
            keys = [entry_key] * len(contact_ids)
            return door, admit(connection, campaign, door, contact_ids, keys, spread_minutes, now)

    return retry_on_conflict(transaction)


def admit(
    connection: Connection,
    campaign: Campaign,
    door: EntryTerms,
    contact_ids: Sequence[UUID],
    entry_keys: Sequence[str | None],
    spread_minutes: float,
    now: datetime,
) -> dict[str, int]:
    """Decide about these people, each under the key at its place, and let in who may; how many, by
    verdict.
    """
    ended_before = None
    re_entry = "after_days"
    if isinstance(door.re_entry, AfterDays):
        ended_before = now - timedelta(days=door.re_entry.after_days)
    else:
        re_entry = door.re_entry
    verdicts = enrollments_db.enroll(
        connection,
        campaign.campaign_id,
        campaign.workspace_id,
        contact_ids,
        entry_keys=entry_keys,
        re_entry=re_entry,
        ended_before=ended_before,
        # A campaign that only posts or calls webhooks needs nobody's address.
        by_email="email" in door.channels,
        by_sms="sms" in door.channels,
        now=now,
    )
    if spread_minutes > 0 and verdicts.get("enrolled"):
        enrollments_db.spread(
            connection,
            campaign.campaign_id,
            contact_ids,
            spread_seconds=spread_minutes * SECONDS_A_MINUTE,
            now=now,
        )
    return verdicts
