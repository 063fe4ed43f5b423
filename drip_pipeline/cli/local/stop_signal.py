"""The request to stop: SIGTERM, SIGINT and SIGHUP set an event, and do not end the process.

A process that starts others must not end between the start of a child and the note of it. So the
signals interrupt nothing, except where the caller says that it is safe.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A stop signal arrived in `interruptible`. Database drivers cancel their statement on it."""


class StopSignal:
    """Whether a stop signal has arrived. `event` can be waited for."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._interrupts = False

    @property
    def is_set(self) -> bool:
        """Return whether a signal has arrived."""
        return self.event.is_set()

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals in the body, and restore the earlier handlers after it.

        After a signal they are ignored, because the process is about to end: a second signal must
        not turn that into a failure.
        """
        earlier = {number: signal.signal(number, self._handle) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, signal.SIG_IGN if self.is_set else handler)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a signal interrupt the body, which starts no process. Raises Stopped."""
        self._interrupts = True
        try:
            if self.is_set:
                raise Stopped
            yield
        finally:
            self._interrupts = False

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.event.set()
        if self._interrupts:
            self._interrupts = False
            raise Stopped
