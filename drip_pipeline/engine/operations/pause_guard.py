"""Pause campaigns whose complaints, permanent bounces or failures are above their limits.

Called at the start of each tick: one statement over the outcomes of the last day counts the
messages of active campaigns. Messages from before the last resumption do not count again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.enrollment import guards as guards_db
from drip_pipeline.db.enrollment.guards import CampaignNumbers
from drip_pipeline.db.operations.incidents import NewIncident
from drip_pipeline.domain.graph.volume import DAY_HOURS, Excess, MessageCounts, PauseWhen
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import Actor, Subject
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.campaigns.campaign import pause_for_guard
from drip_pipeline.errors import VersionNotFound

GUARD: Final = Actor("guard", "engine")
PAUSED_BY_GUARD: Final = "campaign_paused_by_guard"
ENTRIES_STOPPED: Final = "entries_need_confirmation"
_RATE_NAMES: Final[Mapping[str, str]] = {
    "complaints": "complaints",
    "permanent_bounces": "permanent bounces",
    "failures": "failed messages",
}


def pause_by_guard(database: Database, *, now: datetime) -> list[str]:
    """Pause the campaigns with a rate above its limit; return their names."""
    since = now - timedelta(hours=DAY_HOURS)
    with database.transaction(is_read_only=True) as connection:
        suspects = [
            excessive
            for row in guards_db.numbers(connection, since, at_least=1)
            if (excessive := _excess(connection, row, now)) is not None
        ]
    paused = []
    for row, limits, excess in suspects:
        with database.transaction() as connection:
            if not pause_for_guard(connection, row.campaign_id, now):
                continue
            numbers = excess._asdict() | {"hours": limits.hours}
            guards_db.store_pause(connection, row.campaign_id, row.workspace_id, numbers, now)
            audit.record(
                connection,
                GUARD,
                "pause",
                Subject("campaign", row.workspace_id, row.campaign_id, row.campaign),
                now=now,
                reason=_sentence(numbers),
                details=numbers,
            )
            paused.append(row.campaign)
    return paused


def _excess(
    connection: Connection, row: CampaignNumbers, now: datetime
) -> tuple[CampaignNumbers, PauseWhen, Excess] | None:
    try:
        version = version_cache.version(connection, row.campaign_id, row.version)
    except VersionNotFound:
        return None
    limits = version.graph.guards.pause_when
    if limits is False:
        return None
    current: CampaignNumbers | None = row
    if limits.hours != DAY_HOURS:
        since = now - timedelta(hours=limits.hours)
        excessive = guards_db.numbers(connection, since, at_least=1, campaign_id=row.campaign_id)
        current = next(iter(excessive), None)
    if current is None:
        return None
    excess = limits.excess(
        MessageCounts(
            current.sent, current.complained, current.bounced, current.failed, current.never_sent
        )
    )
    return None if excess is None else (row, limits, excess)


def _sentence(numbers: Mapping[str, Any]) -> str:
    return (
        f"{_RATE_NAMES.get(numbers['rate'], numbers['rate'])}: {numbers['hits']:,} of"
        f" {numbers['messages']:,} messages of the last {numbers['hours']} hours"
        f" ({numbers['percent']:.2g} %), more than {numbers['limit']:g} %"
    )


def incidents(connection: Connection, now: datetime) -> Iterator[NewIncident]:
    """Yield the incidents of campaigns that are paused, and of triggers that wait."""
    for row in guards_db.paused(connection):
        numbers = dict(row.paused_by or {})
        yield NewIncident(
            f"{PAUSED_BY_GUARD}/{row.campaign_id}",
            PAUSED_BY_GUARD,
            row.workspace_id,
            f"Campaign {row.campaign!r} was paused by its guard: {_sentence(numbers)}.",
            "Find the cause: `drip campaign show` lists exits by reason, `drip metrics show` the"
            " days. `drip campaign resume CAMPAIGN --reason TEXT` continues it; earlier messages do"
            " not count again. `pause_when` of the campaign file sets its limits.",
            {"campaign_id": str(row.campaign_id)} | numbers,
            is_over=False,
        )
    for stopped in guards_db.stopped(connection, now):
        waiting = f"{stopped.waiting or 0:,}"
        agreed = f"{stopped.agreed or 0:,}"
        size = stopped.waiting or 0
        yield NewIncident(
            f"{ENTRIES_STOPPED}/{stopped.campaign_id}",
            ENTRIES_STOPPED,
            stopped.workspace_id,
            f"The entry trigger of campaign {stopped.campaign!r} has stopped: {waiting} contacts"
            f" wait, and it would enroll more than the agreed {agreed} a day.",
            f"If that is right: `drip campaign confirm-entry CAMPAIGN --size {size}` (or more, for"
            " those that follow). The contacts stay queued until then; those that no longer match"
            " are left out.",
            {"campaign_id": str(stopped.campaign_id), "waiting": size},
            is_over=False,
        )
