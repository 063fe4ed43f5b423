"""Open an incident for a violated invariant, and resolve it when the invariant holds again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from drip_pipeline.db.connection import Database
from drip_pipeline.db.operations import incidents as incidents_db
from drip_pipeline.db.operations.incidents import NewIncident
from drip_pipeline.engine.operations.alerts import raise_incident
from drip_pipeline.engine.operations.invariants import InvariantResult
from drip_pipeline.settings import Settings

INVARIANT_BROKEN: Final = "invariant_broken"

_COUNT_AGAIN: Final = (
    "`drip metrics rebuild --from DAY --to DAY --outcomes` computes the days again from the event"
    " log; then `drip metrics check`."
)
_ADVICE: Final[Mapping[str, str]] = {
    "outcomes_match_log": _COUNT_AGAIN,
    "metrics_match_outcomes": _COUNT_AGAIN,
    "rates": _COUNT_AGAIN,
    "ab_counts": "Nothing is decided until it holds. `drip ab judge C` counts the test again.",
    "ab_outcomes": _COUNT_AGAIN,
}
_FIND_THE_WRITER: Final = (
    "The check's result has a sample of the rows. The engine does not write such rows: look for"
    " statements by hand and for triggers of other applications, and correct the rows; then"
    " `drip metrics check`."
)


def record_result(
    database: Database, settings: Settings, result: InvariantResult, *, now: datetime
) -> None:
    """Store the incident of a violated invariant and send its notices, or resolve its incident.

    An invariant that stays violated is one incident.
    """
    if not result.holds:
        raise_incident(database, settings, incident_of(result), now=now)
        return
    with database.transaction() as connection:
        incidents_db.resolve(connection, _key(result.name), now=now)


def incident_of(result: InvariantResult) -> NewIncident:
    """Build the incident of a violated invariant."""
    rows = "row violates" if result.violations == 1 else "rows violate"
    return NewIncident(
        _key(result.name),
        INVARIANT_BROKEN,
        None,
        f"Invariant broken: {result.violations:,} {rows} `{result.name}` ({result.meaning}).",
        _ADVICE.get(result.name, _FIND_THE_WRITER),
        {"invariant": result.name, "violations": result.violations},
        is_over=False,
    )


def _key(name: str) -> str:
    return f"{INVARIANT_BROKEN}/{name}"
