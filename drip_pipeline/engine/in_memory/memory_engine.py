"""The engine on a store in memory: enroll, take events, advance what is due, deliver.

`execute`, the operators, the compiled graph and the matchers are those of the real engine. Nothing
is written outside of the store.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from drip_pipeline.channels.protocol import OutgoingMessage
from drip_pipeline.domain.conditions.occurrences import LatestMessage
from drip_pipeline.domain.graph.exits import ExitRule
from drip_pipeline.domain.graph.graph import NodeType
from drip_pipeline.domain.graph.holdout import HOLDOUT
from drip_pipeline.domain.run_variables import JsonObject
from drip_pipeline.engine.delivery.settle import EXIT_OF_SKIPPED
from drip_pipeline.engine.execution.execute import execute
from drip_pipeline.engine.execution.exit_rules import LeavingStates, split_leaving
from drip_pipeline.engine.execution.exits import exit_transitions
from drip_pipeline.engine.execution.operators import OPERATORS
from drip_pipeline.engine.execution.operators.protocol import Operator
from drip_pipeline.engine.execution.transitions import (
    EventNote,
    Transition,
    group_by_position,
)
from drip_pipeline.engine.in_memory.arrivals import Arrivals, MemoryArrival
from drip_pipeline.engine.in_memory.cap_count import CountedSend
from drip_pipeline.engine.in_memory.context import context_of
from drip_pipeline.engine.in_memory.followed_waits import followed_runs
from drip_pipeline.engine.in_memory.observer import Observer, SettledMessage
from drip_pipeline.engine.in_memory.outbox import EligibilityCheck
from drip_pipeline.engine.in_memory.schedule import Schedule
from drip_pipeline.engine.in_memory.store import (
    MemoryContact,
    MemoryMessage,
    MemoryRun,
    MemoryStore,
)
from drip_pipeline.engine.in_memory.transitions import apply_transitions
from drip_pipeline.engine.isolation import describe
from drip_pipeline.errors import EmptyMessage

Render = Callable[[MemoryMessage, datetime], OutgoingMessage]
"""Renders a message. Raises EmptyMessage if there is nothing to send, or any error of the data."""

_PERSONAL_CHANNELS: Final = ("email", "sms")


class MemoryEngine:
    """Runs of one campaign version on a virtual clock."""

    def __init__(
        self,
        store: MemoryStore,
        observer: Observer,
        *,
        operators: Mapping[NodeType, Operator] = OPERATORS,
        render: Render | None = None,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        """`render`: without it messages are sent unseen. `rates`: messages a second by channel; the
        rest of the outbox waits."""
        self.store = store
        self.schedule = Schedule()
        self._observer = observer
        self._operators = operators
        self._render = render
        self._rates = rates or {}
        self._graphs = {(store.version.campaign_id, store.version.version): store.graph}
        self._follows = bool(store.graph.follows())
        self._arrivals = Arrivals(store, self._apply, self._resume, self._withdraw, self._leaving)
        self._waiting: dict[str, list[MemoryMessage]] = {}
        self._permits = dict.fromkeys(self._rates, 0.0)

    def enroll(
        self,
        run_id: UUID,
        contact_id: UUID,
        now: datetime,
        *,
        entry: JsonObject | None = None,
        due_at: datetime | None = None,
    ) -> MemoryRun:
        """Begin a run, whose first step is due at `due_at`; it has the status `refused` if the
        holdout or an exit rule refuses the contact."""
        contact = self.store.contacts[contact_id]
        run = MemoryRun(run_id, contact, now, self.store.graph.entry_node_id)
        run.entry = entry or None
        contact.runs.append(run)
        self.store.runs[run_id] = run
        reason = self._refusal(run, now)
        if reason is not None:
            contact.runs.remove(run)
            del self.store.runs[run_id]
            run.status, run.exit_reason = "refused", reason
            return run
        run.due_at = due_at or now
        self.schedule.add_runs(run.due_at, [run])
        self._observer.entered([run], now)
        return run

    def receive(self, arrivals: Sequence[MemoryArrival], now: datetime) -> None:
        """Log events, and apply them to suppressions, runs and waits, like one ingested chunk."""
        self._arrivals.receive(arrivals, now)
        if self._follows:
            self._follow([contact for contact, _, _ in arrivals], now)

    def run_due(self, now: datetime) -> None:
        """Advance what is due and deliver, until nothing is due or the rates allow no more."""
        while True:
            runs = self.schedule.due_runs(now)
            if runs:
                self._advance(runs, now)
            sent = 0
            for channel in self.schedule.channels():
                sent += self._deliver(channel, now)
            if not runs and not sent and not self.schedule.has_due(now):
                return

    def contact_changed(self, contact: MemoryContact, now: datetime) -> None:
        """Let waits and exit rules follow a change that an application made to a contact."""
        if self._follows:
            self._follow([contact], now)

    def queue_length(self, channel: str) -> int:
        """Return the number of messages that wait for the rate of their channel."""
        return len(self._waiting.get(channel, ()))

    def has_queue(self) -> bool:
        """Return whether messages wait for a rate."""
        return any(self._waiting.values())

    def _refusal(self, run: MemoryRun, now: datetime) -> str | None:
        graph, holdout = self.store.graph, self.store.rules.holdout
        if holdout is not None and graph.has_marketing() and holdout.has(run.contact.id):
            return HOLDOUT
        if not graph.exits:
            return None
        leaving = self._leaving([run], now)
        return leaving[0].rule.why if leaving else None

    # --- advance ---------------------------------------------------------------------------------

    def _advance(self, runs: Sequence[MemoryRun], now: datetime) -> None:
        states = self.store.due_states(runs)
        context = context_of(self.store, states, now)
        groups = group_by_position(states)
        batch = execute(groups, self._graphs, context, now, self._operators)
        self._apply(batch.transitions, now)

    def _apply(self, transitions: Sequence[Transition], now: datetime) -> None:
        for transition in transitions:
            self._observer.moved(transition, now)
        apply_transitions(self.store, self.schedule, transitions, now)
        changed = [t for t in transitions if t.changes] if self._follows else []
        if changed:
            runs = self.store.runs_of([state for t in changed for state in t.states])
            self._follow([run.contact for run in runs], now)

    def _follow(self, contacts: Sequence[MemoryContact], now: datetime) -> None:
        """End the runs of changed contacts by their exit rules; let their waits end, or end at
        another time."""
        if self.store.graph.exits_follow_contacts():
            runs = [run for contact in dict.fromkeys(contacts) for run in contact.runs]
            may_end = [run for run in runs if run.is_open or run.status == "failed"]
            self._arrivals.leave_by_rules(may_end, now)
        for run, (port, until) in list(followed_runs(self.store, dict.fromkeys(contacts), now)):
            if port is not None:
                self._resume(run, port, now)
            elif until is not None:
                run.due_at = until
                self.schedule.add_runs(until, [run])

    def _resume(self, run: MemoryRun, port: str, now: datetime) -> None:
        run.resume_port = port
        run.wait_for_event = None
        run.status = "running"
        run.due_at = now
        self.schedule.add_runs(now, [run])

    def _leaving(self, runs: Sequence[MemoryRun], now: datetime) -> list[LeavingStates]:
        """Return those of these runs that an exit rule ends."""
        states = self.store.due_states(runs)
        return split_leaving(self.store.graph, states, context_of(self.store, states, now))[0]

    def _withdraw(self, runs: Sequence[MemoryRun], reason: str, now: datetime) -> None:
        """Skip the messages that runs wait for, before the runs end."""
        messages = [run.pending for run in runs if run.pending is not None]
        if messages:
            self._observer.settled([SettledMessage(each, reason) for each in messages], now)
        for message in messages:
            message.run.withdrawn = message.id

    # --- deliver ---------------------------------------------------------------------------------

    def _deliver(self, channel: str, now: datetime) -> int:
        due = self.schedule.due_messages(channel, now)
        waiting = self._waiting.pop(channel, [])
        if waiting:
            due = waiting + due
        if not due:
            return 0
        check = EligibilityCheck(self.store, now)
        permits = math.floor(self._permits[channel]) if channel in self._rates else None
        sent: list[SettledMessage] = []
        skipped: dict[str, list[MemoryMessage]] = {}
        held: dict[tuple[str, datetime], list[MemoryMessage]] = {}
        leaving: dict[str, tuple[ExitRule, list[MemoryMessage]]] = {}
        exits = self._exits(due, now)
        failed: list[tuple[MemoryMessage, str]] = []
        for number, message in enumerate(due):
            if permits is not None and len(sent) >= permits:
                self._waiting[channel] = due[number:]
                break
            if message.run.withdrawn == message.id:
                continue
            reason, until, rule = check.decide(message, exits)
            if until is not None:
                held.setdefault(until, []).append(message)
                continue
            if rule is not None:
                leaving.setdefault(rule.id, (rule, []))[1].append(message)
                continue
            if reason is None:
                rendered, reason, error = self._rendered(message, now)
                if error is not None:
                    failed.append((message, error))
                    continue
            if reason is not None:
                skipped.setdefault(reason, []).append(message)
                continue
            sent.append(SettledMessage(message, None, rendered))
            if check.counts_in_caps(message):
                message.run.contact.sends.append(CountedSend(now, channel))
        if permits is not None:
            self._permits[channel] -= len(sent)
        for (rule_name, due_at), messages in held.items():
            self.schedule.add_messages(channel, due_at, messages)
            self._observer.held(messages, rule_name, now)
        for rule, messages in leaving.values():
            self._skip(messages, rule.why, now, rule)
        for reason, messages in skipped.items():
            self._skip(messages, reason, now)
        if failed:
            self._fail(failed, now)
        if sent:
            self._settle_sent(sent, channel, now)
        ended = sum(len(messages) for _, messages in leaving.values())
        return len(sent) + sum(map(len, skipped.values())) + len(failed) + ended

    def grant(self, seconds: float, others: Mapping[str, float]) -> None:
        """Let messages of limited channels be sent for this time; unused permits of earlier times
        are lost. `others`: messages a second of other campaigns, by channel."""
        for channel, rate in self._rates.items():
            left = self._permits[channel] % 1.0
            free = max(0.0, rate - others.get(channel, 0.0))
            self._permits[channel] = left + free * seconds

    def _rendered(
        self, message: MemoryMessage, now: datetime
    ) -> tuple[OutgoingMessage | None, str | None, str | None]:
        """Return the message, the reason why it is skipped, and the error of one that fails."""
        if self._render is None:
            return None, None, None
        try:
            return self._render(message, now), None, None
        except EmptyMessage as error:
            return None, error.reason, None
        except Exception as error:  # noqa: BLE001 - an error of the data fails this run only
            return None, None, describe(error)

    def _settle_sent(self, sent: Sequence[SettledMessage], channel: str, now: datetime) -> None:
        self._observer.settled(sent, now)
        continuing = []
        for each in sent:
            message = each.message
            run = message.run
            if channel in _PERSONAL_CHANNELS:
                run.messages = {**run.messages, channel: LatestMessage(message.id, now)}
            if run.pending is message and run.is_open:
                run.last_message_at = now
                continuing.append(run)
        self._continue(continuing, now)

    def _continue(self, runs: Sequence[MemoryRun], now: datetime) -> None:
        if runs:
            self._advance(runs, now)

    def _exits(self, due: Sequence[MemoryMessage], now: datetime) -> dict[UUID, ExitRule]:
        """Return by run the exit rules that end the runs of due messages."""
        if not self.store.graph.exits:
            return {}
        runs = [message.run for message in due if message.run.is_open]
        return {state.id: rule for rule, states in self._leaving(runs, now) for state in states}

    def _skip(
        self,
        messages: Sequence[MemoryMessage],
        reason: str,
        now: datetime,
        exit_rule: ExitRule | None = None,
    ) -> None:
        self._observer.settled([SettledMessage(message, reason) for message in messages], now)
        runs = [m.run for m in messages if m.run.pending is m and m.run.is_open]
        if exit_rule is not None:
            self._exit_by_rule(exit_rule, runs, now)
        elif reason in EXIT_OF_SKIPPED:
            exit_reason, status = EXIT_OF_SKIPPED[reason]
            states = self.store.due_states(runs)
            self._apply(
                exit_transitions(states, exit_reason=exit_reason, enrollment_status=status), now
            )
        else:
            self._continue(runs, now)

    def _exit_by_rule(self, rule: ExitRule, runs: Sequence[MemoryRun], now: datetime) -> None:
        exits = exit_transitions(
            self.store.due_states(runs),
            exit_reason=rule.why,
            enrollment_status="completed",
            details={"exit": rule.id},
        )
        self._apply(exits, now)

    def _fail(self, failed: Sequence[tuple[MemoryMessage, str]], now: datetime) -> None:
        transitions = []
        for message, error in failed:
            run = message.run
            if run.pending is message and run.is_open:
                node_id = run.node_id
                note = EventNote("enrollment_failed", node_id, None, {"error": error})
                states = self.store.due_states([run])
                failure = Transition(states, node_id, None, "failed", events=(note,), error=error)
                transitions.append(replace(failure, resume_port=run.resume_port))
        self._apply(transitions, now)
