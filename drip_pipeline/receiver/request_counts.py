"""Count requests by endpoint and outcome, in memory, and add them to the database periodically.

Nothing else is stored of refused requests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date
from threading import Lock

from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import inbox as inbox_db


class RequestCounts:
    """Numbers of requests. Thread-safe."""

    def __init__(self) -> None:
        self._totals: Counter[tuple[str, str]] = Counter()
        self._unwritten: Counter[tuple[str, str]] = Counter()
        self._lock = Lock()

    def add(self, endpoint: str, outcome: str) -> None:
        """Count one request."""
        with self._lock:
            self._totals[endpoint, outcome] += 1
            self._unwritten[endpoint, outcome] += 1

    def totals(self) -> Mapping[tuple[str, str], int]:
        """Return the requests since the start of the process, by (endpoint, outcome)."""
        with self._lock:
            return dict(self._totals)

    def write(self, database: Database, day: date) -> None:
        """Add new counts to the database; on an error they are kept for the next call."""
        with self._lock:
            unwritten, self._unwritten = self._unwritten, Counter()
        if not unwritten:
            return
        try:
            with database.transaction() as connection:
                inbox_db.add_request_counts(connection, unwritten, day=day)
        except BaseException:
            with self._lock:
                self._unwritten.update(unwritten)
            raise
