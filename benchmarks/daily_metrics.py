"""Measure daily metrics: one day against all days, and all days against DuckDB, which computes the
same metrics from the same log in a Parquet file. The engine reads message outcomes, which ingestion
updates (its cost is in ingestion.py), and the log for messages that were not sent.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from benchmarks.report import Figure, figure, in_turn
from benchmarks.sections import Options
from benchmarks.server import fresh_database
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.engine.metrics.daily_metrics import aggregate_days, days_between

FIRST: Final = date(2025, 3, 1)
EVENTS_A_MESSAGE: Final = 2.75
CAMPAIGNS: Final = 20
_DAYS: Final = 365
_QUICK_DAYS: Final = 45
# Shares of messages, in thousandths, to which each thing happens, minutes after the sending.
_HAPPENS: Final = (
    ("email_delivered", 950, 1),
    ("email_opened", 400, 20),
    ("email_opened", 250, 40),
    ("email_clicked", 120, 41),
    ("converted", 30, 55),
)

# Per message what happened to it, then sums: as fast as DuckDB is at this (counting distinct takes
# it four times as long).
_IN_DUCKDB: Final = """
WITH messages AS (
    SELECT
        message_id, any_value(campaign_id) AS campaign_id, any_value(node_id) AS node_id,
        any_value(variant_group) AS variant_group,
        min(created_at) FILTER (WHERE event_type = 'email_sent') AS sent_at,
        bool_or(event_type = 'email_delivered') AS delivered,
        count(*) FILTER (WHERE event_type = 'email_opened') AS opens,
        count(*) FILTER (WHERE event_type = 'email_clicked') AS clicks,
        bool_or(event_type = 'converted') AS converted
    FROM read_parquet(?)
    GROUP BY message_id
)
SELECT
    CAST(sent_at AS date) AS metric_date, campaign_id, node_id, variant_group, count(*) AS sent,
    count(*) FILTER (WHERE delivered) AS delivered, count(*) FILTER (WHERE opens > 0) AS opened,
    CAST(sum(opens) AS bigint) AS opens_total, count(*) FILTER (WHERE clicks > 0) AS clicked,
    CAST(sum(clicks) AS bigint) AS clicks_total, count(*) FILTER (WHERE converted) AS converted
