"""How often each endpoint answered how: counted in the process, added to the database now and then.
Of a request that was refused, this is all that stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date
from threading import Lock

from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import inbox as inbox_db


class RequestCounts:
    """Safe to use from several threads."""

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
        """(endpoint, outcome) → requests since the process began."""
        with self._lock:
            return dict(self._totals)

    def write(self, database: Database, day: date) -> None:
        """Add what is new to the database; what cannot be written is kept for the next time."""
        with self._lock:
            news, self._unwritten = self._unwritten, Counter()
        if not news:
            return
        try:
            with database.transaction() as connection:
                inbox_db.add_request_counts(connection, news, day=day)
        except BaseException:
            with self._lock:
                self._unwritten.update(news)
            raise
