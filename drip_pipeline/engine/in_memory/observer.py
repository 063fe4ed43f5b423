"""What happens in an engine in memory, as scenario tests and the simulation see it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from drip_pipeline.channels.protocol import OutgoingMessage
from drip_pipeline.engine.execution.transitions import Transition
from drip_pipeline.engine.in_memory.store import MemoryMessage, MemoryRun


class SettledMessage(NamedTuple):
    """A message that was sent or skipped. `rendered` is None where messages are not rendered."""

    message: MemoryMessage
    skipped_because: str | None = None
    rendered: OutgoingMessage | None = None


class Observer:
    """Does nothing; subclasses override what they need. Times are those of the virtual clock."""

    def entered(self, runs: Sequence[MemoryRun], now: datetime) -> None:
        """Runs have begun."""

    def moved(self, transition: Transition, now: datetime) -> None:
        """A group of runs has moved; called before the store changes."""

    def settled(self, messages: Sequence[SettledMessage], now: datetime) -> None:
        """Messages were sent or skipped; called before their runs continue."""

    def held(self, messages: Sequence[MemoryMessage], rule: str, now: datetime) -> None:
        """Messages were held by a rule when they were to be sent."""
