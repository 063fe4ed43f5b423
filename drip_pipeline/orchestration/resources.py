"""What ops, assets and sensors are handed: the engine, and the clock of a run. Neither holds a
secret that could be shown: the engine is put together from the environment when a run begins.
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
from drip_pipeline.orchestration.shards import share_of_run
from drip_pipeline.settings import Settings

BACKLOG_SHARE = 0.2
"""The part of that which messages may take that were due before the run began."""


class EngineResource(dg.ConfigurableResource["EngineResource"]):
    """The engine of the environment's settings (DRIP_…). It has nothing to configure here, so
    neither run pages nor logs can show the database's URL.
    """

    _engine: Engine | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[EngineResource]:
        """Open it for one run or tick, close it afterwards."""
        settings = Settings.from_env()
        share = share_of_run(context.run.tags if context.run is not None else {})
        database = Database.from_settings(settings, application_name="drip-dagster")
        self._engine = engine_from(settings, database, shard=share.number - 1, shards=share.of)
        try:
            yield self
        finally:
            close(self._engine)
            self._engine = None

    @property
    def engine(self) -> Engine:
        """Database, channels and batch size."""
        if self._engine is None:
            raise DripError("the engine is only there while a run or a tick is on")
        return self._engine

    @property
    def database(self) -> Database:
        """The engine's database."""
        return self.engine.database


class RunClock(dg.ConfigurableResource["RunClock"]):
    """The time a run works at, and how long it may take."""

    now: str | None = Field(
        default=None,
        description="Take this ISO 8601 time as the present (tests, simulation). Empty: the real "
        "time, read anew by each step.",
    )
    budget_seconds: float = Field(
        default=45.0,
        gt=0,
        description="Real time after which a run begins no further batch; the next run goes on. "
        "Above 100, raise the run's tag `dagster/max_runtime` too.",
    )

    _started: float = PrivateAttr(default=0.0)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Start the stopwatch: once for a run, as all its steps share one process."""
        self._started = monotonic()
        self.moment()

    def moment(self) -> datetime:
        """The present time. Raises ValueError when `now` is no time."""
        if not self.now:
            return self.real()
        found = datetime.fromisoformat(self.now)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)

    def real(self) -> datetime:
        """The real time, whatever `now` says."""
        return datetime.now(UTC)

    def began_at(self) -> datetime:
        """When the run began, by the real clock."""
        return self.real() - timedelta(seconds=monotonic() - self._started)

    def seconds_for_share(self, number: int, of: int) -> float:
        """How long the share of this number may take: what is left for advancing, evenly parted
        among it and those after it.
        """
        left = self._seconds_left() - DELIVERY_SHARE * self.budget_seconds
        return max(0.0, left) / (of - number + 1)

    def seconds_for_backlog(self) -> float:
        """How long handing over may take before the run's own messages are there."""
        return BACKLOG_SHARE * self.budget_seconds

    def seconds_for_delivery(self) -> float:
        """How long handing over on one channel may take: all that is left, and a little where the
        channels before it used it up.
        """
        return max(self._seconds_left(), (DELIVERY_SHARE - BACKLOG_SHARE) * self.budget_seconds)

    def _seconds_left(self) -> float:
        return self.budget_seconds - (monotonic() - self._started)
