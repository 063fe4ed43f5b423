"""Reading from a standby: reports and metrics of DRIP_READ_DATABASE_URL.

What a standby answers is as old as its lag. Each transaction measures it first, so that an answer
is never older than the setting allows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.errors import DatabaseUnsuitable
from drip_pipeline.settings import Settings

_MINUTE_SECONDS = 60


class StandbyState(NamedTuple):
    """Whether a server is a standby, and its lag; None if it cannot be known."""

    is_standby: bool
    lag_seconds: float | None


class ReadDatabase(Database):
    """A database that is only read from. `lag_seconds`: the largest lag of its transactions."""

    def __init__(self, url: str, *, max_lag_seconds: float) -> None:
        """`max_lag_seconds`: 0 accepts any lag."""
        super().__init__(url, application_name="drip-read")
        self._max_lag_seconds = max_lag_seconds
        self.lag_seconds: float | None = 0.0

    @contextmanager
    def transaction(self, *, is_read_only: bool = True) -> Iterator[Connection]:
        """Yield a connection in a transaction that only reads.

        Raises DatabaseUnsuitable if the server is too far behind its primary.
        """
        with super().transaction(is_read_only=True) as connection:
            self._check_lag(connection)
            yield connection

    def _check_lag(self, connection: Connection) -> None:
        lag = standby_state(connection).lag_seconds
        if self._is_too_old(lag):
            # After a pause of the primary, a record that has just come seems as old as the pause.
            queries.run(connection, "wait_for_replay")
            lag = standby_state(connection).lag_seconds
        if self._is_too_old(lag):
            behind = "an unknown time" if lag is None else _duration(lag)
            raise DatabaseUnsuitable(
                f"the standby of DRIP_READ_DATABASE_URL is {behind} behind its primary, or has"
                f" lost it; at most {self._max_lag_seconds:g} seconds are allowed",
                hint="Check its replication; unset DRIP_READ_DATABASE_URL to read from the primary;"
                " or set DRIP_READ_MAX_LAG (seconds, 0: any lag).",
            )
        if lag is None or (self.lag_seconds is not None and lag > self.lag_seconds):
            self.lag_seconds = lag

    def _is_too_old(self, lag: float | None) -> bool:
        return self._max_lag_seconds > 0 and (lag is None or lag > self._max_lag_seconds)


def read_database(settings: Settings) -> ReadDatabase | None:
    """Return the database of DRIP_READ_DATABASE_URL, None if it is not set."""
    if settings.read_database_url is None:
        return None
    url = settings.read_database_url.reveal()
    return ReadDatabase(url, max_lag_seconds=settings.read_max_lag)


def standby_state(connection: Connection) -> StandbyState:
    """Return whether the server is a standby, and its lag in seconds."""
    state = queries.record(connection, "standby_state", StandbyState)
    assert state is not None
    return state


def check_writable(connection: Connection) -> None:
    """Raise DatabaseUnsuitable if the transaction cannot write."""
    if not queries.scalar(connection, "is_read_only"):
        return
    if not standby_state(connection).is_standby:
        raise DatabaseUnsuitable(
            "default_transaction_read_only is on, and the engine must write",
            hint="Reset it for the role, the database or the server of DRIP_DATABASE_URL, or in its"
            " options: ALTER ROLE … RESET default_transaction_read_only;",
        )
    raise DatabaseUnsuitable(
        "the server of DRIP_DATABASE_URL is a standby, and the engine must write",
        hint="Name the primary; or all hosts, with target_session_attrs, which finds the primary:"
        " postgresql://user:password@host1:5432,host2:5432/name?target_session_attrs=read-write",
    )


def _duration(seconds: float) -> str:
    if seconds < 2 * _MINUTE_SECONDS:
        return f"{seconds:.0f} seconds"
    return f"{seconds / _MINUTE_SECONDS:,.0f} minutes"
