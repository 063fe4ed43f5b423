"""Plays the demonstration: imports people, publishes campaigns, and lets simulated days pass. The
engine is run by the real Dagster job and judged by the real assets, in this process."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.db.operations import demo as demo_db
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.demo.dagster_runs import DemoRunner
from drip_pipeline.demo.population import CONTACTS, write_people
from drip_pipeline.demo.reactions import Sent, reactions
from drip_pipeline.demo.story import (
    CAMPAIGN_FILES,
    EXAMPLES,
    LENGTH,
    RATES,
    STEP,
    Entry,
    entries,
)
from drip_pipeline.engine.contacts.import_contacts import import_contacts
from drip_pipeline.engine.enrollment.enroll import enroll
from drip_pipeline.engine.events.ingest import ingest_events
from drip_pipeline.engine.progress import Progress
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.settings import Settings

WORKSPACE: Final = "Drip demo"


@dataclass
class Played:
    """What was played: campaigns by name, and how often the job ran."""

    workspace_id: UUID
    began_at: datetime
    ended_at: datetime
    campaigns: dict[str, UUID] = field(default_factory=dict)
    job_runs: int = 0
    events: int = 0


def play(
    settings: Settings,
    database: Database,
    runner: DemoRunner,
    *,
    ends_at: datetime,
    tell: Progress,
    contacts: int = CONTACTS,
) -> Played:
    """Run the demo with this number of contacts, its clock ending at `ends_at`.

    An earlier demo is deleted first.
    """
    began_at = _morning(ends_at - LENGTH)
    workspace_id = _fresh_workspace(database)
    people_file = settings.home / "demo" / "people.csv"
    people_file.parent.mkdir(parents=True, exist_ok=True)
    people = write_people(people_file, contacts)
    import_contacts(database, people_file, now=began_at, workspace=WORKSPACE)
    tell(f"imported {people:,} made-up people")
    played = Played(workspace_id, began_at, began_at)
    for file in CAMPAIGN_FILES:
        done = publish(
            database,
            (EXAMPLES / file).read_text(encoding="utf-8"),
            PublishOptions(now=began_at, settings=settings, workspace=WORKSPACE),
        )
        assert done.campaign_id is not None
        played.campaigns[done.name] = done.campaign_id
    tell(f"published {', '.join(repr(name) for name in played.campaigns)}")
    _Days(database, runner, played, tell).pass_by()
    tell("counting days, checking the books, drawing funnels, writing reports")
    runner.judge(played.ended_at)
    runner.count_days(began_at.date(), played.ended_at.date(), played.ended_at)
    runner.check_invariants(played.ended_at)
    runner.draw_funnels(played.ended_at)
    runner.write_reports(played.ended_at)
    return played


class _Days:
    """Lets time pass: enrollments and reactions that have come due, then a run of the job, then the
    judges."""

    def __init__(
        self, database: Database, runner: DemoRunner, played: Played, tell: Progress
    ) -> None:
        self._database = database
        self._runner = runner
        self._played = played
        self._tell = tell
        self._entries: list[Entry] = entries()
        self._waiting: list[tuple[datetime, int, dict[str, Any]]] = []
        self._numbers = count()
        with database.transaction() as connection:
            self._seen = demo_db.latest_recorded(connection)

    def pass_by(self) -> None:
        """From the beginning to the end, a step at a time; steps in which nothing is due cost
        nothing."""
        began_at = self._played.began_at
        now = began_at
        unjudged = 0
        while now <= began_at + LENGTH:
            self._enter(now - began_at, now)
            ingested = self._react(now)
            if self._is_due(now):
                self._runner.run_minute_job(now)
                self._played.job_runs += 1
                self._remember()
            unjudged += ingested
            if unjudged and now.hour == began_at.hour:
                self._runner.judge(now)
                unjudged = 0
            self._played.ended_at = now
            now += STEP

    def _enter(self, passed: timedelta, now: datetime) -> None:
        while self._entries and self._entries[0].after <= passed:
            entry = self._entries.pop(0)
            campaign_id = self._played.campaigns[entry.campaign]
            done = enroll(self._database, campaign_id, entry.people, now=now)
            self._tell(f"{now:%d %b}: {done.enrolled:,} {entry.told} enter {entry.campaign!r}")

    def _is_due(self, now: datetime) -> bool:
        with self._database.transaction() as connection:
            due = states_db.due_overview(connection, now=now, count_limit=1)
        return bool(due.due_states or due.due_deliveries)

    def _remember(self) -> None:
        """Recipients have the new messages now; what they will do comes in time."""
        with self._database.transaction() as connection:
            rows = demo_db.recorded_since(connection, self._played.workspace_id, self._seen)
        if not rows:
            return
        self._seen = rows[-1].id
        sent = [Sent(row.delivery_id, row.campaign, row.node_id, row.recorded_at) for row in rows]
        for event in reactions(sent, RATES):
            at = datetime.fromisoformat(event["occurred_at"])
            heapq.heappush(self._waiting, (at, next(self._numbers), event))

    def _react(self, now: datetime) -> int:
        ripe = list(self._ripe(now))
        if ripe:
            report = ingest_events(
                self._database, ripe, source="demo", now=now, workspace=WORKSPACE
            )
            self._played.events += report.accepted
        return len(ripe)

    def _ripe(self, now: datetime) -> Iterable[dict[str, Any]]:
        while self._waiting and self._waiting[0][0] <= now:
            yield heapq.heappop(self._waiting)[2]


def _fresh_workspace(database: Database) -> UUID:
    with database.transaction() as connection:
        for row in publish_db.workspaces(connection, WORKSPACE):
            demo_db.delete_workspace(connection, row.id)
        return publish_db.insert_workspace(connection, WORKSPACE)


def _morning(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=9, minute=0, second=0, microsecond=0)
