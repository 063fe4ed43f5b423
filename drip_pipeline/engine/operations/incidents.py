"""What is wrong at this moment, in words that say what to do. Each trouble has a key, so that it is
one incident for as long as it lasts; who is told of it is said in alerts.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.operations import incidents as incidents_db
from drip_pipeline.db.operations.incidents import IncidentRow
from drip_pipeline.redaction import redact

BACKLOG: Final = "backlog_stuck"
IN_DOUBT: Final = "messages_with_unknown_outcome"
BREAKER: Final = "breaker_open"
GONE: Final = "endpoint_gone"
SRM: Final = "sample_ratio_mismatch"
DECISION: Final = "decision_made"
RUN_FAILED: Final = "run_failed"

LASTING: Final = (BACKLOG, IN_DOUBT, BREAKER, GONE, SRM)
"""Kinds that are over when they are no longer seen. A failed run is over when its job succeeds; a
decision is nothing that lasts."""

REOPENS_WITHIN: Final = timedelta(minutes=30)
"""Trouble that is back within this time was never over."""
_DECISIONS_WITHIN: Final = timedelta(days=1)
_MINUTE: Final = 60


def look(database: Database, *, now: datetime, backlog_minutes: int) -> list[IncidentRow]:
    """Everything that is wrong now; changes nothing. `backlog_minutes`: how long due work may wait
    before it counts as stuck.
    """
    limit = timedelta(minutes=backlog_minutes)
    with database.transaction(is_read_only=True) as connection:
        return [
            *_backlog(connection, now, limit),
            *_doubts(connection),
            *_ways_out(connection),
            *_skewed_tests(connection),
            *_decisions(connection, now),
        ]


def note(
    database: Database, found: list[IncidentRow], *, routes: tuple[str, ...], now: datetime
) -> tuple[int, int]:
    """Write down what `look` found: how many incidents are new, and how many are over."""
    with database.transaction() as connection:
        opened = incidents_db.note(
            connection, found, routes=routes, reopen_since=now - REOPENS_WITHIN, now=now
        )
        seen = [row.incident_key for row in found]
        return opened, incidents_db.resolve_unseen(connection, LASTING, seen, now=now)


def failed_run(job: str, run_id: str, cause: str) -> IncidentRow:
    """A run of a Dagster job failed. As long as the job keeps failing it is one incident."""
    return IncidentRow(
        run_key(job),
        RUN_FAILED,
        None,
        f"A run of {job} failed: {redact(cause)}",
        f"Open run {run_id[:8]} in Dagster: the failed step says what broke and over whom. What it"
        " had not committed is still due; re-execute from failure, or leave it to the next run.",
        {"job": job, "run_id": run_id},
        is_over=False,
    )


def run_key(job: str) -> str:
    """The key of the incident that a job fails."""
    return f"{RUN_FAILED}/{job}"


def _backlog(connection: Connection, now: datetime, limit: timedelta) -> Iterator[IncidentRow]:
    for row in incidents_db.oldest_due_work(connection, now):
        age = now - row["due_at"]
        if age < limit:
            continue
        minutes = int(age.total_seconds()) // _MINUTE
        yield IncidentRow(
            f"{BACKLOG}/{row['work']}",
            BACKLOG,
            None,  # whichever campaign waits longest, the engine is what is slow
            f"Due {row['work']} have waited for {minutes:,} minutes; the oldest is of campaign"
            f" {row['campaign']!r}.",
            _BACKLOG_ADVICE[row["work"]],
            {"minutes": minutes, "campaign_id": str(row["campaign_id"])},
            is_over=False,
        )


_BACKLOG_ADVICE: Final[Mapping[str, str]] = {
    "people": "See in Dagster whether the daemon runs, the sensor `due_steps` is on and"
    " `run_due_workflows` succeeds; `drip run` works off the backlog without Dagster.",
    "messages": "See `drip channels list` for a way out that is blocked, and the last run of"
    " `run_due_workflows` for what its delivery steps say; `drip doctor` tries each way out.",
}


def _doubts(connection: Connection) -> Iterator[IncidentRow]:
    for row in incidents_db.messages_with_unknown_outcome(connection):
        count, channel = row["messages"], row["channel"]
        messages = "message is" if count == 1 else "messages are"
        yield IncidentRow(
            f"{IN_DOUBT}/{channel}",
            IN_DOUBT,
            None,
            f"{count:,} {channel} {messages} in doubt: handed over, and nobody knows whether they"
            " went out.",
            "`drip deliveries list --status unknown` shows them. Look them up in the provider's log"
            " and say so with `drip deliveries settle`; otherwise their channel's policy decides.",
            {"messages": count},
            is_over=False,
        )


def _ways_out(connection: Connection) -> Iterator[IncidentRow]:
    for row in incidents_db.failing_transports(connection):
        transport, error = row["transport"], redact(row["last_error"] or "no reason given")
        if row["disabled_at"] is not None:
            yield IncidentRow(
                f"{GONE}/{transport}",
                GONE,
                None,
                f"The way out {transport} said that it is gone and is not called any more: {error}",
                "Correct its address in the campaign or its channel, then"
                f" `drip channels reset {transport}`.",
                {"transport": transport},
                is_over=False,
            )
            continue
        yield IncidentRow(
            f"{BREAKER}/{transport}",
            BREAKER,
            None,
            f"The breaker of {transport} is open after repeated failures: {error}",
            "Its messages wait and are tried again by themselves. `drip doctor` tries the way out;"
            f" `drip channels reset {transport}` closes the breaker at once.",
            {"transport": transport, "times_opened": row["times_opened"]},
            is_over=False,
        )


def _skewed_tests(connection: Connection) -> Iterator[IncidentRow]:
    for row in incidents_db.tests_with_sample_ratio_mismatch(connection):
        campaign = row["campaign"]
        yield IncidentRow(
            f"{SRM}/{row['ab_test_id']}",
            SRM,
            row["workspace_id"],
            f"The A/B test of campaign {campaign!r} at split {row['split']!r} is blocked: its"
            " variants did not get the shares of people they should have.",
            "Find what assigns or loses people unevenly (`drip ab results` shows the counts); its"
            " figures cannot be trusted. `drip ab clear` lets it go on once the cause is known.",
            {"ab_test_id": str(row["ab_test_id"])},
            is_over=False,
        )


def _decisions(connection: Connection, now: datetime) -> Iterator[IncidentRow]:
    for row in incidents_db.decisions_since(connection, now - _DECISIONS_WITHIN):
        about = f"The A/B test of campaign {row['campaign']!r} at split {row['split']!r}"
        won = row["winner_variant"]
        told = f"was decided: {won} won" if won else "ended without a winner"
        yield IncidentRow(
            f"{DECISION}/{row['decision_id']}",
            DECISION,
            row["workspace_id"],
            f"{about} {told} ({redact(str(row['reason'])).rstrip('.')}).",
            "Nothing has to be done. `drip ab results` shows what the decision rests on; everybody"
            " who reaches the split from now on goes to the winner."
            if won
            else "Nothing has to be done; `drip ab results` shows what was found.",
            {"decision_id": str(row["decision_id"]), "outcome": row["outcome"]},
            is_over=True,
        )
