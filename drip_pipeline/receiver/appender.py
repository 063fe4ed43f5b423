"""Append requests to the inbox. Requests that arrive during an INSERT are stored by the next one,
all in one statement, and are answered when it is committed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import inbox as inbox_db
from drip_pipeline.db.events.inbox import Arrival
from drip_pipeline.errors import ConstraintViolated, DataRejected, DripError

MOST_WAITING: Final = 5_000
_MOST_ROWS: Final = 1_000
_MOST_BYTES: Final = 16 * 1024 * 1024
_Waiting = tuple[Arrival, asyncio.Future[None]]


class NotStored(DripError):
    """The inbox is not writable now; the client has to repeat the request."""


class Appender:
    """Writer of the inbox. Belongs to one event loop, between `start` and `stop`."""

    def __init__(self, database: Database, *, most_waiting: int = MOST_WAITING) -> None:
        self._database = database
        self._most_waiting = most_waiting
        self._waiting: deque[_Waiting] = deque()
        self._has_arrivals = asyncio.Event()
        self._writer = ThreadPoolExecutor(1, "drip-inbox")
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False

    async def append(self, arrival: Arrival) -> None:
        """Append a request; return when it is committed. Raises NotStored."""
        if len(self._waiting) >= self._most_waiting or self._is_stopping:
            raise NotStored("too many requests are waiting to be stored")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((arrival, done))
        self._has_arrivals.set()
        await done

    def start(self) -> None:
        """Start the writer."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="drip-inbox")

    async def stop(self) -> None:
        """Write the waiting requests, then stop."""
        self._is_stopping = True
        self._has_arrivals.set()
        if self._task is not None:
            await self._task
        self._writer.shutdown(wait=False)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._waiting:
                if self._is_stopping:
                    return
                self._has_arrivals.clear()
                await self._has_arrivals.wait()
                continue
            batch = self._next_batch()
            arrivals = [arrival for arrival, _ in batch]
            failed = await loop.run_in_executor(self._writer, self._write, arrivals)
            for (_, done), has_failed in zip(batch, failed, strict=True):
                if done.done():
                    continue  # the client has disconnected
                if has_failed:
                    done.set_exception(NotStored("the inbox is not writable"))
                else:
                    done.set_result(None)

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and len(batch) < _MOST_ROWS and size < _MOST_BYTES:
            batch.append(self._waiting.popleft())
            size += len(batch[-1][0].payload)
        return batch

    def _write(self, arrivals: Sequence[Arrival]) -> list[bool]:
        """Write the requests. Return for each whether it failed."""
        try:
            with self._database.transaction() as connection:
                inbox_db.append(connection, arrivals)
        except (DataRejected, ConstraintViolated):
            # A value that the database refuses fails only its own request.
            if len(arrivals) == 1:
                return [True]
            return [failed for arrival in arrivals for failed in self._write([arrival])]
        except DripError:
            return [True] * len(arrivals)
        return [False] * len(arrivals)
