"""Resources of ops, assets and sensors: the engine, and the clock of a run.

Neither has a secret in its configuration: the engine reads the environment when a run starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic

import dagster as dg
from pydantic import Field, PrivateAttr

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.runner.factory import close, engine_from
from drip_pipeline.engine.runner.tick import DELIVERY_SHARE, Engine
from drip_pipeline.errors import DripError
from drip_pipeline.iso_times import read_time
from drip_pipeline.orchestration.shards import shard_of_run
from drip_pipeline.settings import Settings

BACKLOG_SHARE = 0.2
"""The part of the budget for messages that were due before the run started."""


class EngineResource(dg.ConfigurableResource["EngineResource"]):
    """The engine, configured by the environment's settings (DRIP_…).

    It has no configuration of its own, so neither run pages nor logs can show the database's URL.
    """

    _engine: Engine | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[EngineResource]:
        """Open the engine for one run or tick, and close it afterwards."""
        settings = Settings.from_env()
        shard = shard_of_run(context.run.tags if context.run is not None else {})
        database = Database.from_settings(settings, application_name="drip-dagster")
        self._engine = engine_from(settings, database, shard=shard.number - 1, shards=shard.of)
        try:
            yield self
        finally:
            close(self._engine)
            self._engine = None

    @property
    def engine(self) -> Engine:
        """Return the open engine. Raises DripError outside a run or tick."""
        if self._engine is None:
            raise DripError("the engine is only open during a run or a tick")
        return self._engine

    @property
    def database(self) -> Database:
        """Return the engine's database."""
        return self.engine.database


class RunClock(dg.ConfigurableResource["RunClock"]):
    """The logical time of a run, and its time budget."""

    now: str | None = Field(
        default=None,
        description="Use this ISO 8601 time as the current time (tests, simulation). Empty: the "
        "real time, read again by each step.",
    )
    budget_seconds: float = Field(
        default=45.0,
        gt=0,
        description="Wall-clock seconds after which a run starts no further batch; the next run "
        "continues. Above 100, raise the run's tag `dagster/max_runtime` too.",
    )

    _started: float = PrivateAttr(default=0.0)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Start the stopwatch: once for a run, because all its steps share one process."""
        self._started = monotonic()
        self.current()

    def current(self) -> datetime:
        """Return the logical time. Raises ValueError if `now` is not a time."""
        if not self.now:
            return self.real()
        try:
            return read_time(self.now)
        except ValueError as error:
            raise ValueError(f"now: {self.now!r} {error}") from None

    def real(self) -> datetime:
        """Return the wall-clock time, whatever `now` is."""
        return datetime.now(UTC)

    def began_at(self) -> datetime:
        """Return the wall-clock time at which the run started."""
        return self.real() - timedelta(seconds=monotonic() - self._started)

    def seconds_for_batch(self, number: int, of: int) -> float:
        """Return the time of batch `number`: an equal part of the time left for all that follow."""
        left = self._seconds_left() - DELIVERY_SHARE * self.budget_seconds
        return max(0.0, left) / (of - number + 1)

    def seconds_for_backlog(self) -> float:
        """Return the time for messages that were due before the run started."""
        return BACKLOG_SHARE * self.budget_seconds

    def seconds_for_delivery(self) -> float:
        """Return the time for the messages of one channel.

        All time that is left, and a minimum if the channels before have used it up.
        """
        return max(self._seconds_left(), (DELIVERY_SHARE - BACKLOG_SHARE) * self.budget_seconds)

    def _seconds_left(self) -> float:
        return self.budget_seconds - (monotonic() - self._started)
