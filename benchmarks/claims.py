"""Measure a claim of 10,000 due states on tables of different sizes: newly loaded, after churn, and
during an old snapshot.

One in a hundred is due, over twenty campaigns, and as many each minute after. Everything is set up
set-based, without enrollments moving through a drip: what counts here is the claim's own way to its
rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import mean, median
from time import perf_counter
from typing import Any, Final

from psycopg import sql

from benchmarks.five_nodes import DEFINITION, NOW
from benchmarks.report import Figure
from benchmarks.sections import Options
from benchmarks.server import fresh_database
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.execution.claim import claim_due
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.settings import Settings

BATCH: Final = 10_000
CAMPAIGNS: Final = 20
CLAIMS: Final = 5
CLAIMS_AT_WORK: Final = 10
SIZES: Final = (100_000, 1_000_000, 10_000_000)
STEPS_BESIDE_A_SNAPSHOT: Final = 300_000
LOADERS: Final = 2

_SECONDARY_INDEXES: Final = """
    SELECT c.relname, pg_get_indexdef(i.indexrelid)
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid IN ('campaign_enrollments'::regclass, 'campaign_workflow_states'::regclass)
      AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)
"""
_LOAD: Final = """
    WITH people AS (
        INSERT INTO campaign_enrollments (
            id, campaign_id, contact_id, contact_email, workspace_id, status, started_at
        )
        SELECT
            gen_random_uuid(), (CAST(%(campaigns)s AS uuid []))[1 + i %% %(many)s],
            gen_random_uuid(), 'a@example.com', w.id, 'active', %(now)s
        FROM generate_series(CAST(%(first)s AS integer), CAST(%(last)s AS integer)) i
        CROSS JOIN (SELECT id FROM workspaces LIMIT 1) w
        RETURNING id, campaign_id, contact_id, workspace_id
    )
    INSERT INTO campaign_workflow_states (
        id, enrollment_id, campaign_id, contact_id, workspace_id, campaign_version,
        current_node_id, workflow_status, started_at, next_execution_at
    )
    SELECT
        p.id, p.id, p.campaign_id, p.contact_id, p.workspace_id, 1, 'pause', 'waiting', %(now)s,
        %(now)s + random() * interval '100 minutes' - interval '1 minute'
    FROM people p
"""


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of a claim on a table of that many states, medians; `per_row` of the first in
    microseconds, since small tables have fewer than 10,000 due."""

    states: int
    claimed: int
    fresh: list[float]
    churned: list[float]

    @property
    def microseconds_a_row(self) -> float:
        """Of a claim after churn."""
        return 1_000 * median(self.churned) / self.claimed


