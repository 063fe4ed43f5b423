"""Detect the conditions that need an operator's attention, with a sentence and what to do.

Each condition has a key, so it is one incident while it lasts. Notices are sent in `alerts.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.operations import incidents as incidents_db
from drip_pipeline.db.operations.incidents import NewIncident
from drip_pipeline.engine.operations import data_incidents, pause_guard
from drip_pipeline.engine.operations.data_incidents import DATA_FAULTS, REJECTED_EVENTS
from drip_pipeline.engine.operations.pause_guard import ENTRIES_STOPPED, PAUSED_BY_GUARD
from drip_pipeline.redaction import redact

BACKLOG: Final = "backlog_stuck"
UNKNOWN_OUTCOME: Final = "messages_with_unknown_outcome"
BREAKER: Final = "breaker_open"
GONE: Final = "endpoint_gone"
SRM: Final = "sample_ratio_mismatch"
DECISION: Final = "decision_made"
RUN_FAILED: Final = "run_failed"
NOT_PUBLISHED: Final = "campaign_not_published"

LASTING: Final = (
    BACKLOG,
    UNKNOWN_OUTCOME,
    BREAKER,
    GONE,
    SRM,
    NOT_PUBLISHED,
    DATA_FAULTS,
    REJECTED_EVENTS,
    PAUSED_BY_GUARD,
    ENTRIES_STOPPED,
)
"""Kinds that are resolved when they are no longer detected. A failed run is resolved when its job
succeeds. A decision is resolved from the start."""

REOPENS_WITHIN: Final = timedelta(minutes=30)
"""An incident that recurs within this time is reopened instead of opened again."""
_DECISIONS_WITHIN: Final = timedelta(days=1)
_MINUTE: Final = 60
_NUMBERS_AND_IDS: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9]+(?:[.,:][0-9]+)*")
_DIGEST_DIGITS: Final = 12


def current(database: Database, *, now: datetime, backlog_minutes: int) -> list[NewIncident]:
    """Return all conditions that need attention now; changes nothing.

    Due work counts as stuck after `backlog_minutes`.
    """
    limit = timedelta(minutes=backlog_minutes)
    with database.transaction(is_read_only=True) as connection:
        return [
            *_backlog(connection, now, limit),
            *_unknown_outcomes(connection),
            *_failing_transports(connection),
            *_skewed_tests(connection),
            *_unpublished(connection),
            *_decisions(connection, now),
            *data_incidents.stopped_by_data(connection, now),
            *data_incidents.rejected_events(connection, now),
            *pause_guard.incidents(connection, now),
        ]


def update(
    database: Database,
    current_incidents: Sequence[NewIncident],
    *,
    routes: tuple[str, ...],
    now: datetime,
) -> tuple[int, int]:
    """Store what `current` returned. Return how many incidents were opened and resolved."""
    with database.transaction() as connection:
        opened = incidents_db.store(
            connection,
            current_incidents,
            routes=routes,
            reopen_since=now - REOPENS_WITHIN,
            now=now,
        )
        seen = [incident.incident_key for incident in current_incidents]
        return opened, incidents_db.resolve_unseen(connection, LASTING, seen, now=now)


def failed_run(job: str, run_id: str, cause: str, *, dagster_url: str | None = None) -> NewIncident:
    """Build the incident of a failed run.

    A job that keeps failing for one cause has one incident; another cause is another incident. The
    cause is compared without numbers and ids, because batches and counts differ from run to run.
    """
    cause = redact(cause)
    digest = sha256(_NUMBERS_AND_IDS.sub("#", cause).encode()).hexdigest()[:_DIGEST_DIGITS]
    link = f" ({dagster_url.rstrip('/')}/runs/{run_id})" if dagster_url else ""
    return NewIncident(
        f"{RUN_FAILED}/{job}/{digest}",
        RUN_FAILED,
        None,
        f"A run of {job} failed: {cause}",
        f"Open run {run_id} in Dagster{link}: the failed step shows the cause and the enrollments."
        " Uncommitted work is still due; re-execute from failure, or leave it to the next run.",
        {"job": job, "run_id": run_id},
        is_over=False,
    )


def job_of(incident_key: str) -> str:
    """Return the job of the incident of a failed run."""
    return incident_key.split("/")[1]


def _backlog(connection: Connection, now: datetime, limit: timedelta) -> Iterator[NewIncident]:
    for row in incidents_db.oldest_due_work(connection, now):
        age = now - row.due_at
        if age < limit:
            continue
        minutes = int(age.total_seconds()) // _MINUTE
        yield NewIncident(
            f"{BACKLOG}/{row.work}",
            BACKLOG,
            None,  # the engine is slow, not the campaign that happens to wait longest
            f"Due {_WORK[row.work]} have waited for {minutes:,} minutes; the oldest is of campaign"
            f" {row.campaign!r}.",
            _BACKLOG_ADVICE[row.work],
            {"minutes": minutes, "campaign_id": str(row.campaign_id)},
            is_over=False,
        )


_WORK: Final = {"people": "enrollments", "messages": "messages"}
_BACKLOG_ADVICE: Final[Mapping[str, str]] = {
    "people": "Check in Dagster that the daemon runs, the sensor `due_steps` is on and"
    " `run_due_workflows` succeeds. `drip run` processes the backlog without Dagster.",
    "messages": "Check `drip channels list` for a blocked transport, and the delivery steps of the"
    " last run of `run_due_workflows`. `drip doctor` tests each transport.",
}


def _unknown_outcomes(connection: Connection) -> Iterator[NewIncident]:
    for row in incidents_db.messages_with_unknown_outcome(connection):
        messages = "message has" if row.messages == 1 else "messages have"
        yield NewIncident(
            f"{UNKNOWN_OUTCOME}/{row.channel}",
            UNKNOWN_OUTCOME,
            None,
            f"{row.messages:,} {row.channel} {messages} an unknown outcome: handed to the provider,"
            " without an answer.",
            "`drip deliveries list --status unknown` shows them. Look them up in the provider's log"
            " and record the outcome with `drip deliveries settle`; otherwise the channel's policy"
            " decides.",
            {"messages": row.messages},
            is_over=False,
        )


def _failing_transports(connection: Connection) -> Iterator[NewIncident]:
    for row in incidents_db.failing_transports(connection):
        transport, error = row.transport, redact(row.last_error or "no reason given")
        if row.disabled_at is not None:
            yield NewIncident(
                f"{GONE}/{transport}",
                GONE,
                None,
                f"Endpoint {transport} answered that it is gone and was disabled: {error}",
                "Correct its address in the campaign or its channel, then"
                f" `drip channels reset {transport}`.",
                {"transport": transport},
                is_over=False,
            )
            continue
        yield NewIncident(
            f"{BREAKER}/{transport}",
            BREAKER,
            None,
            f"The breaker of {transport} is open after repeated failures: {error}",
            "Its messages wait and are retried automatically. `drip doctor` tests the transport;"
            f" `drip channels reset {transport}` closes the breaker at once.",
            {"transport": transport, "times_opened": row.times_opened},
            is_over=False,
        )


def _skewed_tests(connection: Connection) -> Iterator[NewIncident]:
    for row in incidents_db.tests_with_sample_ratio_mismatch(connection):
        yield NewIncident(
            f"{SRM}/{row.ab_test_id}",
            SRM,
            row.workspace_id,
            f"The A/B test of campaign {row.campaign!r} at split {row.split!r} is blocked: the"
            " enrollments of its variants do not match the expected split.",
            "Find what assigns or loses contacts unevenly (`drip ab results` shows the counts); its"
            " results cannot be trusted. `drip ab clear` unblocks it once the cause is known.",
            {"ab_test_id": str(row.ab_test_id)},
            is_over=False,
        )


def _unpublished(connection: Connection) -> Iterator[NewIncident]:
    for row in incidents_db.unpublished_with_enrollments(connection):
        wait = "enrollment waits" if row.enrollments == 1 else "enrollments wait"
        yield NewIncident(
            f"{NOT_PUBLISHED}/{row.campaign_id}",
            NOT_PUBLISHED,
            row.workspace_id,
            f"Campaign {row.campaign!r} is active but was never published: {row.enrollments:,}"
            f" {wait} in it.",
            "An application made it active in the tables. `drip campaign drafts` lists its"
            " problems; `drip campaign drafts CAMPAIGN --publish` publishes it.",
            {"campaign_id": str(row.campaign_id), "enrollments": row.enrollments},
            is_over=False,
        )


def _decisions(connection: Connection, now: datetime) -> Iterator[NewIncident]:
    for row in incidents_db.decisions_since(connection, now - _DECISIONS_WITHIN):
        about = f"The A/B test of campaign {row.campaign!r} at split {row.split!r}"
        winner = row.winner_variant
        result = f"was decided: {winner} won" if winner else "ended without a winner"
        yield NewIncident(
            f"{DECISION}/{row.decision_id}",
            DECISION,
            row.workspace_id,
            f"{about} {result} ({redact(row.reason).rstrip('.')}).",
            "No action is needed. `drip ab results` shows the evaluation; contacts that reach the"
            " split from now on are assigned to the winner."
            if winner
            else "No action is needed; `drip ab results` shows the evaluation.",
            {"decision_id": str(row.decision_id), "outcome": row.outcome},
            is_over=True,
        )
