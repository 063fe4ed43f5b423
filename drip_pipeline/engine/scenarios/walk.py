"""Run one person of a scenario file on the engine in memory, on a virtual clock."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

from drip_pipeline.channels.protocol import OutgoingMessage
from drip_pipeline.db.delivery.deliveries import LeasedDelivery
from drip_pipeline.domain.conditions.occurrences import Occurrence
from drip_pipeline.domain.events.vocabulary import MESSAGE_EVENT_CHANNELS
from drip_pipeline.domain.scenarios.scenario_file import (
    ScenarioChange,
    ScenarioEvent,
    ScenarioFile,
    ScenarioPerson,
)
from drip_pipeline.engine.campaigns.version_cache import PublishedVersion
from drip_pipeline.engine.campaigns.workspace_rules import WorkspaceRules
from drip_pipeline.engine.delivery.render import MessageSettings, PreparedNode
from drip_pipeline.engine.execution.split_variants import ExistingVariant
from drip_pipeline.engine.in_memory.arrivals import MemoryArrival
from drip_pipeline.engine.in_memory.memory_engine import MemoryEngine
from drip_pipeline.engine.in_memory.store import MemoryMessage, MemoryRun, MemoryStore
from drip_pipeline.engine.scenarios.contact_values import contact_row
from drip_pipeline.engine.scenarios.recorder import RunRecord
from drip_pipeline.settings import Secret

MAX_TIMES: Final = 20_000
"""Times at which something happens to a person; a campaign that repeats itself for ever stops."""
LONGEST_RUN: Final = timedelta(days=3_650)
"""How long a person is followed if the scenario does not say."""
_SETTINGS: Final = MessageSettings(
    "Scenario <scenario@example.com>", "https://mail.example.com", Secret("scenario tests")
)


@dataclass(frozen=True, slots=True)
class Walk:
    """The run of a person when nothing more was due, or its time was over. `unused`: events that
    did not happen, with the reason. `occurred`: those that did, with their times."""

    run: MemoryRun
    record: RunRecord
    entered_at: datetime
    unused: tuple[tuple[ScenarioEvent, str], ...]
    occurred: tuple[tuple[ScenarioEvent, datetime], ...]


def walk(file: ScenarioFile, person: ScenarioPerson, version: PublishedVersion) -> Walk:
    """Run a person through a campaign version. Raises ContactInvalid."""
    return _PersonWalk(file, person, version).walk()


class _PersonWalk:
    def __init__(
        self, file: ScenarioFile, person: ScenarioPerson, version: PublishedVersion
    ) -> None:
        self._person = person
        self._version = version
        self._entered_at = file.start + (person.enters or timedelta())
        rules = WorkspaceRules(file.workspace.quiet_hours, caps=file.workspace.caps)
        self._store = MemoryStore(version, rules, file.workspace.timezone)
        contact_id = uuid5(NAMESPACE_URL, f"{version.campaign_name}/{person.name}")
        row = contact_row(person.contact, created_at=file.start)
        self._contact = self._store.add_contact(contact_id, row)
        self._record = RunRecord()
        self._nodes: dict[str, PreparedNode] = {}
        self._engine = MemoryEngine(
            self._store, self._record, operators=self._record.operators(), render=self._rendered
        )
        self._numbers = count()
        self._agenda: list[tuple[datetime, int, ScenarioEvent, MemoryMessage | None]] = []
        self._changes: list[tuple[datetime, int, ScenarioChange]] = []
        self._expecting: dict[str, list[ScenarioEvent]] = {}
        self._unused: list[tuple[ScenarioEvent, str]] = []
        self._occurred: list[tuple[ScenarioEvent, datetime]] = []
        for split, variant in person.variants.items():
            self._store.variants[split] = {contact_id: ExistingVariant(variant, False)}

    def walk(self) -> Walk:
        run_id = uuid5(self._contact.id, "run")
        run = self._engine.enroll(
            run_id, self._contact.id, self._entered_at, entry=self._person.entry
        )
        for event in self._person.events:
            if event.of is not None:
                self._expecting.setdefault(event.of, []).append(event)
            else:
                self._add(event, event.at or self._entered_at + (event.after or timedelta()), None)
        for change in self._person.changes:
            at = change.at or self._entered_at + (change.after or timedelta())
            heapq.heappush(self._changes, (at, next(self._numbers), change))
        until = self._person.until
        ends_at = self._entered_at + (LONGEST_RUN if until is None else until)
        for _ in range(MAX_TIMES):
            now = self._next_time()
            if now is None or now > ends_at:
                break
            self._change_contact(now)
            self._happen(run, now)
            self._engine.run_due(now)
            self._follow_messages()
        for events in self._expecting.values():
            for event in events:
                self._unused.append((event, f"no message of {event.of} was sent"))
        self._unused += [(each[2], "it lies after the end") for each in sorted(self._agenda)]
        return Walk(run, self._record, self._entered_at, tuple(self._unused), tuple(self._occurred))

    def _next_time(self) -> datetime | None:
        due = self._engine.schedule.next_time()
        times = [due, *(queue[0][0] for queue in (self._agenda, self._changes) if queue)]
        return min((time for time in times if time is not None), default=None)

    def _add(self, event: ScenarioEvent, at: datetime, message: MemoryMessage | None) -> None:
        heapq.heappush(self._agenda, (at, next(self._numbers), event, message))

    def _follow_messages(self) -> None:
        """Plan the events about the messages that were just sent."""
        for message in self._record.newly_sent:
            sent_at = self._record.sent[-1].at
            for event in self._expecting.pop(message.note.node_id, ()):
                self._add(event, event.at or sent_at + (event.after or timedelta()), message)
        self._last_sent = self._record.newly_sent[-1:] or getattr(self, "_last_sent", [])
        self._record.newly_sent = []

    def _change_contact(self, now: datetime) -> None:
        while self._changes and self._changes[0][0] <= now:
            _, _, change = heapq.heappop(self._changes)
            row = contact_row(change.fields, created_at=now)
            custom = row.pop("custom_fields")
            if "created_at" not in change.fields:
                del row["created_at"]
            self._contact.row |= row
            self._contact.row["custom_fields"] = {**self._contact.custom_fields, **custom}
            self._contact.forget_attributes()
            self._engine.contact_changed(self._contact, now)

    def _happen(self, run: MemoryRun, now: datetime) -> None:
        arrivals = []
        while self._agenda and self._agenda[0][0] <= now:
            at, number, event, message = heapq.heappop(self._agenda)
            channel = MESSAGE_EVENT_CHANNELS.get(event.event_type)
            message_id = None if message is None else message.id
            node_id = None if message is None else message.note.node_id
            if message is None and channel is not None:
                latest = run.messages.get(channel)
                if latest is None:
                    reason = f"no {channel} had been sent by {at:%Y-%m-%d %H:%M}"
                    self._unused.append((event, reason))
                    continue
                message_id = latest.message_id
                node_id = self._node_of_latest(channel)
            properties = {**event.data, **({"url": event.url} if event.url else {})}
            if event.machine:
                properties["machine"] = True
            is_of_run = message_id is not None
            occurrence = Occurrence(
                event.event_type,
                at,
                properties,
                properties.get("machine") is True,
                UUID(int=number + 1),
                message_id,
                node_id,
                is_of_run,
            )
            self._occurred.append((event, at))
            arrivals.append(MemoryArrival(self._contact, run if is_of_run else None, occurrence))
        if arrivals:
            self._engine.receive(arrivals, now)

    def _node_of_latest(self, channel: str) -> str | None:
        graph = self._version.graph
        for sent in reversed(self._record.sent):
            if graph.nodes[sent.node_id].config.type == channel:
                return sent.node_id
        return None

    def _rendered(self, message: MemoryMessage, now: datetime) -> OutgoingMessage:
        node_id = message.note.node_id
        node = self._nodes.get(node_id)
        if node is None:
            node = self._nodes[node_id] = PreparedNode(self._version, node_id, _SETTINGS)
        return node.message(leased_delivery(self._version, message), now)


def leased_delivery(version: PublishedVersion, message: MemoryMessage) -> LeasedDelivery:
    """Return a queued message as a lease returns it, with all columns of the contact."""
    run, row = message.run, message.run.contact.row
    return LeasedDelivery(
        id=message.id,
        workspace_id=version.workspace_id,
        campaign_id=version.campaign_id,
        campaign_version=version.version,
        enrollment_id=run.id,
        contact_id=run.contact.id,
        node_id=message.note.node_id,
        step_id=None,
        attempts=0,
        due_at=message.queued_at,
        blocked_reason=None,
        caps=None,
        personalization_data=run.entry,
        workflow_variables=run.workflow_variables or None,
        name=row["name"],
        email=row["email"],
        company=row["company"],
        phone=row["phone"],
        job_title=row["job_title"],
        ai_score=row["ai_score"],
        status=row["status"],
        tags=row["tags"],
        custom_fields=row["custom_fields"],
        last_interaction=row["last_interaction"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