def section(options: Options) -> list[Figure]:
    """claim_growth, claim_growth_fresh, claim_with_old_snapshot."""
    measured: list[Times] = []
    sizes = [size for size in SIZES if size <= options.states] or [options.states]
    beside: tuple[list[float], list[float]] | None = None
    for size in sizes:
        with fresh_database(options.server_url) as database:
            options.say(f"claims: {size:,} states")
            _fill(database, size)
            options.say("claims: filled")
            fresh = _timed_claims(database, NOW)
            _churn(database)
            churned = _timed_claims(database, NOW)
            measured.append(Times(size, min(BATCH, size // 100), fresh, churned))
            if size == min(1_000_000, sizes[-1]):
                steps = min(STEPS_BESIDE_A_SNAPSHOT, size // 3)
                beside = _beside_a_snapshot(database, options, steps)
    figures = [
        growth
        for small, large in pairwise(measured)
        for growth in (_growth(large, small), _fresh_growth(large, small))
    ]
    if beside is not None:
        without, with_one = beside
        told = (
            f"10,000 states: {median(with_one):.0f} ms, {median(without):.0f} ms before; means"
            f" {mean(with_one):.0f} and {mean(without):.0f} ms"
        )
        figures.append(_ratio("claim_with_old_snapshot", with_one, without, told))
    return figures


def _growth(large: Times, small: Times) -> Figure:
    factor = small.claimed / large.claimed
    name = _named("claim_growth", large)
    told = (
        f"{large.states:,} states against {small.states:,}, a row claimed after churn:"
        f" {large.microseconds_a_row:.1f} and {small.microseconds_a_row:.1f} µs"
    )
    return _ratio(name, [ms * factor for ms in large.churned], small.churned, told)


def _fresh_growth(large: Times, small: Times) -> Figure:
    factor = small.claimed / large.claimed
    told = (
        f"the same on tables just loaded: {median(large.fresh):.0f} ms for {large.claimed:,} rows,"
        f" {median(small.fresh):.0f} ms for {small.claimed:,}"
    )
    name = _named("claim_growth_fresh", large)
    return _ratio(name, [ms * factor for ms in large.fresh], small.fresh, told)


def _named(name: str, large: Times) -> str:
    return name if large.states >= 10_000_000 else f"{name}_{large.states}"


def _ratio(name: str, ours: list[float], theirs: list[float], told: str) -> Figure:
    ratios = [mine / median(theirs) for mine in ours]
    return Figure(name, median(ratios), min(ratios), max(ratios), told)


def _fill(database: Database, states: int) -> None:
    """Twenty campaigns with equally many people, a hundredth of them due, the others some time
    later."""
    campaigns = []
    for number in range(CAMPAIGNS):
        report = publish(
            database,
            {**DEFINITION, "name": f"Claims {number}"},
            PublishOptions(now=NOW, settings=Settings(), channels=frozenset({"email"})),
        )
        campaigns.append(report.campaign_id)
    with database.autocommit() as connection:
        indexes = connection.execute(_SECONDARY_INDEXES).fetchall()
        for name, _ in indexes:
            connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    bounds = [states * n // LOADERS for n in range(LOADERS + 1)]
    with ThreadPoolExecutor(LOADERS) as pool:
        list(
            pool.map(
                lambda first, last: _load(database, campaigns, first + 1, last),
                bounds[:-1],
                bounds[1:],
            )
        )
    with database.autocommit() as connection:
        connection.execute("SET maintenance_work_mem = '1GB'")
        for _, definition in indexes:
            connection.execute(definition.encode())
        connection.execute("VACUUM ANALYZE campaign_workflow_states")
        connection.execute("VACUUM ANALYZE campaign_enrollments")
        connection.execute("CHECKPOINT")


def _load(database: Database, campaigns: list[Any], first: int, last: int) -> None:
    """One slice of the people, over all campaigns alike."""
    with database.transaction() as connection:
        # Triggers and foreign keys would only take time: the rows are made to fit.
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("SET LOCAL synchronous_commit = off")
        connection.execute(
            _LOAD,
            {"campaigns": campaigns, "first": first, "last": last, "now": NOW, "many": CAMPAIGNS},
        )


def _timed_claims(database: Database, now: datetime) -> list[float]:
    """Milliseconds of claims that are rolled back, the first (cold) one left out."""
    times = []
    for _ in range(CLAIMS + 1):
        began = perf_counter()
        with _rolled_back(database) as connection:
            claim_due(connection, batch_size=BATCH, now=now)
            times.append(1_000 * (perf_counter() - began))
    return times[1:]


@contextmanager
def _rolled_back(database: Database) -> Iterator[Any]:
    with database.transaction() as connection:
        yield connection
        connection.rollback()


def _move(database: Database, steps: int, now: datetime) -> datetime:
    """Move due people on by a day, so many, in batches; the moment at which as many are due as
    before."""
    moved = 0
    at = now
    while moved < steps:
        with database.transaction() as connection:
            claimed = claim_due(connection, batch_size=BATCH, now=at)
            ids = [person.id for person in claimed.states]
            connection.execute(
                "UPDATE campaign_workflow_states SET next_execution_at = %s, steps_taken ="
                " steps_taken + 1 WHERE id = ANY(%s)",
                [NOW + timedelta(days=10), ids],
            )
            claimed.write_watermarks(connection, at)
        moved += len(ids)
        if len(ids) < BATCH:
            at += timedelta(minutes=1)
    return at


def _churn(database: Database) -> None:
    """Every due state is moved and put back five times, as after hours of work."""
    for _ in range(5):
        with database.transaction() as connection:
            connection.execute(
                "UPDATE campaign_workflow_states SET steps_taken = steps_taken + 1,"
                " next_execution_at = next_execution_at - interval '1 second'"
                " WHERE workflow_status IN ('running', 'waiting') AND next_execution_at <= %s",
                [NOW],
            )


def _beside_a_snapshot(
    database: Database, options: Options, steps: int
) -> tuple[list[float], list[float]]:
    """Claims before, and after so many steps during which one transaction kept its snapshot."""
    options.say(f"claims: {steps:,} steps, twice, then with an old snapshot open")
    at = _move(database, steps, NOW)
    with database.autocommit() as connection:
        connection.execute("VACUUM campaign_workflow_states")
    at, without = _between_batches(database, at)
    with database.transaction(is_read_only=True) as old:
        old.execute("SELECT count(*) FROM drip_campaigns")
        at = _move(database, steps, at)
        _, with_one = _between_batches(database, at)
    return without, with_one


def _between_batches(database: Database, at: datetime) -> tuple[datetime, list[float]]:
    """Claims as they are in the middle of work, a minute and a batch after each other: for twice as
    long as a mark holds, so that claims from the very beginning are among them as often as at
    work."""
    times = []
    for _ in range(CLAIMS_AT_WORK):
        at = _enough_due(database, at)
        with _rolled_back(database) as connection:
            began = perf_counter()
            claim_due(connection, batch_size=BATCH, now=at)
            times.append(1_000 * (perf_counter() - began))
        at = _move(database, BATCH * 9 // 10, at)
    return at, times


def _enough_due(database: Database, at: datetime) -> datetime:
    """A moment from `at` on at which a whole batch is due."""
    while True:
        with _rolled_back(database) as connection:
            if len(claim_due(connection, batch_size=BATCH, now=at).states) >= BATCH * 9 // 10:
                return at
        at += timedelta(minutes=1)
