"""Read conditions that are incidents, store incidents, and lease the notices that report them.

The texts of incidents are written in engine/operations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, TypedDict
from uuid import UUID

import orjson

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class NewIncident(NamedTuple):
    """An incident to store. `is_over`: it happened once and is resolved from the start."""

    incident_key: str
    kind: str
    workspace_id: UUID | None
    sentence: str
    what_to_do: str
    details: Mapping[str, object]
    is_over: bool


class OldestDueWork(NamedTuple):
    """The longest overdue work of one kind: `people` (workflow states) or `messages`."""

    work: str
    campaign_id: UUID
    campaign: str
    workspace_id: UUID
    due_at: datetime


class UnknownOutcomes(NamedTuple):
    """Messages of one channel whose outcome is unknown."""

    channel: str
    messages: int
    oldest_at: datetime


class FailingTransport(NamedTuple):
    """A transport whose breaker is open, or that is disabled (`disabled_at`)."""

    transport: str
    channel: str
    open_until: datetime | None
    disabled_at: datetime | None
    times_opened: int
    last_error: str | None


class SkewedTest(NamedTuple):
    """A running A/B test that a sample ratio mismatch blocks."""

    ab_test_id: UUID
    workspace_id: UUID
    campaign: str
    split: str


class UnpublishedWithEnrollments(NamedTuple):
    """An active campaign without a version; `enrollments` wait in it (at most 10,000 counted)."""

    campaign_id: UUID
    workspace_id: UUID
    campaign: str
    enrollments: int


class RecentDecision(NamedTuple):
    """A decision of an A/B test."""

    decision_id: UUID
    workspace_id: UUID
    campaign: str
    split: str
    outcome: str
    winner_variant: str | None
    decided_by: str
    reason: str


class Rejections(NamedTuple):
    """The number of rejected event `lines` or `payloads` of a source, and their main reason."""

    kind: str
    source: str
    rejected: int
    reason: str


class Notice(NamedTuple):
    """A notice to send by one route. `reports` is `opened` or `resolved`; `number` counts the
    notices of the incident by this route."""

    incident_id: UUID
    route: str
    kind: str
    sentence: str
    what_to_do: str
    opened_at: datetime
    resolved_at: datetime | None
    reports: str
    number: int


class NoticeState(TypedDict):
    """A notice of a listed incident; `notified_at` is an ISO 8601 time."""

    route: str
    reports: str
    notified_at: str | None
    attempts: int
    last_error: str | None


class ListedIncident(NamedTuple):
    """An incident with its notices."""

    incident_id: UUID
    kind: str
    sentence: str
    what_to_do: str
    details: Mapping[str, object]
    opened_at: datetime
    seen_at: datetime
    resolved_at: datetime | None
    notices: list[NoticeState]


class OpenIncident(NamedTuple):
    """The key of an open incident, and when it was opened and last seen."""

    incident_key: str
    opened_at: datetime
    seen_at: datetime


def oldest_due_work(connection: Connection, now: datetime) -> list[OldestDueWork]:
    """Return the longest overdue work of each kind; no row for a kind that has none."""
    return queries.records(connection, "oldest_due_work", OldestDueWork, now=now)


def messages_with_unknown_outcome(connection: Connection) -> list[UnknownOutcomes]:
    """Count messages of unknown outcome by channel."""
    return queries.records(connection, "messages_with_unknown_outcome", UnknownOutcomes)


def failing_transports(connection: Connection) -> list[FailingTransport]:
    """Return transports that are not used now."""
    return queries.records(connection, "failing_transports", FailingTransport)


def tests_with_sample_ratio_mismatch(connection: Connection) -> list[SkewedTest]:
    """Return running tests that a sample ratio mismatch blocks."""
    return queries.records(connection, "tests_with_sample_ratio_mismatch", SkewedTest)


def unpublished_with_enrollments(connection: Connection) -> list[UnpublishedWithEnrollments]:
    """Return active campaigns without a version in which enrollments wait."""
    return queries.records(connection, "unpublished_with_enrollments", UnpublishedWithEnrollments)


def decisions_since(connection: Connection, since: datetime) -> list[RecentDecision]:
    """Return decisions made after `since`, oldest first."""
    return queries.records(connection, "decisions_since", RecentDecision, since=since)


def rejections_since(connection: Connection, since: datetime, at_least: int) -> list[Rejections]:
    """Return the sources with at least so many lines or payloads rejected after `since`, events of
    unknown messages, contacts and campaigns not counted."""
    return queries.records(
        connection, "rejections_since", Rejections, since=since, at_least=at_least
    )


def store(
    connection: Connection,
    incidents: Sequence[NewIncident],
    *,
    routes: Sequence[str],
    reopen_since: datetime,
    now: datetime,
) -> int:
    """Store incidents that are seen now, with a notice for each route. Return how many are new.

    An incident that was resolved after `reopen_since` is reopened. It gets a new notice only if its
    resolution was reported.
    Serializes concurrent callers.
    """
    queries.run(connection, "lock_incidents")
    lasting = [row for row in incidents if not row.is_over]
    keys = [row.incident_key for row in lasting]
    if queries.run(connection, "reopen_incidents", keys=keys, since=reopen_since, now=now):
        queries.run(connection, "reopen_notices", keys=keys, now=now)
    queries.run(
        connection,
        "refresh_incidents",
        keys=keys,
        sentences=[row.sentence for row in lasting],
        what_to_dos=[row.what_to_do for row in lasting],
        details=[_json(row) for row in lasting],
        now=now,
    )
    opened: int = queries.scalar(
        connection,
        "open_incidents",
        keys=[row.incident_key for row in incidents],
        kinds=[row.kind for row in incidents],
        workspace_ids=[row.workspace_id for row in incidents],
        sentences=[row.sentence for row in incidents],
        what_to_do=[row.what_to_do for row in incidents],
        details=[_json(row) for row in incidents],
        over=[row.is_over for row in incidents],
        routes=list(routes),
        now=now,
    )
    return opened


def resolve_unseen(
    connection: Connection, kinds: Sequence[str], seen_keys: Sequence[str], *, now: datetime
) -> int:
    """Resolve the open incidents of these kinds not in `seen_keys`. Return their number."""
    return queries.run(
        connection, "resolve_unseen", kinds=list(kinds), keys=list(seen_keys), now=now
    )


def resolve(connection: Connection, incident_key: str, *, now: datetime) -> int:
    """Resolve the open incident of this key. Return 1, or 0 if there is none."""
    return queries.run(connection, "resolve_incident", incident_key=incident_key, now=now)


def take_notices(
    connection: Connection,
    routes: Sequence[str],
    *,
    max_attempts: int,
    limit: int,
    now: datetime,
) -> list[Notice]:
    """Return the notices that are due, and postpone each to its next attempt."""
    return queries.records(
        connection,
        "take_notices",
        Notice,
        routes=list(routes),
        max_attempts=max_attempts,
        row_limit=limit,
        now=now,
    )


def report_resolutions(connection: Connection, *, since: datetime, delay: timedelta) -> int:
    """Make notices of incidents resolved after `since`, due `delay` after that. Return how many."""
    return queries.run(connection, "report_resolutions", since=since, delay=delay)


def record_notice_result(
    connection: Connection, incident_id: UUID, route: str, error: str | None, *, now: datetime
) -> None:
    """Mark a notice as sent, or store its error."""
    queries.run(
        connection,
        "record_notice_result",
        incident_id=incident_id,
        route=route,
        error=error,
        now=now,
    )


def listed(connection: Connection, *, is_all: bool, limit: int) -> list[ListedIncident]:
    """Return incidents with their notices, open ones first. `is_all` includes resolved ones."""
    return queries.records(
        connection, "list_incidents", ListedIncident, is_all=is_all, row_limit=limit
    )


def open_of_kind(connection: Connection, kind: str) -> list[OpenIncident]:
    """Return the open incidents of a kind."""
    return queries.records(connection, "open_incident_keys", OpenIncident, kind=kind)


def _json(row: NewIncident) -> str:
    return orjson.dumps(row.details).decode()
