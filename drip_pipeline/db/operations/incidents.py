"""Incidents as rows: what the database shows of trouble, what of it is known, and the notices that
are still to be told. Which words they get is said in engine/.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class IncidentRow(NamedTuple):
    """An incident as it is written. `is_over`: it happened once and does not last."""

    incident_key: str
    kind: str
    workspace_id: UUID | None
    sentence: str
    what_to_do: str
    details: dict[str, Any]
    is_over: bool


def oldest_due_work(connection: Connection, now: datetime) -> list[dict[str, Any]]:
    """work (`people`, `messages`), campaign_id, campaign, workspace_id and due_at: the oldest of
    each; none where nothing is due.
    """
    return queries.rows(connection, "oldest_due_work", now=now)


def messages_with_unknown_outcome(connection: Connection) -> list[dict[str, Any]]:
    """channel, messages and oldest_at."""
    return queries.rows(connection, "messages_with_unknown_outcome")


def failing_transports(connection: Connection) -> list[dict[str, Any]]:
    """transport, channel, open_until, disabled_at, times_opened and last_error."""
    return queries.rows(connection, "failing_transports")


def tests_with_sample_ratio_mismatch(connection: Connection) -> list[dict[str, Any]]:
    """ab_test_id, workspace_id, campaign and split."""
    return queries.rows(connection, "tests_with_sample_ratio_mismatch")


def decisions_since(connection: Connection, since: datetime) -> list[dict[str, Any]]:
    """decision_id, workspace_id, campaign, split, outcome, winner_variant, decided_by, reason."""
    return queries.rows(connection, "decisions_since", since=since)


def note(
    connection: Connection,
    found: Sequence[IncidentRow],
    *,
    routes: Sequence[str],
    reopen_since: datetime,
    now: datetime,
) -> int:
    """Write down what was found; how many incidents are new. One that was over and is back since
    `reopen_since` is the same as before.
    """
    queries.run(connection, "lock_incidents")
    lasting = [row for row in found if not row.is_over]
    queries.run(
        connection,
        "reopen_incidents",
        keys=[row.incident_key for row in lasting],
        since=reopen_since,
        now=now,
    )
    queries.run(
        connection,
        "refresh_incidents",
        keys=[row.incident_key for row in lasting],
        sentences=[row.sentence for row in lasting],
        what_to_dos=[row.what_to_do for row in lasting],
        details=[orjson.dumps(row.details).decode() for row in lasting],
        now=now,
    )
    opened: int = queries.scalar(
        connection,
        "open_incidents",
        keys=[row.incident_key for row in found],
        kinds=[row.kind for row in found],
        workspace_ids=[row.workspace_id for row in found],
        sentences=[row.sentence for row in found],
        what_to_do=[row.what_to_do for row in found],
        details=[orjson.dumps(row.details).decode() for row in found],
        over=[row.is_over for row in found],
        routes=list(routes),
        now=now,
    )
    return opened


def resolve_unseen(
    connection: Connection, kinds: Sequence[str], seen_keys: Sequence[str], *, now: datetime
) -> int:
    """Close the open incidents of these kinds that were not seen now; how many."""
    return queries.run(
        connection, "resolve_unseen", kinds=list(kinds), keys=list(seen_keys), now=now
    )


def resolve(connection: Connection, incident_key: str, *, now: datetime) -> int:
    """Close the open incident of this key; how many there were."""
    return queries.run(connection, "resolve_incident", incident_key=incident_key, now=now)


def take_notices(
    connection: Connection,
    routes: Sequence[str],
    *,
    most_attempts: int,
    limit: int,
    now: datetime,
) -> list[dict[str, Any]]:
    """Notices to be told now: incident_id, route, kind, sentence, what_to_do, opened_at."""
    return queries.rows(
        connection,
        "take_notices",
        routes=list(routes),
        most_attempts=most_attempts,
        row_limit=limit,
        now=now,
    )


def record_notice_result(
    connection: Connection, incident_id: UUID, route: str, error: str | None, *, now: datetime
) -> None:
    """Told, or not, with the error."""
    queries.run(
        connection,
        "record_notice_result",
        incident_id=incident_id,
        route=route,
        error=error,
        now=now,
    )


def listed(connection: Connection, *, is_all: bool, limit: int) -> list[dict[str, Any]]:
    """Incidents with their notices, open ones first."""
    return queries.rows(connection, "list_incidents", is_all=is_all, row_limit=limit)


def open_of_kind(connection: Connection, kind: str) -> list[dict[str, Any]]:
    """incident_key, opened_at and seen_at of the open ones."""
    return queries.rows(connection, "open_incident_keys", kind=kind)
