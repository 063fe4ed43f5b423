"""Metrics for Prometheus: backlog and its age, claim and commit rates, messages by outcome and
those that rules hold, blocked transports, event lag.

Read in one snapshot. Thresholds for incidents are in incidents.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.delivery import held_messages as held_db
from drip_pipeline.db.events import inbox as inbox_db
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.db.operations import incidents as incidents_db
from drip_pipeline.db.operations import overview as overview_db

WINDOW: Final = timedelta(minutes=5)
"""The interval that rates are computed over."""
COUNTED_AT_MOST: Final = 100_000
"""Backlogs are counted up to this number; their age is more informative."""


@dataclass(frozen=True, slots=True)
class MetricSample:
    """One metric. `name` includes its unit, as Prometheus requires."""

    name: str
    help: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


def read_metrics(database: Database, *, now: datetime) -> list[MetricSample]:
    """Read all metrics as of `now`, which must be wall-clock time, as in the batch log."""
    with database.transaction(is_read_only=True) as connection:
        return [
            *_backlog(connection, now),
            *_rates(connection, now),
            *_levels(connection),
            *_held(connection, now),
            *_arrivals(connection, now),
        ]


def prometheus_text(samples: list[MetricSample]) -> str:
    """Format metrics as Prometheus text, grouped by name."""
    from prometheus_client import CollectorRegistry
    from prometheus_client import Gauge as PrometheusGauge
    from prometheus_client.exposition import generate_latest

    registry = CollectorRegistry()
    families: dict[str, PrometheusGauge] = {}
    for sample in samples:
        if sample.name not in families:
            families[sample.name] = PrometheusGauge(
                sample.name, sample.help, list(sample.labels), registry=registry
            )
        family = families[sample.name]
        one = family.labels(**sample.labels) if sample.labels else family
        one.set(sample.value)
    return generate_latest(registry).decode()


def _backlog(connection: Connection, now: datetime) -> Iterator[MetricSample]:
    due = states_db.due_overview(connection, now=now, count_limit=COUNTED_AT_MOST)
    oldest = {row.work: row.due_at for row in incidents_db.oldest_due_work(connection, now)}
    counts = {"people": due.due_states, "messages": due.due_deliveries}
    for work, count in counts.items():
        help = f"Due workflow states or messages, counted up to {COUNTED_AT_MOST:,}."
        yield MetricSample("drip_backlog", help, count, {"work": work})
        age = (now - oldest[work]).total_seconds() if work in oldest else 0.0
        help = "Age of the oldest due workflow state or message; 0 if none is due."
        yield MetricSample("drip_oldest_due_seconds", help, age, {"work": work})


def _rates(connection: Connection, now: datetime) -> Iterator[MetricSample]:
    seconds = WINDOW.total_seconds()
    claimed = committed = 0
    messages = dict.fromkeys(("sent", "failed", "retried", "unknown", "held", "skipped"), 0)
    batches = {
        (kind, outcome): 0 for kind in ("advance", "deliver") for outcome in ("committed", "failed")
    }
    for row in overview_db.engine_rates(connection, since=now - WINDOW, until=now):
        batches[row.kind, row.outcome] = row.batches
        if row.kind == "advance":
            claimed += row.enrollments
            committed += row.enrollments if row.outcome == "committed" else 0
        else:
            for size, count in (row.sizes or {}).items():
                # Messages that rules hold or skip are counted by rule.
                outcome = next((o for o in ("skipped", "held") if size.startswith(f"{o}_")), size)
                if outcome in messages:
                    messages[outcome] += count
    window = f"over the last {seconds:.0f} seconds"
    help = f"Workflow states claimed per second {window}, including failed batches."
    yield MetricSample("drip_states_claimed_per_second", help, claimed / seconds)
    help = f"Workflow states committed per second {window}."
    yield MetricSample("drip_states_committed_per_second", help, committed / seconds)
    for outcome, count in messages.items():
        help = f"Messages per second by outcome {window}."
        yield MetricSample("drip_messages_per_second", help, count / seconds, {"outcome": outcome})
    for (kind, outcome), count in batches.items():
        help = f"Batches {window}."
        yield MetricSample("drip_batches", help, count, {"kind": kind, "outcome": outcome})


def _held(connection: Connection, now: datetime) -> Iterator[MetricSample]:
    help = "Messages that a rule holds: a window, quiet hours, a topic or a frequency cap."
    for row in held_db.by_reason(connection, now):
        yield MetricSample("drip_held_messages", help, row.messages, {"reason": row.reason})


def _arrivals(connection: Connection, now: datetime) -> Iterator[MetricSample]:
    rows, oldest_at = inbox_db.backlog(connection, now=now, count_limit=COUNTED_AT_MOST)
    help = f"Stored requests that are not processed yet, counted up to {COUNTED_AT_MOST:,}."
    yield MetricSample("drip_inbox", help, rows)
    lag = 0.0 if oldest_at is None else max(0.0, (now - oldest_at).total_seconds())
    help = "Age of the oldest stored request that is not processed yet; 0 if there is none."
    yield MetricSample("drip_event_lag_seconds", help, lag)


def _levels(connection: Connection) -> Iterator[MetricSample]:
    levels = overview_db.engine_levels(connection)
    for status in ("sending", "unknown", "failed"):
        help = "Messages being sent, with unknown status, or failed."
        yield MetricSample("drip_messages", help, getattr(levels, status), {"status": status})
    yield MetricSample(
        "drip_failed_enrollments", "Enrollments that failed.", levels.failed_enrollments
    )
    help = "Days with metrics that changed since they were computed."
    yield MetricSample("drip_stale_metric_days", help, levels.stale_days)
    yield MetricSample("drip_open_incidents", "Open incidents.", levels.open_incidents)
    for row in incidents_db.failing_transports(connection):
        help = "Transports that are not used: circuit breaker open, or endpoint gone."
        state = "gone" if row.disabled_at else "open"
        yield MetricSample(
            "drip_transport_blocked", help, 1, {"transport": row.transport, "state": state}
        )
