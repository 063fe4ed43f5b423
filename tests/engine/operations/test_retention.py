"""Data by age: what goes is in a file first, what is needed stays, and whatever dies in the middle
loses nothing.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.events.ingest import ingest_events
from drip_pipeline.engine.metrics.daily_metrics import (
    aggregate_days,
    days_between,
    refresh_stale_days,
)
from drip_pipeline.engine.operations import retention as retention_module
from drip_pipeline.engine.operations.invariants import check_invariants
from drip_pipeline.engine.operations.parquet_archive import write_archive
from drip_pipeline.engine.operations.retention import RetentionReport, apply_retention
from drip_pipeline.errors import DripError
from drip_pipeline.settings.kinds import Retention
from tests.engine.factories import NOW, Published, an_event, people_inside, rows_of, sent_messages
from tests.engine.graphs import email, end, graph, trigger, wait_hours

LETTER = graph(trigger("hello"), email("hello", default="end"), end())
LONG = graph(trigger("hello"), email("hello", default="wait"), wait_hours("wait", 24 * 900,
    default="end"), end())  # fmt: skip
OLD = datetime.fromisoformat("2025-01-15T09:00:00+00:00")
ALL = Retention(log=365, deliveries=365, traces=90)
PEOPLE = int(os.environ.get("RETENTION_PEOPLE", "60"))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def a_finished_campaign(database: Database, flow: Any = LETTER) -> Published:
    """Everybody got a mail more than a year ago, half opened it, one bought something."""
    campaign, _ = people_inside(database, flow, PEOPLE, now=OLD)
    with database.transaction() as connection:
        messages = sent_messages(connection, campaign)
        connection.execute(
            "INSERT INTO contact_events (workspace_id, contact_id, event_type, event_data,"
            " occurred_at) VALUES (%s, %s, 'purchase', '{\"order\": 7}', %s)",
            [campaign.workspace_id, messages[0].contact_id, OLD],
        )
    opens = [
        an_event(n, "email_opened", message_id=one.message_id, occurred_at=OLD.isoformat())
        for n, one in enumerate(messages[::2])
    ]
    ingest_events(database, opens, source="opens", now=OLD)
    refresh_stale_days(database, now=OLD)
    aggregate_days(database, days_between(OLD.date(), OLD.date() + timedelta(days=3)))
    counting_goes_on(database, campaign)
    return campaign


def counting_goes_on(database: Database, campaign: Published) -> None:
    """A day that is counted now: the last old one is not to be counted any more."""
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_daily_metrics (metric_date, workspace_id, campaign_id,"
            " campaign_version, node_id, channel) VALUES (%s, %s, %s, 1, 'hello', 'email')",
            [NOW.date(), campaign.workspace_id, campaign.campaign_id],
        )


def apply(database: Database, archive: Path, now: datetime = NOW, **more: Any) -> RetentionReport:
    return apply_retention(database, more.pop("retention", ALL), archive, now=now, **more)


def count(database: Database, table: str) -> int:
    with database.transaction() as connection:
        return len(rows_of(connection, table))


def log_ids(database: Database) -> set[str]:
    with database.transaction() as connection:
        return {str(row[0]) for row in connection.execute("SELECT id FROM campaign_events")}


def archived_ids(archive: Path, kind: str = "campaign_events") -> Counter[str]:
    ids: Counter[str] = Counter()
    for path in archive.glob(f"{kind}-*.parquet"):
        ids.update(pq.read_table(path).column("id").to_pylist())
    return ids


def broken_laws(database: Database) -> list[str]:
    return [law.name for law in check_invariants(database, now=NOW) if not law.holds]


def test_old_months_go_into_files_that_were_read_back_and_the_figures_stay(database, archive):
    a_finished_campaign(database)
    before = log_ids(database)
    with database.transaction() as connection:
        figures = rows_of(connection, "campaign_daily_metrics", "metric_date, node_id")
    report = apply(database, archive)
    assert archived_ids(archive) == Counter(before)
    assert sum(report.archived.values()) == len(before) + 1
    assert log_ids(database) == set()
    assert archived_ids(archive, "contact_events").total() == 1
    assert count(database, "contact_events") == 0
    row = pq.read_table(next(archive.glob("contact_events-*"))).to_pylist()[0]
    assert row["event_data"] == '{"order":7}'
    assert row["occurred_at"] == OLD

    # Counting such a day anew changes nothing, and the laws do not miss what was archived.
    aggregate_days(database, days_between(OLD.date(), OLD.date()))
    with database.transaction() as connection:
        assert rows_of(connection, "campaign_daily_metrics", "metric_date, node_id") == figures
    assert broken_laws(database) == []
    again = apply(database, archive)
    assert (again.archived, again.months) == ({}, [])


def test_only_the_owner_can_read_archives_whatever_the_umask(tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir(mode=0o755)
    (folder / ".file.parquet.new").touch(0o644)  # of an interrupted run
    earlier = os.umask(0)
    try:
        write_archive(folder / "file.parquet", {"id": "string"}, [[{"id": "1"}]])
    finally:
        os.umask(earlier)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "file.parquet").stat().st_mode) == 0o600


def test_by_default_no_event_goes(database, archive):
    a_finished_campaign(database)
    before = log_ids(database)
    report = apply(database, archive, retention=Retention())
    assert report.archived == {}
    assert log_ids(database) == before
    assert count(database, "contact_events") == 1


def test_a_dry_run_says_what_would_go_and_changes_nothing(database, archive):
    a_finished_campaign(database)
    before = log_ids(database)
    report = apply(database, archive, dry_run=True)
    assert [f"{month:%Y-%m}" for month in report.months] == ["2025-01", "2025-02"]
    assert report.deleted["campaign_deliveries"] == PEOPLE
    assert report.deleted["contact_events"] == 1
    assert log_ids(database) == before
    assert count(database, "campaign_deliveries") == PEOPLE
    assert not archive.exists()


def test_what_open_runs_may_look_back_to_stays(database, archive):
    a_finished_campaign(database, LONG)
    before = log_ids(database)
    report = apply(database, archive)
    assert [f"{month:%Y-%m}" for month in report.months_waiting] == ["2025-01", "2025-02"]
    assert log_ids(database) == before
    assert count(database, "contact_events") == 1
    assert count(database, "campaign_deliveries") == PEOPLE
    assert broken_laws(database) == []


@pytest.mark.parametrize(
    "statement",
    [
        """INSERT INTO stale_metric_days (workspace_id, metric_date)
        SELECT workspace_id, '2025-01-15' FROM drip_campaigns""",
        """INSERT INTO campaign_ab_tests (workspace_id, campaign_id, split_node_id, test_number,
        config, config_hash, campaign_versions, started_at)
        SELECT workspace_id, id, 'hello', 1, '{}', '', '{1}', '2025-01-15' FROM drip_campaigns""",
    ],
    ids=["a day to be counted", "a running test"],
)
def test_what_is_still_to_be_counted_stays(database, archive, statement):
    a_finished_campaign(database)
    with database.transaction() as connection:
        connection.execute(statement)
    assert apply(database, archive).archived == {}


@pytest.mark.parametrize("stage", ["detached", "half written", "written", "not read back"])
def test_whatever_dies_in_the_middle_the_next_run_finishes(database, archive, monkeypatch, stage):
    a_finished_campaign(database)
    before = log_ids(database)

    def die(path: Path, columns: dict[str, str], chunks: Any) -> int:
        if stage == "half written":
            chunks = (_failing(rows) for rows in chunks)
        if stage == "not read back":
            monkeypatch.setattr(
                "drip_pipeline.engine.operations.parquet_archive._rows_in", lambda _: 1
            )
        if stage != "detached":
            write_archive(path, columns, chunks)
        raise RuntimeError(stage)

    with monkeypatch.context() as patched:
        patched.setattr(retention_module, "write_archive", die)
        with pytest.raises((RuntimeError, DripError, KeyError)):
            apply(database, archive)
    monkeypatch.undo()
    report = apply(database, archive)
    assert archived_ids(archive) == Counter(before)
    assert sum(report.archived.values()) == len(before) + 1
    assert [path.name for path in archive.iterdir() if path.name.startswith(".")] == []
    with database.transaction() as connection:
        left = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relname LIKE 'archiving%%' AND relkind = 'r'"
        ).fetchone()
    assert left == (0,)


def _failing(rows: list[Any]) -> list[Any]:
    return [*rows[:1], {}]


def test_contact_events_are_in_the_table_or_in_a_file(database, archive, monkeypatch):
    a_finished_campaign(database)
    with monkeypatch.context() as patched:
        patched.setattr(
            "drip_pipeline.db.operations.retention.store_contact_archive", _raise_after_the_file
        )
        with pytest.raises(RuntimeError):
            apply(database, archive)
    assert count(database, "contact_events") == 1
    apply(database, archive)
    assert count(database, "contact_events") == 0
    assert archived_ids(archive, "contact_events").total() == 1


def _raise_after_the_file(*_: Any, **__: Any) -> None:
    raise RuntimeError("killed")


def test_an_event_that_comes_late_for_an_archived_month_is_taken_and_zeroes_nothing(
    database, archive
):
    campaign = a_finished_campaign(database)
    apply(database, archive, retention=Retention(log=365))
    with database.transaction() as connection:
        message = sent_messages(connection, campaign)[1]
        figures = rows_of(connection, "campaign_daily_metrics", "metric_date, node_id")
    late = an_event("late", "email_clicked", message_id=message.message_id,
        occurred_at=(OLD + timedelta(days=1)).isoformat())  # fmt: skip
    assert ingest_events(database, [late], source="late", now=NOW).accepted == 1
    refresh_stale_days(database, now=NOW)
    with database.transaction() as connection:
        after = rows_of(connection, "campaign_daily_metrics", "metric_date, node_id")
        clicked = connection.execute(
            "SELECT sum(clicked), sum(sent) FROM campaign_daily_metrics"
        ).fetchone()
    assert [row[0] for row in after if row[0] < NOW.date()] == [
        row[0] for row in figures if row[0] < NOW.date()
    ]
    assert clicked == (1, PEOPLE)
    assert broken_laws(database) == []
    counting_goes_on(database, campaign)
    report = apply(database, archive)
    assert sum(report.archived.values()) == 1
    assert log_ids(database) == set()


def test_settled_messages_keys_and_traces_go_by_age_in_slices(database, archive):
    a_finished_campaign(database)
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO rejected_events (source, reason, rejected_at)"
            " SELECT 'f' || n, 'r', %s FROM generate_series(1, 25) n",
            [NOW - timedelta(days=91)],
        )
        connection.execute(
            "INSERT INTO rejected_events (source, reason, rejected_at) VALUES ('young', 'r', %s)",
            [NOW],
        )
        connection.execute("UPDATE campaign_batches SET started_at = %s", [OLD])
    report = apply(database, archive, retention=Retention(deliveries=365, traces=90), chunk_size=10)
    assert report.deleted["campaign_deliveries"] == PEOPLE
    assert report.deleted["rejected_events"] == 25
    assert report.deleted["ingested_event_keys"] == PEOPLE / 2
    assert count(database, "campaign_deliveries") == 0
    assert count(database, "recorded_messages") == 0
    assert count(database, "campaign_batches") == 0
    assert count(database, "rejected_events") == 1
    assert count(database, "campaign_message_outcomes") == PEOPLE
    assert broken_laws(database) == []


def test_a_month_that_others_use_for_long_is_left_to_the_next_run(database, archive, monkeypatch):
    a_finished_campaign(database)
    monkeypatch.setattr(retention_module, "LOCK_MILLISECONDS", 50)
    with database.transaction() as reader:
        reader.execute("SELECT count(*) FROM campaign_events")
        report = apply(database, archive)
        assert (len(report.months), len(report.months_waiting)) == (0, 2)
    assert len(apply(database, archive).months) == 2
