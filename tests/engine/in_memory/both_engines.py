"""Run the same people with the same events on PostgreSQL and in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from psycopg.types.json import Jsonb

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.conditions.occurrences import Occurrence
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.campaigns.frequency_caps import set_cap
from drip_pipeline.engine.campaigns.workspace_rules import (
    WorkspaceRules,
    rules_of,
    set_quiet_hours,
)
from drip_pipeline.engine.delivery.settle import SENT_EVENT
from drip_pipeline.engine.events.ingest import ingest_events
from drip_pipeline.engine.execution.transitions import Transition
from drip_pipeline.engine.in_memory.arrivals import MemoryArrival
from drip_pipeline.engine.in_memory.memory_engine import MemoryEngine
from drip_pipeline.engine.in_memory.observer import Observer, SettledMessage
from drip_pipeline.engine.in_memory.store import MemoryMessage, MemoryStore
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.settings import Secret, Settings
from tests.engine.events.incoming import rows
from tests.engine.factories import NOW, a_workspace, run_until_idle

SETTINGS = Settings(smtp_url=Secret("smtp://127.0.0.1:25"))
LOGGED = (
    "wait_started", "wait_completed", "condition_evaluated", "variant_assigned", "tag_added",
    "tag_removed", "score_updated", "field_updated", "message_held", "message_skipped",
    "email_sent", "sms_sent", "enrollment_completed", "enrollment_exited", "enrollment_failed",
    "goal_reached",
)  # fmt: skip


class Happening(NamedTuple):
    """An event of a person, at a time; about a message or not."""

    at: datetime
    email: str
    event_type: str
    data: Mapping[str, Any]
    message_id: UUID | None = None
    node_id: str | None = None


React = Callable[[str, MemoryMessage, datetime], Sequence[Happening]]
"""Events after a message to an address."""


class MemoryLog(Observer):
    """The events of runs, as the log of the database has them."""

    def __init__(self) -> None:
        self.events: dict[UUID, list[tuple[str, str | None, datetime]]] = {}
        self.paths: dict[UUID, list[str]] = {}
        self.sent: list[MemoryMessage] = []

    def moved(self, transition: Transition, now: datetime) -> None:
        for state in transition.states:
            log = self.events.setdefault(state.id, [])
            log += [(note.event_type, note.node_id, now) for note in transition.events]
            self.paths.setdefault(state.id, []).extend(transition.path)

    def held(self, messages: Sequence[MemoryMessage], rule: str, now: datetime) -> None:
        for message in messages:
            log = self.events.setdefault(message.run.id, [])
            log.append(("message_held", message.note.node_id, now))

    def settled(self, messages: Sequence[SettledMessage], now: datetime) -> None:
        for message, reason, _ in messages:
            name = SENT_EVENT[message.note.channel] if reason is None else "message_skipped"
            log = self.events.setdefault(message.run.id, [])
            log.append((name, message.note.node_id, now))
            if reason is None:
                self.sent.append(message)


@dataclass
class Result:
    """What became of the runs: by address, the events (sorted), the state and the contact."""

    events: dict[str, list[tuple[str, str, str]]]
    states: dict[str, tuple[Any, ...]]
    contacts: dict[str, tuple[Any, ...]]


@dataclass
class BothEngines:
    """A campaign that is published on PostgreSQL, with its people."""

    database: Database
    store: MemoryStore
    engine: MemoryEngine
    log: MemoryLog
    emails: Mapping[UUID, str]

    @classmethod
    def begin(
        cls,
        database: Database,
        campaign: str,
        people: Sequence[Mapping[str, Any]],
        *,
        entries: Mapping[str, Mapping[str, Any]] | None = None,
        quiet_hours: Mapping[str, Any] | None = None,
        caps: Sequence[Mapping[str, Any]] = (),
        zone: str = "UTC",
    ) -> BothEngines:
        """Publish a campaign file, and enroll people (columns by name) in both."""
        with database.transaction() as connection:
            workspace_id = a_workspace(connection)
            connection.execute("UPDATE workspaces SET time_zone = %s", [zone])
            for person in people:
                connection.execute(
                    "INSERT INTO contacts (id, workspace_id, email, phone, name, ai_score, status,"
                    " tags, custom_fields, created_at, updated_at)"
                    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                    [
                        uuid5(NAMESPACE_URL, person["email"]), workspace_id, person["email"],
                        person.get("phone"), person.get("name"), person.get("ai_score"),
                        person.get("status"), person.get("tags", []),
                        Jsonb(person.get("custom_fields", {})), NOW, NOW,
                    ],
                )  # fmt: skip
        if quiet_hours:
            set_quiet_hours(database, None, quiet_hours, now=NOW)
        for cap in caps:
            set_cap(database, None, cap, now=NOW)
        report = publish(database, campaign, PublishOptions(now=NOW, settings=SETTINGS))
        assert report.campaign_id is not None
        with database.transaction() as connection:
            for person in people:
                email = person["email"]
                # With ids that are the same each time: messages and reactions follow from them.
                connection.execute(
                    "INSERT INTO campaign_enrollments (id, campaign_id, contact_id, contact_email,"
                    " workspace_id, personalization_data, started_at, created_at, updated_at)"
                    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                    [
                        uuid5(NAMESPACE_URL, f"run of {email}"), report.campaign_id,
                        uuid5(NAMESPACE_URL, email), email, workspace_id,
                        Jsonb((entries or {}).get(email, {})), NOW, NOW, NOW,
                    ],
                )  # fmt: skip
            version = version_cache.version(connection, report.campaign_id, 1)
            rules = rules_of(connection, [workspace_id], NOW).get(workspace_id, WorkspaceRules())
        store = MemoryStore(version, rules, zone)
        log = MemoryLog()
        engine = MemoryEngine(store, log)
        emails = {}
        for person in people:
            store.add_contact(uuid5(NAMESPACE_URL, person["email"]), person)
        runs = rows(
            database,
            "SELECT e.id, e.contact_id, k.email FROM campaign_enrollments e"
            " JOIN contacts k ON k.id = e.contact_id ORDER BY k.email",
        )
        for run_id, contact_id, email in runs:
            engine.enroll(run_id, contact_id, NOW, entry=(entries or {}).get(email))
            emails[run_id] = email
        return cls(database, store, engine, log, emails)

    def run(self, react: React, happenings: Sequence[Happening] = (), *, days: int = 30) -> None:
        """Run both on a clock of ticks, with the events that follow from the messages."""
        agenda = list(happenings)
        now, number = NOW, 0
        while now <= NOW + timedelta(days=days):
            due = sorted((e for e in agenda if e.at <= now), key=lambda e: (e.at, str(e)))
            agenda = [each for each in agenda if each.at > now]
            if due:
                self._receive(due, now, number)
                number += len(due)
            run_until_idle(self.database, now)
            self.engine.run_due(now)
            for message in self.log.sent:
                agenda += react(self.emails[message.run.id], message, now)
            self.log.sent = []
            following = self.engine.schedule.next_time()
            times = [each.at for each in agenda] + ([following] if following else [])
            if not times:
                return
            now = _tick(max(min(times), now + timedelta(microseconds=1)))

    def _receive(self, due: Sequence[Happening], now: datetime, number: int) -> None:
        lines = [
            {
                "event_id": f"e{number + n}",
                "event_type": each.event_type,
                "occurred_at": each.at.isoformat(),
                "data": dict(each.data),
            }
            | ({"message_id": str(each.message_id)} if each.message_id else {"email": each.email})
            for n, each in enumerate(due)
        ]
        report = ingest_events(self.database, lines, source="test", now=now)
        assert dict(report.rejected) == {}
        runs = {run.contact.row["email"]: run for run in self.store.runs.values()}
        arrivals = []
        for n, each in enumerate(due):
            run = runs[each.email]
            event = Occurrence(
                each.event_type,
                each.at,
                each.data,
                each.data.get("machine") is True,
                UUID(int=number + n + 1),
                each.message_id,
                each.node_id,
                each.message_id is not None,
            )
            arrivals.append(MemoryArrival(run.contact, run if each.message_id else None, event))
        self.engine.receive(arrivals, now)

    def real(self) -> Result:
        """What became of the runs on PostgreSQL."""
        events: dict[str, list[tuple[str, str, str]]] = {e: [] for e in self.emails.values()}
        for run_id, event_type, node_id, at in rows(
            self.database,
            "SELECT enrollment_id, event_type, node_id, date_trunc('second', created_at)"
            " FROM campaign_events WHERE event_type = ANY(%s) ORDER BY created_at, event_type",
            [list(LOGGED)],
        ):
            events[self.emails[run_id]].append((at.isoformat(), event_type, node_id or ""))
        states = {
            self.emails[row[0]]: tuple(row[1:])
            for row in rows(
                self.database,
                "SELECT s.id, workflow_status, current_node_id, exit_reason, steps_taken,"
                " execution_path, wait_for_event, next_execution_at, e.status"
                " FROM campaign_workflow_states s JOIN campaign_enrollments e ON e.id = s.id",
            )
        }
        contacts = {
            row[0]: tuple(row[1:])
            for row in rows(
                self.database,
                "SELECT email, tags, coalesce(ai_score, -1), status, custom_fields FROM contacts",
            )
        }
        return Result({e: sorted(log) for e, log in events.items()}, states, contacts)

    def simulated(self) -> Result:
        """What became of the runs in memory."""
        events, states = {}, {}
        for run_id, email in self.emails.items():
            run = self.store.runs[run_id]
            log = [
                (at.isoformat(), name, node_id or "")
                for name, node_id, at in self.log.events.get(run_id, [])
                if name in LOGGED
            ]
            events[email] = sorted(log)
            states[email] = (
                run.status, run.node_id, run.exit_reason, run.steps_taken,
                self.log.paths.get(run_id, []), run.wait_for_event, run.due_at,
                run.enrollment_status,
            )  # fmt: skip
        contacts = {
            c.row["email"]: (
                c.row["tags"],
                -1 if c.row["ai_score"] is None else c.row["ai_score"],
                c.row["status"],
                c.custom_fields,
            )
            for c in self.store.contacts.values()
        }
        return Result(events, states, contacts)


def _tick(at: datetime) -> datetime:
    """The first tick that is not before a time."""
    step = timedelta(minutes=1)
    passed = -((NOW - at) // step)
    return NOW + passed * step


def some_people(count: int, seed: int) -> list[dict[str, Any]]:
    """People with various scores, tags, zones and consents."""
    random = Random(seed)
    people = []
    for n in range(count):
        custom: dict[str, Any] = {}
        if random.random() < 0.7:
            custom["timezone"] = random.choice(
                ["Europe/Berlin", "America/New_York", "Asia/Tokyo", "nowhere", "+05:30"]
            )
        if random.random() < 0.1:
            custom["consent_email"] = random.choice(["no", "yes", "FALSE"])
        people.append(
            {
                "email": f"person{n}@example.com",
                "name": random.choice([None, "Ann Lee", "Bob"]),
                "ai_score": random.choice([None, 0, 5, 59, 60, 95]),
                "status": random.choice([None, "lead", "customer", "prospect"]),
                "tags": random.choice([[], ["vip"], ["active", "old"]]),
                "custom_fields": custom,
            }
        )
    return people
