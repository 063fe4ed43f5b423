"""Run the demonstration: import contacts, publish campaigns, and simulate days.

The real Dagster jobs and assets run the engine and evaluate the test, in this process.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.db.operations import demo as demo_db
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.demo.contacts_file import ADDRESSES, CONTACTS, write_contacts
from drip_pipeline.demo.dagster_runs import DemoRunner
from drip_pipeline.demo.engagement import EventLine, engagement_events
from drip_pipeline.demo.scenario import (
    CAMPAIGN_FILES,
    CAMPAIGNS,
    CAP,
    EXAMPLES,
    GOALS,
    LENGTH,
    QUIET_HOURS,
    RATES,
    STEP,
    Entry,
    entries,
)
from drip_pipeline.domain.definition.text_formats import parse_text
from drip_pipeline.engine.audit import Actor
from drip_pipeline.engine.campaigns.frequency_caps import set_cap
from drip_pipeline.engine.campaigns.workspace_rules import set_quiet_hours
from drip_pipeline.engine.contacts.import_contacts import import_contacts
from drip_pipeline.engine.enrollment.enroll import EntryOptions, enroll
from drip_pipeline.engine.events.ingest import ingest_events
from drip_pipeline.engine.progress import Progress
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.errors import NotAllowed
from drip_pipeline.settings import Settings

WORKSPACE: Final = "Drip demo"
DEMO: Final = Actor("drip demo", "cli")


@dataclass
class DemoRun:
    """The simulated range of time, the campaigns by name, and what was run."""

    workspace_id: UUID
    workspace: str
    began_at: datetime
    ended_at: datetime
    campaigns: dict[str, UUID] = field(default_factory=dict)
    job_runs: int = 0
    events: int = 0


def run_demo(
    settings: Settings,
    database: Database,
    runner: DemoRunner,
    *,
    ends_at: datetime,
    progress: Progress,
    contacts: int = CONTACTS,
) -> DemoRun:
    """Run the demo with this number of contacts, on a clock that stops at `ends_at`.

    An earlier demo is deleted first, but nothing else: a workspace to which somebody has added
    campaigns, contacts or channels is kept as an ordinary one. Raises NotAllowed beside other
    published campaigns, which the simulated clock would move.
    """
    began_at = (ends_at - LENGTH).astimezone(UTC).replace(hour=9, minute=0, second=0, microsecond=0)
    workspace_id, workspace = _new_workspace(database, progress)
    demo = DemoRun(workspace_id, workspace, began_at, began_at)
    contacts_file = settings.home / "demo" / "people.csv"
    contacts_file.parent.mkdir(parents=True, exist_ok=True)
    write_contacts(contacts_file, contacts)
    import_contacts(database, contacts_file, now=began_at, workspace=workspace)
    progress(f"imported {contacts:,} generated contacts")
    set_quiet_hours(database, workspace, QUIET_HOURS, now=began_at, actor=DEMO)
    set_cap(database, workspace, CAP, now=began_at, actor=DEMO)
    for file in CAMPAIGN_FILES:
        report = publish(
            database,
            {**parse_text((EXAMPLES / file).read_text(encoding="utf-8")), **GOALS.get(file, {})},
            PublishOptions(now=began_at, settings=settings, workspace=workspace, actor=DEMO),
        )
        assert report.campaign_id is not None
        demo.campaigns[report.name] = report.campaign_id
    progress(f"published {', '.join(repr(name) for name in demo.campaigns)}")
    _Simulation(database, runner, demo, progress).run()
    progress("computing metrics, checking invariants, drawing funnels, writing reports")
    runner.evaluate_ab_tests(demo.ended_at)
    runner.compute_daily_metrics(began_at.date(), demo.ended_at.date(), demo.ended_at)
    runner.check_invariants(demo.ended_at)
    runner.draw_funnels(demo.ended_at)
    runner.write_reports(demo.ended_at)
    return demo


class _Simulation:
    """Advances the clock in steps: enrollments and engagement events that are due, then a run of
    the minute job, then once a day the evaluation of the test.
    """

    def __init__(
        self, database: Database, runner: DemoRunner, demo: DemoRun, progress: Progress
    ) -> None:
        self._database = database
        self._runner = runner
        self._demo = demo
        self._progress = progress
        self._entries: list[Entry] = entries()
        self._events: list[tuple[datetime, int, EventLine]] = []
        self._numbers = count()
        with database.transaction() as connection:
            self._last_message = demo_db.latest_recorded(connection)

    def run(self) -> None:
        """Run all steps. A step without due work starts no job."""
        began_at = self._demo.began_at
        now = began_at
        new_events = 0
        while now <= began_at + LENGTH:
            self._enroll(now - began_at, now)
            new_events += self._ingest(now)
            if self._is_due(now):
                self._runner.run_minute_job(now)
                self._demo.job_runs += 1
                self._plan_events()
            if new_events and now.hour == began_at.hour:
                self._runner.evaluate_ab_tests(now)
                new_events = 0
            self._demo.ended_at = now
            now += STEP

    def _enroll(self, elapsed: timedelta, now: datetime) -> None:
        while self._entries and self._entries[0].after <= elapsed:
            entry = self._entries.pop(0)
            campaign_id = self._demo.campaigns[entry.campaign]
            report = enroll(
                self._database,
                campaign_id,
                entry.audience,
                now=now,
                options=EntryOptions(actor=DEMO),
            )
            self._progress(
                f"{now:%d %b}: {report.enrolled:,} {entry.label} enter {entry.campaign!r}"
            )

    def _is_due(self, now: datetime) -> bool:
        with self._database.transaction() as connection:
            due = states_db.due_overview(connection, now=now, count_limit=1)
        return bool(due.due_states or due.due_deliveries)

    def _plan_events(self) -> None:
        """Queue the engagement events of the messages that were sent since the last call."""
        with self._database.transaction() as connection:
            messages = demo_db.recorded_since(
                connection, self._demo.workspace_id, self._last_message
            )
        if not messages:
            return
        self._last_message = messages[-1].id
        for event in engagement_events(messages, RATES):
            at = datetime.fromisoformat(str(event["occurred_at"]))
            heapq.heappush(self._events, (at, next(self._numbers), event))

    def _ingest(self, now: datetime) -> int:
        """Ingest the queued events that have happened by `now`. Return their number."""
        due = []
        while self._events and self._events[0][0] <= now:
            due.append(heapq.heappop(self._events)[2])
        if due:
            report = ingest_events(
                self._database, due, source="demo", now=now, workspace=self._demo.workspace
            )
            self._demo.events += report.accepted
        return len(due)


def _new_workspace(database: Database, progress: Progress) -> tuple[UUID, str]:
    """Replace the workspaces of earlier demos by a new one; return its id and name."""
    with database.transaction() as connection:
        others = demo_db.campaigns_beside(connection)
        if others:
            raise NotAllowed(
                f"this database has other published campaigns ({', '.join(map(repr, others[:3]))}"
                f"{', …' if len(others) > 3 else ''}), which the demo's simulated clock would move",
                hint="Run the demo in a folder of its own: DRIP_HOME=~/drip-demo make demo. Nothing"
                " was changed.",
            )
        for row in demo_db.workspaces(connection, campaigns=CAMPAIGNS, addresses=ADDRESSES):
            if row.is_unchanged:
                demo_db.delete_workspace(connection, row.id)
            else:
                demo_db.keep_workspace(connection, row.id)
                progress(f"kept the workspace {row.name!r}: it contains more than the demo made")
        name, number = WORKSPACE, 1
        while publish_db.workspaces(connection, name):
            number += 1
            name = f"{WORKSPACE} {number}"
        workspace_id = publish_db.insert_workspace(connection, name)
        demo_db.mark_workspace(connection, workspace_id)
        return workspace_id, name
