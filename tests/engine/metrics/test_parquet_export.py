"""Daily metrics as Parquet files: other tools read the table's rows, and never a partial file."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.metrics.daily_metrics import DayMetricsRow
from drip_pipeline.engine.metrics.daily_metrics import aggregate_days, campaign_summary
from drip_pipeline.engine.metrics.parquet_export import as_parquet, export_days
from tests.engine.events.incoming import ingest, mailed, value
from tests.engine.factories import NOW, an_event, run_until_idle

TODAY = NOW.date()
DAY = timedelta(days=1)


@pytest.fixture
def counted(database: Database) -> Database:
    """Compute a day of four messages: opened, converted, one not sent."""
    campaign, sent = mailed(database, 4)
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_events (campaign_id, event_type, node_id, event_data, created_at,"
            " workspace_id, campaign_version) VALUES (%s, 'message_skipped', 'mail',"
            ' \'{"channel": "email", "reason": "complained"}\', %s, %s, 1)',
            [campaign.campaign_id, NOW, campaign.workspace_id],
        )
    ingest(
        database,
        [
            an_event(1, "email_opened", message_id=sent[0].message_id),
            an_event(2, "converted", message_id=sent[0].message_id, data={"value": 12.5}),
        ],
    )
    aggregate_days(database, [TODAY])
    return database


def read(folder: Path) -> list[dict[str, Any]]:
    table = ds.dataset(folder, format="parquet", partitioning="hive").to_table()
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def test_the_file_of_a_day_has_the_rows_of_the_table(counted, tmp_path):
    [day] = export_days(counted, [TODAY], tmp_path)
    assert day.path == tmp_path / f"day={TODAY}" / "metrics.parquet"
    assert (day.rows, day.is_new, day.size_bytes) == (1, True, day.path.stat().st_size)
    [row] = read(tmp_path)
    [summary] = campaign_summary(counted)
    for name in ("campaign", "sent", "opened", "converted", "skipped", "failed"):
        assert row[name] == summary[name], name
    assert (row["metric_date"], row["day"], row["time_zone"]) == (TODAY, str(TODAY), "UTC")
    assert row["conversion_value"] == Decimal("12.50")
    assert row["skipped_by_reason"] == [("complained", 1)]


def test_every_column_of_the_table_is_in_the_file(counted, tmp_path):
    [day] = export_days(counted, [TODAY], tmp_path)
    columns = value(
        counted,
        "SELECT array_agg(column_name::text) FROM information_schema.columns "
        "WHERE table_name = 'campaign_daily_metrics'",
    )
    assert set(columns) <= set(pq.read_schema(day.path).names)


def test_another_tool_reads_the_folder_by_day(counted, tmp_path):
    export_days(counted, [TODAY], tmp_path)
    found = duckdb.execute(
        f"SELECT day, campaign, sent, skipped_by_reason['complained'] "
        f"FROM read_parquet('{tmp_path}/*/*.parquet', hive_partitioning = true)"
    ).fetchall()
    assert found == [(TODAY, "Welcome", 4, 1)]


def test_writing_a_day_again_changes_nothing_and_leaves_no_temporary_file(counted, tmp_path):
    [first] = export_days(counted, [TODAY], tmp_path)
    before = (first.path.read_bytes(), first.path.stat().st_mtime_ns)
    aggregate_days(counted, [TODAY])
    [again] = export_days(counted, [TODAY], tmp_path)
    assert not again.is_new
    assert (again.path.read_bytes(), again.path.stat().st_mtime_ns) == before
    assert [path.name for path in first.path.parent.iterdir()] == ["metrics.parquet"]


def test_a_day_without_metrics_has_no_file(counted, tmp_path):
    export_days(counted, [TODAY, TODAY + DAY], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"day={TODAY}"]
    with counted.transaction() as connection:
        connection.execute("DELETE FROM campaign_daily_metrics")
    [gone] = export_days(counted, [TODAY], tmp_path)
    assert (gone.rows, gone.is_new) == (0, True)
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_file_of_a_killed_process_is_ignored_and_replaced(counted, tmp_path):
    folder = tmp_path / f"day={TODAY}"
    folder.mkdir()
    draft = folder / ".metrics.parquet.x1.new"
    draft.write_bytes(b"PAR1 half of a fi")
    os.utime(draft, (0, 0))
    assert read(tmp_path) == []
    export_days(counted, [TODAY], tmp_path)
    assert len(read(tmp_path)) == 1
    assert [path.name for path in folder.iterdir()] == ["metrics.parquet"]


def test_readers_never_see_a_partial_file_while_several_write(counted, tmp_path):
    def write(number: int) -> None:
        run_until_idle(counted, NOW + timedelta(minutes=number))
        with counted.transaction() as connection:
            connection.execute("UPDATE campaign_daily_metrics SET opens_total = %s", [number])
        export_days(counted, [TODAY], tmp_path)

    export_days(counted, [TODAY], tmp_path)
    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write, number) for number in range(12)]
        while not all(writer.done() for writer in writers):
            assert read(tmp_path)[0]["sent"] == 4
        for writer in writers:
            writer.result()
    last = value(counted, "SELECT opens_total FROM campaign_daily_metrics")
    assert read(tmp_path)[0]["opens_total"] == last


def test_the_largest_values_fit():
    row: dict[str, Any] = dict.fromkeys(
        (
            "sent", "sent_uncertain", "delivered", "opened", "opens_total", "machine_opened",
            "clicked", "clicks_total", "machine_clicked", "replied", "converted", "unsubscribed",
            "complained", "bounced", "failed",
        ),
        2**62,
    ) | {
        "metric_date": TODAY, "workspace_id": "w", "workspace": None, "time_zone": None,
        "campaign_id": "c", "campaign": "Ünïcode 🎉", "campaign_version": 2**31 - 1,
        "node_id": "n", "channel": "email", "variant_group": "",
        "conversion_value": Decimal("99999999999999.99"), "skipped": {},
    }  # fmt: skip
    table = pq.read_table(io.BytesIO(as_parquet([DayMetricsRow(**row)])))
    assert table["sent"].to_pylist() == [2**62]
    assert table["conversion_value"].to_pylist() == [Decimal("99999999999999.99")]
