"""Invariants of the stored data: conditions that hold between any two transactions.

The asset checks and `drip metrics check` evaluate them. Nothing is repaired here. The invariants of
A/B tests are in `ab_test_invariants.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.db.metrics import daily_metrics as metrics_db
from drip_pipeline.db.operations import invariants as invariants_db
from drip_pipeline.db.operations import retention as retention_db
from drip_pipeline.db.operations.invariants import Violations
from drip_pipeline.engine.metrics.daily_metrics import days_to_refresh

SAMPLE: Final = 10
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END: Final = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class InvariantResult:
    """The result of one invariant.

    `violations` is the number of violating rows. `sample` has up to SAMPLE of them by column name.
    """

    name: str
    meaning: str
    violations: int
    sample: Sequence[Mapping[str, object]] = ()

    @property
    def holds(self) -> bool:
        """Return whether no row violates the invariant."""
        return self.violations == 0


@dataclass(frozen=True, slots=True)
class _Scope:
    """The rows to check: events and messages since `since`, and all days but `skipped_days`."""

    since: datetime
    now: datetime
    skipped_days: list[date]


INVARIANTS: Final[Mapping[str, str]] = {
    "population": "entered = active + completed + exited + failed, for every campaign version",
    "sent_once": "every sent message is once each in outbox, outcomes and log",
    "outcomes_match_log": "message outcomes agree with the event log",
    "metrics_match_outcomes": "daily metrics are the sums of message outcomes",
    "rates": "no rate is below 0 or above 100",
    "no_orphans": "every event, message and enrollment has its contact and its workflow state",
    "recorded_once": "the recorder has stored no delivery twice",
}


def check_invariants(
    database: Database,
    *,
    now: datetime,
    names: tuple[str, ...] = tuple(INVARIANTS),
    since: datetime | None = None,
    are_metrics_fresh: bool = False,
) -> list[InvariantResult]:
    """Evaluate the invariants `names` in one snapshot, in that order.

    Events and messages before `since` are not checked, nor are those that retention has removed.
    Daily metrics are not compared on days that are about to be recomputed. With
    `are_metrics_fresh`, the caller has just recomputed them: only days marked as stale are skipped.
    """
    skipped_days = [] if are_metrics_fresh else days_to_refresh(database, now=now)
    with database.transaction(is_read_only=True) as connection:
        watermarks = retention_db.watermarks(connection)
        begins_at = max([since or _BEGINNING, *watermarks.values()])
        scope = _Scope(begins_at, now, skipped_days)
        return [_result(name, _QUERIES[name](connection, scope)) for name in names]


def _result(name: str, violations: Violations) -> InvariantResult:
    return InvariantResult(name, INVARIANTS[name], violations.total, violations.sample)


def _population(connection: Connection, _scope: _Scope) -> Violations:
    rows = [row for row in states_db.population(connection) if not row.is_balanced]
    return Violations(len(rows), [row._asdict() for row in rows[:SAMPLE]])


def _metrics_match_outcomes(connection: Connection, scope: _Scope) -> Violations:
    return invariants_db.metrics_match_outcomes(
        connection,
        skipped_days=[*scope.skipped_days, *metrics_db.stale_dates(connection)],
        last_day=metrics_db.latest_date(connection, scope.now),
        sample=SAMPLE,
    )


_QUERIES: Final[Mapping[str, Callable[[Connection, _Scope], Violations]]] = {
    "population": _population,
    "sent_once": lambda connection, scope: invariants_db.sent_once(
        connection, sent_from=scope.since, sent_to=_END, sample=SAMPLE
    ),
    "outcomes_match_log": lambda connection, scope: invariants_db.outcomes_match_log(
        connection, sent_from=scope.since, sent_to=_END, sample=SAMPLE
    ),
    "metrics_match_outcomes": _metrics_match_outcomes,
    "rates": lambda connection, _scope: invariants_db.rates(connection, sample=SAMPLE),
    "no_orphans": lambda connection, scope: invariants_db.no_orphans(
        connection, since=scope.since, sample=SAMPLE
    ),
    "recorded_once": lambda connection, _scope: invariants_db.recorded_once(
        connection, sample=SAMPLE
    ),
}