FROM messages
WHERE sent_at IS NOT NULL
GROUP BY ALL
ORDER BY ALL
"""


def section(options: Options) -> list[Figure]:
    """day_vs_full and aggregate_vs_duckdb."""
    count = _QUICK_DAYS if options.is_quick else _DAYS
    days = days_between(FIRST, FIRST + timedelta(days=count - 1))
    with (
        tempfile.TemporaryDirectory(prefix="drip-bench-metrics-") as folder,
        fresh_database(options.server_url) as database,
    ):
        events = _fill(database, days, round(options.events / EVENTS_A_MESSAGE / count))
        options.say(f"{events:,} events over {count} days")
        parquet = Path(folder, "events.parquet")
        _write_parquet(database, parquet)
        middle = [days[count // 2]]

        def full() -> float:
            return events / _seconds(database, days)

        def one() -> float:
            return 1 / _seconds(database, middle)

        def duck() -> float:
            return events / _timed_in_duckdb(parquet)[0]

        repeats = min(options.repeats, 2 if options.is_quick else 3)
        _seconds(database, days)  # plans, and pages that are read for the first time
        all_days, single, theirs = in_turn(repeats, full, one, duck)
        _compare(database, parquet)
    whole = [events / rate for rate in all_days]
    told = f"{events:,} events, {count} days"
    return [
        Figure(
            "day_vs_full",
            *_spread([seconds * rate for seconds, rate in zip(whole, single, strict=True)]),
            f"all days to one, at least 20 is asked; {told}; a day in {1 / max(single):.3f} s",
        ),
        figure(
            "aggregate_vs_duckdb",
            all_days,
            theirs,
            f"{told}; ours {min(whole):.1f} to {max(whole):.1f} s, DuckDB"
            f" {events / max(theirs):.1f} to {events / min(theirs):.1f} s",
        ),
    ]


def _spread(ratios: list[float]) -> tuple[float, float, float]:
    listed = sorted(ratios)
    return listed[len(listed) // 2], listed[0], listed[-1]


def _seconds(database: Database, days: list[date]) -> float:
    began = perf_counter()
    counted = aggregate_days(database, days)
    seconds = perf_counter() - began
    assert all(day.sent for day in counted), "a day without messages"
    return seconds


def _timed_in_duckdb(parquet: Path) -> tuple[float, list[tuple[Any, ...]]]:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        began = perf_counter()
        found = connection.execute(_IN_DUCKDB, [str(parquet)]).fetchall()
        return perf_counter() - began, found


def _compare(database: Database, parquet: Path) -> None:
    """Both say the same."""
    with database.transaction() as connection:
        ours = connection.execute(
            "SELECT metric_date, campaign_id::text, node_id, variant_group, sent, delivered, "
            "opened, opens_total, clicked, clicks_total, converted FROM campaign_daily_metrics "
            "ORDER BY 1, 2, 3, 4, 5"
        ).fetchall()
    theirs = _timed_in_duckdb(parquet)[1]
    if [tuple(map(str, row)) for row in ours] != [tuple(map(str, row)) for row in theirs]:
        raise AssertionError("the figures are not the same")


# --- a log and its outcomes -----------------------------------------------------------------------


def _fill(database: Database, days: list[date], messages_a_day: int) -> int:
    """Messages of some campaigns, nodes and variants on each day, and what became of them."""
    with database.transaction() as connection:
        connection.execute("INSERT INTO workspaces (name) VALUES ('Metrics')")
        connection.execute(
            "INSERT INTO drip_campaigns (workspace_id, name, status) SELECT w.id, 'Campaign ' || n,"
            " 'active' FROM workspaces w, generate_series(1, %s) AS n",
            [CAMPAIGNS],
        )
        for month in sorted({day.replace(day=1) for day in days}):
            within = datetime(month.year, month.month, 2, tzinfo=UTC)
            connection.execute("SELECT ensure_event_partitions(%s)", [within])
    for day in days:
        with database.transaction() as connection:
            connection.execute("SET LOCAL session_replication_role = replica")
            _fill_day(connection, day, messages_a_day)
    with database.autocommit() as autocommit:
        autocommit.execute("VACUUM (ANALYZE) campaign_events")
        autocommit.execute("VACUUM (ANALYZE) campaign_message_outcomes")
        row = autocommit.execute("SELECT count(*) FROM campaign_events").fetchone()
    assert row is not None
    events: int = row[0]
    return events


def _fill_day(connection: Connection, day: date, messages: int) -> None:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    connection.execute(
        "CREATE TEMPORARY TABLE sent ON COMMIT DROP AS "
        "SELECT gen_random_uuid() AS id, gen_random_uuid() AS person, c.workspace_id, c.id AS "
        "campaign_id, 'mail_' || u.n %% 3 AS node_id, chr(97 + (u.n %% 2)::int) AS variant_group, "
        "%s + u.n * interval '22 hours' / %s AS sent_at, "
        "((u.n * 2654435761) %% 1000)::int AS luck "
        "FROM generate_series(1, %s) AS u (n) "
        "JOIN (SELECT d.*, row_number() OVER (ORDER BY d.name) - 1 AS place FROM drip_campaigns d) "
        "c ON c.place = (u.n / 7) %% %s",
        [start, messages, messages, CAMPAIGNS],
    )
    connection.execute(
        "INSERT INTO campaign_message_outcomes (message_id, workspace_id, campaign_id, "
        "campaign_version, enrollment_id, contact_id, node_id, channel, variant_group, sent_at, "
        "delivered_at, first_opened_at, open_count, first_clicked_at, click_count, "
        "first_converted_at) SELECT s.id, s.workspace_id, s.campaign_id, 1, s.person, s.person, "
        "s.node_id, 'email', s.variant_group, s.sent_at, "
        "CASE WHEN s.luck < 950 THEN s.sent_at + interval '1 minute' END, "
        "CASE WHEN s.luck < 400 THEN s.sent_at + interval '20 minutes' END, "
        "(s.luck < 400)::int + (s.luck < 250)::int, "
        "CASE WHEN s.luck < 120 THEN s.sent_at + interval '41 minutes' END, (s.luck < 120)::int, "
        "CASE WHEN s.luck < 30 THEN s.sent_at + interval '55 minutes' END FROM sent s"
    )
    kinds, shares, minutes = zip(("email_sent", 1000, 0), *_HAPPENS, strict=True)
    connection.execute(
        "INSERT INTO campaign_events (id, campaign_id, enrollment_id, contact_id, event_type, "
        "event_source, node_id, created_at, workspace_id, campaign_version, variant_group, "
        "message_id) SELECT CASE k.kind WHEN 'email_sent' THEN s.id ELSE gen_random_uuid() END, "
        "s.campaign_id, s.person, s.person, k.kind, "
        "CASE k.kind WHEN 'email_sent' THEN 'system' ELSE 'webhook' END, s.node_id, "
        "s.sent_at + k.minutes * interval '1 minute', s.workspace_id, 1, s.variant_group, s.id "
        "FROM sent s JOIN unnest(%s::text[], %s::int[], %s::int[]) AS k (kind, share, minutes) "
        "ON s.luck < k.share",
        [list(kinds), list(shares), list(minutes)],
    )


def _write_parquet(database: Database, path: Path) -> None:
    """The log as a Parquet file, as DuckDB writes it."""
    import duckdb

    text = path.with_suffix(".csv")
    with (
        database.transaction() as connection,
        connection.cursor() as cursor,
        cursor.copy(
            "COPY (SELECT campaign_id, node_id, variant_group, message_id, event_type, created_at "
            "FROM campaign_events) TO STDOUT (FORMAT csv, HEADER)"
        ) as copy,
        text.open("wb") as file,
    ):
        for block in copy:
            file.write(block)
    with duckdb.connect() as duck:
        duck.execute("SET TimeZone = 'UTC'")
        duck.execute(
            f"COPY (FROM read_csv('{text}')) TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
        )
    text.unlink()
