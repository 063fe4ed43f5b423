"""Why a contact is not in a campaign: what enrolling it would result in, and the entry trigger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.explanations import one_person as person_db
from drip_pipeline.db.explanations.one_person import EntryRow, PersonRow
from drip_pipeline.domain.conditions.cron import next_occurrence
from drip_pipeline.domain.diff.describe import condition, narrowed_event, number
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import TriggerConfig
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.campaigns.campaign import Campaign
from drip_pipeline.engine.enrollment.audience import Contacts, matching_contacts
from drip_pipeline.engine.enrollment.enroll import EntryOptions, enroll
from drip_pipeline.engine.explanations.exit_reasons import exit_rule, rule_text
from drip_pipeline.engine.explanations.explanation import EntryExplanation
from drip_pipeline.engine.explanations.refusals import ContactRefusals
from drip_pipeline.engine.explanations.wording import REASONS, clock, reason, when
from drip_pipeline.errors import NotAllowed

_WITH_KEY: Final = EntryOptions(is_dry_run=True, entry_key="(any key)")
_CLOSED: Final = "closed"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A contact before a campaign, and the words for times."""

    person: PersonRow
    campaign: Campaign
    graph: CampaignGraph
    row: EntryRow
    now: datetime
    zone: str | None

    @property
    def trigger(self) -> TriggerConfig:
        """The entry trigger."""
        return self.graph.trigger

    def when(self, at: datetime) -> str:
        return when(at, self.now, self.zone)


def entry_result(
    database: Database,
    person: PersonRow,
    campaign: Campaign,
    refusals: ContactRefusals,
    *,
    now: datetime,
    zone: str | None,
) -> EntryExplanation:
    """Return why a contact is not in a campaign, and what lets it enter. Enrolls nobody."""
    not_in = f"Is not in {campaign.name!r}"
    with database.transaction() as connection:
        row = person_db.entry(connection, person.id, campaign.campaign_id)
        graph = _graph(connection, campaign)
    if graph is None or row is None or campaign.status not in ("active", "paused"):
        closed = "not published yet" if graph is None else campaign.status
        text = f"{not_in}: the campaign is {closed}, and nobody can enter it."
        return EntryExplanation(
            campaign.campaign_id, campaign.name, _CLOSED, text, None, None, None
        )
    result = _dry_run(database, person, campaign, now)
    entry = _Entry(person, campaign, graph, row, now, zone)
    if result != "enrolled":
        text = f"{not_in} and cannot enter: {_refusal(result, refusals, entry)}."
        return EntryExplanation(
            campaign.campaign_id, campaign.name, result, text, graph.trigger.kind, None, None
        )
    with database.transaction() as connection:
        is_matching, text, next_at = _trigger_text(connection, entry)
    return EntryExplanation(
        campaign.campaign_id,
        campaign.name,
        result,
        f"{not_in}: {text}.",
        graph.trigger.kind,
        is_matching,
        next_at,
    )


def _graph(connection: Connection, campaign: Campaign) -> CampaignGraph | None:
    if campaign.published_version is None:
        return None
    number = campaign.published_version
    return version_cache.version(connection, campaign.campaign_id, number).graph


def _dry_run(database: Database, person: PersonRow, campaign: Campaign, now: datetime) -> str:
    """Return what the enrollment of the contact would result in: enrolled, or the refusal."""
    audience = Contacts([person.id])
    try:
        report = enroll(
            database,
            campaign.campaign_id,
            audience,
            now=now,
            options=EntryOptions(is_dry_run=True),
        )
    except NotAllowed:  # entered once per key: any key decides the same
        report = enroll(database, campaign.campaign_id, audience, now=now, options=_WITH_KEY)
    if report.enrolled:
        return "enrolled"
    return "already_in" if report.already_in else next(iter(report.refused), "not_found")


def _refusal(result: str, refusals: ContactRefusals, entry: _Entry) -> str:
    rule = exit_rule(result, entry.graph)
    if rule is not None:
        return rule_text(rule)
    if result == "suppressed":
        refusal = refusals.of_campaign(entry.campaign.campaign_id)
        if refusal is not None:
            at = refusal.since
            since = f" (since {clock(at, entry.now, entry.zone)})" if at else ""
            return f"{refusal.text}{since}"
    return REASONS.get(result, reason(result))


def _trigger_text(
    connection: Connection, entry: _Entry
) -> tuple[bool | None, str, datetime | None]:
    """Return whether the contact meets the entry trigger, what is missing, and what is next."""
    trigger, row, now = entry.trigger, entry.row, entry.now
    is_stopped = row.waits_until is not None and row.waits_until > now
    if row.is_queued and row.waits_until is not None and is_stopped:
        limit = "a confirmation" if row.waits_for == "confirm_above" else "its limit per day"
        text = f"the contact meets the trigger, and entry waits for {limit}"
        return True, f"{text} until {entry.when(row.waits_until)}", row.waits_until
    if row.is_queued:
        paused = entry.campaign.status == "paused"
        at = "once the campaign is resumed" if paused else "at the next run of the engine"
        return True, f"the contact meets the trigger and enters {at}", None if paused else now
    match trigger.kind:
        case "tag":
            has = trigger.tag in (entry.person.tags or ())
            text = f"it is entered by the tag {trigger.tag!r}"
            return has, f"{text}, {_met(entry) if has else 'which the contact does not have'}", None
        case "score":
            score = entry.person.ai_score
            has = score is not None and score >= (trigger.at_least or 0)
            text = f"it is entered by a score of at least {number(trigger.at_least)}"
            own = "no score" if score is None else f"a score of {score}"
            return has, f"{text}, {_met(entry) if has else f'and the contact has {own}'}", None
        case "event":
            matcher = trigger.matcher
            awaited = narrowed_event(trigger.event_type, matcher) if matcher else "an event"
            last = row.latest_event_at
            seen = f"which was last on {entry.when(last)}" if last else "which has not happened"
            return None, f"it is entered by the event {awaited}, {seen}", None
        case "schedule":
            return _schedule_text(connection, entry)
        case "webhook":
            return None, "it is entered by calls of its webhook", None
    text = "nobody has enrolled the contact, and it has no trigger"
    return None, f"{text}; `drip enroll` enrolls contacts", None


def _met(entry: _Entry) -> str:
    since = entry.row.since
    if entry.row.has_backfill or since is None:
        return "which the contact has: it enters at the next run of the engine"
    return (
        f"which the contact had before the trigger was published on {entry.when(since)}; contacts"
        " that had it then enter only with `backfill`"
    )


def _schedule_text(
    connection: Connection, entry: _Entry
) -> tuple[bool | None, str, datetime | None]:
    trigger = entry.trigger
    upcoming = next_occurrence(trigger.cron or "", trigger.timezone, after=entry.now)
    text = f"it is entered by the schedule {trigger.cron!r}"
    if upcoming is not None:
        text += f", next on {entry.when(upcoming)}"
    if trigger.where is None:
        return True, text, upcoming
    is_matching = bool(matching_contacts(connection, [entry.person.id], trigger.where, entry.now))
    does = "meets" if is_matching else "does not meet"
    text += f", and the contact {does} its condition ({condition(trigger.where)})"
    return is_matching, text, upcoming if is_matching else None
