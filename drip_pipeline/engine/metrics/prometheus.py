"""The figures that a monitor draws: backlog and its age, claim and commit rates, messages by what
became of them, ways out, the lag of events. Read in one snapshot and in the text format of
Prometheus; what counts as trouble is said in incidents.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.events import inbox as inbox_db
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.db.operations import incidents as incidents_db
from drip_pipeline.db.operations import overview as overview_db

WINDOW: Final = timedelta(minutes=5)
"""Rates are over this stretch of time."""
COUNTED_AT_MOST: Final = 100_000
"""Backlogs are counted up to so many; their age says more."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """One figure. `name` says its unit, as Prometheus wants it."""

    name: str
    help: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


def read_gauges(database: Database, *, now: datetime) -> list[Gauge]:
    """Every figure as of `now`, which must be the real time: the ledger goes by that."""
    with database.transaction(is_read_only=True) as connection:
        return [
            *_backlog(connection, now),
            *_rates(connection, now),
            *_levels(connection),
            *_arrivals(connection, now),
        ]


def prometheus_text(gauges: list[Gauge]) -> str:
    """The figures in Prometheus' text format, grouped by name."""
    from prometheus_client import CollectorRegistry
    from prometheus_client import Gauge as Shown
    from prometheus_client.exposition import generate_latest

    registry = CollectorRegistry()
    shown: dict[str, Shown] = {}
    for gauge in gauges:
        if gauge.name not in shown:
            shown[gauge.name] = Shown(gauge.name, gauge.help, list(gauge.labels), registry=registry)
        family = shown[gauge.name]
        one = family.labels(**gauge.labels) if gauge.labels else family
        one.set(gauge.value)
    return generate_latest(registry).decode()


def _backlog(connection: Connection, now: datetime) -> Iterator[Gauge]:
    due = states_db.due_overview(connection, now=now, count_limit=COUNTED_AT_MOST)
    oldest = {row["work"]: row["due_at"] for row in incidents_db.oldest_due_work(connection, now)}
    counts = {"people": due.due_states, "messages": due.due_deliveries}
    for work, count in counts.items():
        told = f"People or messages that are due, counted up to {COUNTED_AT_MOST:,}."
        yield Gauge("drip_backlog", told, count, {"work": work})
        age = (now - oldest[work]).total_seconds() if work in oldest else 0.0
        told = "How long the oldest due person or message has waited; 0 when none is due."
        yield Gauge("drip_oldest_due_seconds", told, age, {"work": work})


def _rates(connection: Connection, now: datetime) -> Iterator[Gauge]:
    seconds = WINDOW.total_seconds()
    claimed = committed = 0
    messages = dict.fromkeys(("sent", "failed", "retried", "unknown", "held", "skipped"), 0)
    batches = {
        (kind, outcome): 0 for kind in ("advance", "deliver") for outcome in ("committed", "failed")
    }
    for row in overview_db.engine_rates(connection, since=now - WINDOW, until=now):
        batches[row["kind"], row["outcome"]] = row["batches"]
        if row["kind"] == "advance":
            claimed += row["people"]
            committed += row["people"] if row["outcome"] == "committed" else 0
        else:
            for figure, count in (row["sizes"] or {}).items():
                outcome = "skipped" if figure.startswith("skipped_") else figure
                if outcome in messages:
                    messages[outcome] += count
    window = f"over the last {seconds:.0f} seconds"
    told = f"People claimed a second {window}, those of failed batches too."
    yield Gauge("drip_people_claimed_per_second", told, claimed / seconds)
    told = f"People moved on and committed a second {window}."
    yield Gauge("drip_people_committed_per_second", told, committed / seconds)
    for outcome, count in messages.items():
        told = f"Messages a second by what became of them {window}."
        yield Gauge("drip_messages_per_second", told, count / seconds, {"outcome": outcome})
    for (kind, outcome), count in batches.items():
        told = f"Batches {window}."
        yield Gauge("drip_batches", told, count, {"kind": kind, "outcome": outcome})


def _arrivals(connection: Connection, now: datetime) -> Iterator[Gauge]:
    rows, oldest_at = inbox_db.backlog(connection, now=now, count_limit=COUNTED_AT_MOST)
    told = f"Requests that were kept and are to be read, counted up to {COUNTED_AT_MOST:,}."
    yield Gauge("drip_inbox", told, rows)
    lag = 0.0 if oldest_at is None else max(0.0, (now - oldest_at).total_seconds())
    told = "How long the oldest event that was kept has waited to be taken in; 0 when none waits."
    yield Gauge("drip_event_lag_seconds", told, lag)


def _levels(connection: Connection) -> Iterator[Gauge]:
    levels = overview_db.engine_levels(connection)
    for status in ("sending", "unknown", "failed"):
        told = "Messages being handed over, in doubt, or failed for good."
        yield Gauge("drip_messages", told, levels[status], {"status": status})
    yield Gauge("drip_failed_people", "People whose run failed.", levels["failed_people"])
    told = "Days whose figures changed since they were counted."
    yield Gauge("drip_stale_metric_days", told, levels["stale_days"])
    yield Gauge("drip_open_incidents", "Incidents that are open.", levels["open_incidents"])
    for row in incidents_db.failing_transports(connection):
        told = "Ways out that are not used now: their breaker is open, or they said they are gone."
        state = "gone" if row["disabled_at"] else "open"
        yield Gauge(
            "drip_way_out_blocked", told, 1, {"transport": row["transport"], "state": state}
        )
