"""Explain one contact: who it is, where its runs are, how they came there, and what happens next.

All but the entry into another campaign is read in one snapshot, by indexes of the contact and of
its runs: the size of the log does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Final, TypeVar
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.explanations import one_person as person_db
from drip_pipeline.db.explanations.one_person import (
    LoggedEvent,
    MessageRow,
    PersonRow,
    RunRow,
    VariantRow,
)
from drip_pipeline.domain.conditions.time_zones import zone_name
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.campaigns.campaign import Campaign, find_campaign
from drip_pipeline.engine.campaigns.workspace_rules import rules_of
from drip_pipeline.engine.contacts.find_person import addresses_of, find_person, phone_of
from drip_pipeline.engine.explanations import run_history
from drip_pipeline.engine.explanations.entry_result import entry_result
from drip_pipeline.engine.explanations.explanation import ExplainedContact, Explanation, Place, Run
from drip_pipeline.engine.explanations.places import place_of
from drip_pipeline.engine.explanations.refusals import ContactRefusals
from drip_pipeline.engine.explanations.run_history import Clock, Graphs
from drip_pipeline.engine.explanations.wording import clock
from drip_pipeline.errors import VersionNotFound

SHOWN_RUNS: Final = 20
SHOWN_EVENTS: Final = 200
"""Events of a run, and messages of a run, that are read."""
_ENDED: Final = frozenset({"failed", "exited", "completed"})
_OfRun = TypeVar("_OfRun", LoggedEvent, MessageRow, VariantRow)


@dataclass(frozen=True, slots=True)
class _Read:
    """What one snapshot has of a contact."""

    person: PersonRow
    same_address: Sequence[UUID]
    refusals: ContactRefusals
    campaign: Campaign | None
    runs: Sequence[Run]
    other_runs: int
    own_events: Sequence[person_db.OwnEvents]
    zone: str
    unreadable: Sequence[str]


def show_person(
    database: Database,
    who: str,
    *,
    now: datetime,
    campaign: str | None = None,
    workspace: str | None = None,
    all_events: bool = False,
) -> Explanation:
    """Explain the contact with this id or address; with a `campaign`, its runs there or why it has
    none.

    Shown are the latest 20 runs and the latest 200 events of each, or all of them. Raises
    NotAllowed for an unknown contact or workspace, CampaignNotFound and CampaignAmbiguous.
    """
    with database.transaction(is_read_only=True) as connection:
        read = _read(connection, who, campaign, workspace, now, all_events=all_events)
    entry = None
    if read.campaign is not None and not read.runs:
        entry = entry_result(
            database, read.person, read.campaign, read.refusals, now=now, zone=read.zone
        )
    first = _first(read.runs)
    if entry is not None:
        sentence, next_at = entry.sentence, entry.next_at
    elif first is not None:
        sentence = first.place.sentence + _also_in(read.runs, first)
        next_at = first.place.next_at
    else:
        sentence, next_at = _in_no_campaign(read, now), None
    return Explanation(
        sentence=sentence,
        next_at=next_at,
        person=_person(read.person, read.zone),
        suppressions=read.refusals.suppressions,
        topics=read.refusals.topics,
        is_in_holdout=read.refusals.is_in_holdout,
        runs=read.runs,
        other_runs=read.other_runs,
        own_events=read.own_events,
        entry=entry,
        same_address=read.same_address,
        unreadable=read.unreadable,
        explained_at=now,
    )


def _read(
    connection: Connection,
    who: str,
    campaign: str | None,
    workspace: str | None,
    now: datetime,
    *,
    all_events: bool,
) -> _Read:
    (person, unreadable), others = find_person(connection, who, workspace)
    asked = None
    if campaign is not None:
        asked = find_campaign(connection, campaign, workspace=str(person.workspace_id))
    of_contact = person.custom_fields if isinstance(person.custom_fields, dict) else {}
    zone = zone_name(of_contact.get("timezone"), person.workspace_time_zone) or "UTC"
    refusals = _refusals(connection, person, now)
    limit = 2**31 - 1 if all_events else SHOWN_EVENTS
    rows = person_db.runs(
        connection,
        person.id,
        asked.campaign_id if asked else None,
        limit=limit if all_events else SHOWN_RUNS,
    )
    ids = [row.id for row in rows]
    events = _by_run(person_db.log(connection, ids, run_history.PATH_EVENTS, limit=limit))
    messages = _by_run(person_db.messages(connection, ids, limit=limit))
    variants = _by_run(person_db.variants(connection, ids))
    graphs = _graphs(connection, rows, events, messages)
    words = Clock(now, zone)
    runs = [
        _run(
            row,
            graphs[row.campaign_id],
            place_of(row, graphs[row.campaign_id].graph(row.version), refusals, now, zone),
            (events.get(row.id, []), messages.get(row.id, []), variants.get(row.id, [])),
            words,
            limit,
        )
        for row in rows
    ]
    return _Read(
        person,
        [row.id for row in others],
        refusals,
        asked,
        runs,
        rows[0].all_runs - len(runs) if rows else 0,
        person_db.own_events(connection, person.id),
        zone,
        [f"{value.column}: {value.reason}" for value in unreadable],
    )


def _refusals(connection: Connection, person: PersonRow, now: datetime) -> ContactRefusals:
    rules = rules_of(connection, [person.workspace_id], now).get(person.workspace_id)
    holdout = rules.holdout if rules is not None else None
    return ContactRefusals(
        person,
        person_db.suppressions(connection, person.workspace_id, person.id, addresses_of(person)),
        person_db.topics(connection, person, person.email, phone_of(person) or person.phone),
        holdout is not None and holdout.has(person.id),
    )


def _by_run(rows: Iterable[_OfRun]) -> dict[UUID, list[_OfRun]]:
    by_id = attrgetter("enrollment_id")
    return {key: list(group) for key, group in groupby(rows, key=by_id)}


def _graphs(
    connection: Connection,
    runs: Sequence[RunRow],
    events: dict[UUID, list[LoggedEvent]],
    messages: dict[UUID, list[MessageRow]],
) -> dict[UUID, Graphs]:
    """Return the graphs of the versions that the runs are and were in, by campaign."""
    numbers: dict[UUID, set[int]] = {}
    for run in runs:
        of_run = (*events.get(run.id, ()), *messages.get(run.id, ()))
        versions = {run.version, *(row.version for row in of_run)}
        numbers.setdefault(run.campaign_id, set()).update(v for v in versions if v is not None)
    return {
        campaign_id: Graphs(_stored(connection, campaign_id, versions))
        for campaign_id, versions in numbers.items()
    }


def _stored(
    connection: Connection, campaign_id: UUID, numbers: Iterable[int]
) -> dict[int, CampaignGraph]:
    graphs = {}
    for number in numbers:
        try:
            graphs[number] = version_cache.version(connection, campaign_id, number).graph
        except VersionNotFound:
            continue  # its nodes are shown by their ids
    return graphs


def _run(
    row: RunRow,
    graphs: Graphs,
    place: Place,
    of_run: tuple[Sequence[LoggedEvent], Sequence[MessageRow], Sequence[VariantRow]],
    clock: Clock,
    limit: int,
) -> Run:
    events, messages, variants = of_run
    events = run_history.in_order(events, row.path if isinstance(row.path, list) else [])
    recorded = {message.message_id for message in messages if message.is_recorded}
    return Run(
        enrollment_id=row.id,
        campaign_id=row.campaign_id,
        campaign=row.campaign,
        version=row.version,
        number=row.number,
        entry_key=row.entry_key,
        started_at=row.started_at,
        ended_at=row.ended_at or row.enrollment_ended_at,
        place=place,
        path=run_history.path_of(events, graphs, clock, recorded),
        is_cut=len(events) >= limit or len(messages) >= limit,
        variants=run_history.variants_of(variants, graphs),
        messages=run_history.messages_of(messages, graphs),
        not_sent=run_history.not_sent(events, graphs, clock),
    )


def _first(runs: Sequence[Run]) -> Run | None:
    """Return the run that the sentence is about: an open one, of several the one that moves next;
    else the one that ended last."""
    open_runs = [run for run in runs if run.place.status not in _ENDED]
    if open_runs:
        return min(
            open_runs,
            key=lambda run: (
                run.place.next_at is None,
                run.place.next_at or run.started_at,
                run.campaign,
            ),
        )
    return max(runs, key=lambda run: run.ended_at or run.started_at, default=None)


def _also_in(runs: Sequence[Run], first: Run) -> str:
    names = [
        repr(run.campaign) + (f" (run {run.number})" if run.campaign == first.campaign else "")
        for run in runs
        if run is not first and run.place.status not in _ENDED
    ]
    return f" Is also in {', '.join(names)}." if names else ""


def _in_no_campaign(read: _Read, now: datetime) -> str:
    refusal = read.refusals.of_everything()
    if refusal is not None:
        at = refusal.since
        since = f" (since {clock(at, now, read.zone)})" if at else ""
        return f"Is in no campaign and gets no email: {refusal.text}{since}."
    if read.refusals.is_in_holdout:
        return "Is in no campaign and gets no marketing: is in the workspace's holdout."
    return "Is in no campaign; nothing is planned."


def _person(row: PersonRow, zone: str) -> ExplainedContact:
    return ExplainedContact(
        id=row.id,
        workspace_id=row.workspace_id,
        workspace=row.workspace,
        email=row.email,
        phone=row.phone,
        name=row.name,
        company=row.company,
        job_title=row.job_title,
        ai_score=row.ai_score,
        status=row.status,
        tags=row.tags or (),
        custom_fields=row.custom_fields,
        last_interaction=row.last_interaction,
        created_at=row.created_at,
        updated_at=row.updated_at,
        timezone=zone,
    )
