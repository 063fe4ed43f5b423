"""Apply arriving events to runs in memory, in the order in which ingestion does: log, suppress, end
runs, goals, exit rules, waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.domain.conditions.occurrences import Occurrence
from drip_pipeline.domain.conditions.time_zones import zone_name
from drip_pipeline.domain.events.soft_bounces import DEFAULT_SOFT_BOUNCES
from drip_pipeline.domain.graph.nodes import EventWait
from drip_pipeline.domain.run_variables import EVENT
from drip_pipeline.engine.events.event_parser import suppression_reason_of
from drip_pipeline.engine.events.goal_exits import GOAL
from drip_pipeline.engine.events.resume_waiting import EXIT_OF_SUPPRESSION, RESUBSCRIBED
from drip_pipeline.engine.execution.exit_rules import LeavingStates
from drip_pipeline.engine.execution.exits import exit_transitions
from drip_pipeline.engine.execution.matched_events import first_matching
from drip_pipeline.engine.execution.transitions import EventNote, Transition
from drip_pipeline.engine.in_memory.event_lookup import (
    concerns_matched_wait,
    ends_plain_wait,
    goal_event_of,
    occurrences,
    of_another_run,
    position,
)
from drip_pipeline.engine.in_memory.store import MemoryContact, MemoryRun, MemoryStore

_DELIVERIES = frozenset({"email_delivered", "email_opened", "email_clicked", "email_replied"})
_READMITTING = {"email_resubscribed": "email", "sms_opted_in": "sms"}


class MemoryArrival(NamedTuple):
    """An event of a contact; `run` is the run whose message it is about, None for others."""

    contact: MemoryContact
    run: MemoryRun | None
    event: Occurrence


class Arrivals:
    """Applies events to a store."""

    def __init__(
        self,
        store: MemoryStore,
        apply: Callable[[Sequence[Transition], datetime], None],
        resume: Callable[[MemoryRun, str, datetime], None],
        withdraw: Callable[[Sequence[MemoryRun], str, datetime], None],
        leaving: Callable[[Sequence[MemoryRun], datetime], list[LeavingStates]],
    ) -> None:
        self._store = store
        self._apply = apply
        self._resume = resume
        self._withdraw = withdraw
        self._leaving = leaving

    def receive(self, arrivals: Sequence[MemoryArrival], now: datetime) -> None:
        """Log the events, then apply them."""
        for contact, run, event in arrivals:
            if self._store.reads(event):
                log = contact.events if run is None else run.events
                log.append(event)
        self._suppress(arrivals, now)
        self._leave_topics(arrivals, now)
        self._reach_goals(arrivals, now)
        self._leave_by_rules(arrivals, now)
        self._resume_waits(arrivals, now)

    def _suppress(self, arrivals: Sequence[MemoryArrival], now: datetime) -> None:
        causes: dict[MemoryRun, str] = {}
        for contact, run, event in arrivals:
            channel = _READMITTING.get(event.event_type)
            if channel is not None:
                if contact.suppressions.get(channel) in ("unsubscribed", RESUBSCRIBED):
                    del contact.suppressions[channel]
                continue
            if event.event_type in _DELIVERIES and not event.is_machine:
                contact.soft_bounces.clear()
                continue
            reason = suppression_reason_of(event.event_type, dict(event.properties))
            if not reason:
                if event.event_type == "email_bounced" and _is_repeated(contact, event):
                    contact.suppressions.setdefault("email", "soft_bounced")
                continue
            is_sms = event.event_type == "sms_opted_out"
            contact.suppressions.setdefault("sms" if is_sms else "email", reason)
            if is_sms:
                continue
            for each in contact.runs if run is None else (run,):
                if each.is_open:
                    # The last in the alphabet, as in states_to_exit.
                    causes[each] = max(reason, causes.get(each, ""))
        by_cause: dict[str, list[MemoryRun]] = {}
        for each, cause in causes.items():
            by_cause.setdefault(cause, []).append(each)
        for cause, runs in by_cause.items():
            exit_reason, status = EXIT_OF_SUPPRESSION[cause]
            self._end(runs, exit_reason, status, now)

    def _leave_topics(self, arrivals: Sequence[MemoryArrival], now: datetime) -> None:
        topic = self._store.graph.topic
        if topic is None:
            return
        leaving = []
        for contact, _, event in arrivals:
            if event.properties.get("topic") != topic:
                continue
            if event.event_type == "topic_subscribed":
                contact.left_topics.discard(topic)
            elif event.event_type == "topic_unsubscribed":
                contact.left_topics.add(topic)
                leaving += [run for run in contact.runs if run.is_open]
        self._end(leaving, "unsubscribed", "unsubscribed", now)

    def _reach_goals(self, arrivals: Sequence[MemoryArrival], now: datetime) -> None:
        graph = self._store.graph
        if graph.goal_event is None or not graph.exits_at_goal:
            return
        by_contact: dict[MemoryContact, list[Occurrence]] = {}
        for contact, _, event in arrivals:
            if event.event_type == graph.goal_event.event_type:
                by_contact.setdefault(contact, []).append(event)
        by_type: dict[str, list[MemoryRun]] = {}
        for contact, events in by_contact.items():
            events.sort(key=lambda event: event.occurred_at)
            for run in contact.runs:
                # Failed runs, too, because requeueing would continue them.
                may_end = run.is_open or run.status == "failed"
                if may_end and (goal := goal_event_of(graph, run, events, now)) is not None:
                    by_type.setdefault(goal.event_type, []).append(run)
        for event_type, runs in by_type.items():
            note = EventNote("goal_reached", None, None, {"event_type": event_type})
            self._withdraw(runs, GOAL, now)
            self._end(runs, GOAL, "completed", now, note)

    def _leave_by_rules(self, arrivals: Sequence[MemoryArrival], now: datetime) -> None:
        names = self._store.graph.exit_events()
        if not names:
            return
        concerned: dict[MemoryRun, None] = {}
        for contact, of_run, event in arrivals:
            machine = "machine:" if event.is_machine else ""
            for run in contact.runs:
                prefix = "any:" if of_run is not None and run is not of_run else ""
                if (run.is_open or run.status == "failed") and (
                    f"{prefix}{machine}{event.event_type}" in names
                ):
                    concerned[run] = None
        self.leave_by_rules(list(concerned), now)

    def leave_by_rules(self, concerned: Sequence[MemoryRun], now: datetime) -> None:
        """End those of these runs whose exit rules hold, and withdraw their unsent messages."""
        for rule, states in self._leaving(concerned, now) if concerned else ():
            runs = self._store.runs_of(states)
            self._withdraw(runs, rule.why, now)
            self._end(runs, rule.why, "completed", now, details={"exit": rule.id})

    def _end(
        self,
        runs: Sequence[MemoryRun],
        exit_reason: str,
        status: str,
        now: datetime,
        note: EventNote | None = None,
        details: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        if runs:
            states: list[DueState] = self._store.due_states(runs)
            self._apply(
                exit_transitions(
                    states,
                    exit_reason=exit_reason,
                    enrollment_status=status,
                    note=note,
                    details=details,
                ),
                now,
            )

    # --- waits -----------------------------------------------------------------------------------

    def _resume_waits(self, arrivals: Sequence[MemoryArrival], now: datetime) -> None:
        judged: dict[MemoryRun, list[Occurrence]] = {}
        for contact, of_run, event in arrivals:
            for run in contact.runs:
                if run.wait_for_event is None or not run.is_open:
                    continue
                is_of_another = of_run is not None and run is not of_run
                seen = of_another_run(event) if is_of_another else event
                if not is_of_another and ends_plain_wait(run, event):
                    self._resume(run, "event", now)
                elif concerns_matched_wait(run, seen):
                    judged.setdefault(run, []).append(seen)
        for run, events in judged.items():
            if run.wait_for_event is not None:
                self._judge(run, events, now)

    def _judge(self, run: MemoryRun, events: Sequence[Occurrence], now: datetime) -> None:
        graph = self._store.graph
        config = graph.nodes[run.node_id].config
        assert isinstance(config, EventWait)
        tests = config.tests()
        by_type: Mapping[str, Sequence[Occurrence]]
        if any(test.counts is not None for _, test in tests):
            by_type = occurrences(run)
        else:
            # Earlier events did not end the wait.
            grouped: dict[str, list[Occurrence]] = {}
            for event in events:
                grouped.setdefault(event.event_type, []).append(event)
            by_type = grouped
        zone = zone_name(run.contact.custom_fields.get("timezone"), self._store.time_zone)
        ended = first_matching(tests, by_type, position(run), now, zone)
        if ended is None:
            return
        port, event = ended
        if graph.reads_event():
            run.set_variables({EVENT: event.properties})
        self._resume(run, port, now)


def _is_repeated(contact: MemoryContact, event: Occurrence) -> bool:
    """Return whether soft bounces of the address have become too many; the event is counted."""
    since = event.occurred_at.timestamp() - DEFAULT_SOFT_BOUNCES.days * 86_400
    contact.soft_bounces = [at for at in contact.soft_bounces if at >= since]
    contact.soft_bounces.append(event.occurred_at.timestamp())
    return len(contact.soft_bounces) >= DEFAULT_SOFT_BOUNCES.bounces
