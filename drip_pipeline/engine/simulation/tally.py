"""Count what happens in a simulation, by hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from drip_pipeline.engine.execution.transitions import Transition
from drip_pipeline.engine.in_memory.observer import Observer, SettledMessage
from drip_pipeline.engine.in_memory.store import MemoryMessage, MemoryRun, MemoryStore

_HOUR: Final = timedelta(hours=1)
FAILED: Final = "failed"


class Tally(Observer):
    """The numbers of a simulation. Keys begin with the hour since its start."""

    def __init__(self, store: MemoryStore, start: datetime) -> None:
        self._store = store
        self._start = start
        self.entries: Counter[int] = Counter()
        self.at_node: Counter[tuple[int, str]] = Counter()
        """Changes of the number of runs at a node."""
        self.passed: Counter[str] = Counter()
        self.sent: Counter[tuple[int, str, str]] = Counter()
        """Messages by hour, channel and node."""
        self.reactions: Counter[tuple[str, str]] = Counter()
        """Events by node of the message and type."""
        self.of_variant: Counter[tuple[str, str, str]] = Counter()
        """By split, variant, and what: contacts, sent, or an event type."""
        self.assigned: Counter[tuple[int, str, str]] = Counter()
        self.skipped: Counter[str] = Counter()
        self.held_by_rule: Counter[str] = Counter()
        self.ended: Counter[tuple[int, str]] = Counter()
        """Ended runs by hour and reason: completed, failed, or the reason of the exit."""
        self.lengths: Counter[int] = Counter()
        """Ended runs by their length in seconds."""
        self.errors: Counter[str] = Counter()
        self.newly_sent: list[MemoryMessage] = []

    def hour(self, at: datetime) -> int:
        """Return the hour since the start."""
        return (at - self._start) // _HOUR

    def entered(self, runs: Sequence[MemoryRun], now: datetime) -> None:
        """Count runs that begin."""
        hour = self.hour(now)
        self.entries[hour] += len(runs)
        self.at_node[hour, self._store.graph.entry_node_id] += len(runs)

    def moved(self, transition: Transition, now: datetime) -> None:
        """Count a group of runs that moves."""
        hour, size = self.hour(now), len(transition.states)
        self.at_node[hour, transition.states[0].current_node_id] -= size
        for node_id in transition.path:
            self.passed[node_id] += size
        if transition.status in ("running", "waiting", "paused"):
            self.at_node[hour, transition.node_id] += size
        else:
            self._end(transition, hour, size, now)
        for note in transition.events:
            if note.event_type == "message_held":
                self.held_by_rule[str(note.data["rule"])] += size
        for assignment in transition.assignments:
            split, variant = assignment.split_node_id, assignment.variant_group
            self.assigned[hour, split, variant] += size
            self.of_variant[split, variant, "contacts"] += size

    def _end(self, transition: Transition, hour: int, size: int, now: datetime) -> None:
        status = transition.status
        reason = transition.exit_reason or "exited" if status == "exited" else status
        self.ended[hour, reason] += size
        if status == FAILED:
            self.errors[transition.error or ""] += size
        runs = self._store.runs
        for state in transition.states:
            self.lengths[int((now - runs[state.id].started_at).total_seconds())] += 1

    def settled(self, messages: Sequence[SettledMessage], now: datetime) -> None:
        """Count messages."""
        hour = self.hour(now)
        for message, reason, _ in messages:
            if reason is not None:
                self.skipped[reason] += 1
                continue
            note = message.note
            self.sent[hour, note.channel, note.node_id] += 1
            if note.split_node_id is not None and note.variant_group is not None:
                self.of_variant[note.split_node_id, note.variant_group, "sent"] += 1
            self.newly_sent.append(message)

    def held(self, messages: Sequence[MemoryMessage], rule: str, now: datetime) -> None:
        """Count messages that a rule held when they were to be sent."""
        self.held_by_rule[rule] += len(messages)

    def reacted(self, message: MemoryMessage, event_type: str) -> None:
        """Count a reaction."""
        note = message.note
        self.reactions[note.node_id, event_type] += 1
        if note.split_node_id is not None and note.variant_group is not None:
            self.of_variant[note.split_node_id, note.variant_group, event_type] += 1
