"""The laws that hold in the database between any two transactions, each with the rows that break
it. Asset checks and the doctor ask here; nothing is repaired.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.db.metrics import daily_metrics as metrics_db
from drip_pipeline.db.operations import invariants as invariants_db
from drip_pipeline.db.operations import retention as retention_db
from drip_pipeline.engine.metrics.daily_metrics import days_to_refresh

SAMPLE: Final = 10
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END: Final = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class InvariantResult:
    """Whether a law holds. `violations` counts all rows that break it, `sample` shows some."""

    name: str
    meaning: str
    violations: int
    sample: list[dict[str, Any]] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """No row breaks it."""
        return self.violations == 0


@dataclass(frozen=True, slots=True)
class _Scope:
    """From when on log and messages are looked at, up to when, and which days are left out since
    they are to be counted anew.
    """

    since: datetime
    now: datetime
    days_left_out: list[date]


INVARIANTS: Final[Mapping[str, str]] = {
    "population": "entered = active + completed + exited + failed, for every campaign version",
    "sent_once": "what went out stands once each in outbox, outcomes and log",
    "outcomes_match_log": "message outcomes say what the log says",
    "metrics_match_outcomes": "daily figures are the sums of message outcomes",
    "rates": "no rate is below 0 or above 100",
    "no_orphans": "every event, message and enrollment has its person",
    "recorded_once": "the recorder holds no delivery twice",
}


def check_invariants(
    database: Database,
    *,
    now: datetime,
    names: tuple[str, ...] = tuple(INVARIANTS),
    since: datetime | None = None,
    are_metrics_fresh: bool = False,
) -> list[InvariantResult]:
    """Look whether these laws hold, all in one snapshot.

    `since` spares what is older. Daily figures are compared on days that are not about to be
    counted anew; `are_metrics_fresh` says that they have just been, and compares all unmarked ones.
    """
    left_out = [] if are_metrics_fresh else days_to_refresh(database, now=now)
    with database.transaction(is_read_only=True) as connection:
        # What was archived or dropped by age is not missing.
        horizons = retention_db.horizons(connection)
        begins = max([since or _BEGINNING, *horizons.values()])
        scope = _Scope(begins, now, left_out)
        return [_result(name, _QUERIES[name](connection, scope)) for name in names]


def _result(name: str, rows: list[dict[str, Any]]) -> InvariantResult:
    violations = rows[0].pop("violations") if rows else 0
    for row in rows[1:]:
        row.pop("violations")
    return InvariantResult(name, INVARIANTS[name], violations, rows)


def _population(connection: Connection, _scope: _Scope) -> list[dict[str, Any]]:
    wrong = [row for row in states_db.population(connection) if not row.is_balanced]
    return [row._asdict() | {"violations": len(wrong)} for row in wrong[:SAMPLE]]


def _sent_once(connection: Connection, scope: _Scope) -> list[dict[str, Any]]:
    return invariants_db.sent_once(connection, sent_from=scope.since, sent_to=_END, sample=SAMPLE)


def _log_is_outcomes(connection: Connection, scope: _Scope) -> list[dict[str, Any]]:
    return invariants_db.outcomes_match_log(
        connection, sent_from=scope.since, sent_to=_END, sample=SAMPLE
    )


def _outcomes_are_metrics(connection: Connection, scope: _Scope) -> list[dict[str, Any]]:
    return invariants_db.metrics_match_outcomes(
        connection,
        days_left_out=[*scope.days_left_out, *metrics_db.stale_dates(connection)],
        last_day=metrics_db.latest_date(connection, scope.now),
        sample=SAMPLE,
    )


def _rates(connection: Connection, _scope: _Scope) -> list[dict[str, Any]]:
    return invariants_db.rates(connection, sample=SAMPLE)


def _no_orphans(connection: Connection, scope: _Scope) -> list[dict[str, Any]]:
    rows = invariants_db.no_orphans(connection, since=scope.since, sample=SAMPLE)
    total = sum(row["orphans"] for row in rows)
    return [row | {"violations": total} for row in rows]


def _recorded_once(connection: Connection, _scope: _Scope) -> list[dict[str, Any]]:
    return invariants_db.recorded_once(connection, sample=SAMPLE)


_QUERIES: Final[Mapping[str, Callable[[Connection, _Scope], list[dict[str, Any]]]]] = {
    "population": _population,
    "sent_once": _sent_once,
    "outcomes_match_log": _log_is_outcomes,
    "metrics_match_outcomes": _outcomes_are_metrics,
    "rates": _rates,
    "no_orphans": _no_orphans,
    "recorded_once": _recorded_once,
}
