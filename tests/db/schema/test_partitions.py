from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from drip_pipeline.db.connection import Connection
from drip_pipeline.errors import ConstraintViolated, DripError
from tests.db.schema.schema_rows import NOW

MONTHS = (
    "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_class c "
    "JOIN pg_inherits i ON i.inhrelid = c.oid "
    "WHERE i.inhparent = 'campaign_events'::regclass AND c.relname <> 'campaign_events_default' "
    "ORDER BY 1"
)


def ensure(connection: Connection, now: datetime) -> int:
    row = connection.execute("SELECT ensure_event_partitions(%s)", [now]).fetchone()
    assert row is not None
    return int(row[0])


def months(connection: Connection) -> list[str]:
    return [name.removeprefix("campaign_events_") for name, _ in connection.execute(MONTHS)]


def write(connection: Connection, *times: datetime) -> None:
    connection.execute(
        "INSERT INTO campaign_events (event_type, created_at) SELECT 'email_opened', t "
        "FROM unnest(%s::timestamptz[]) AS t",
        [list(times)],
    )


def where(connection: Connection) -> list[tuple[str, datetime]]:
    rows = connection.execute(
        "SELECT replace(tableoid::regclass::text, 'campaign_events_', ''), created_at "
        "FROM campaign_events ORDER BY created_at"
    ).fetchall()
    return [(name, at) for name, at in rows]


def test_this_month_and_the_next_get_a_partition_once(database):
    with database.transaction() as connection:
        assert ensure(connection, NOW) == 2
        assert months(connection) == ["2026_03", "2026_04"]
        assert ensure(connection, NOW) == 0
        assert ensure(connection, NOW + timedelta(days=31)) == 1
        assert months(connection) == ["2026_03", "2026_04", "2026_05"]


def test_the_year_turns(database):
    with database.transaction() as connection:
        ensure(connection, datetime(2026, 12, 31, 23, 59, tzinfo=UTC))
        assert months(connection) == ["2026_12", "2027_01"]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Auckland"])
def test_months_are_those_of_utc_whatever_the_sessions_zone(database, zone):
    edges = [
        datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC),
        datetime(2026, 3, 1, tzinfo=UTC),
        datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2026, 4, 1, tzinfo=UTC),
    ]
    with database.transaction() as connection:
        connection.execute("SELECT set_config('TimeZone', %s, true)", [zone])
        write(connection, *edges)
        ensure(connection, NOW)
        names = [name for name, _ in where(connection)]
    assert names == ["2026_02", "2026_03", "2026_03", "2026_04"]


def test_rows_that_fell_into_the_default_partition_move_and_none_is_lost(database):
    late = [NOW - timedelta(days=days) for days in (0, 1, 40, 41, 400)]
    with database.transaction() as connection:
        write(connection, *late)
        assert {name for name, _ in where(connection)} == {"default"}
        assert ensure(connection, NOW) == 4
        assert months(connection) == ["2025_01", "2026_01", "2026_03", "2026_04"]
        found = where(connection)
        assert sorted(at for _, at in found) == sorted(late)
        assert "default" not in {name for name, _ in found}
        write(connection, NOW - timedelta(days=40))
        assert ("default", NOW - timedelta(days=40)) not in where(connection)


def test_clocks_that_are_far_off_make_no_partition_each(database):
    strange = [datetime(1970, 1, 1, tzinfo=UTC), datetime(2199, 1, 1, tzinfo=UTC)]
    with database.transaction() as connection:
        write(connection, *strange)
        assert ensure(connection, NOW) == 2
        assert where(connection) == [("default", at) for at in strange]


def test_a_month_that_was_still_to_come_gets_its_partition_in_time(database):
    early = NOW + timedelta(days=90)
    with database.transaction() as connection:
        write(connection, early)
        ensure(connection, NOW)
        assert where(connection) == [("default", early)]
        ensure(connection, early - timedelta(days=10))
        assert where(connection) == [("2026_05", early)]


def test_two_who_make_partitions_at_once_do_not_collide(database):
    with database.transaction() as connection:
        write(connection, NOW)
    made: list[int] = []

    def other() -> None:
        with database.transaction() as connection:
            made.append(ensure(connection, NOW))

    with database.transaction() as connection:
        made.append(ensure(connection, NOW))
        second = threading.Thread(target=other)
        second.start()
        second.join(0.3)
    second.join(10)
    assert made == [2, 0]


def test_a_writer_that_meets_a_new_partition_waits_and_succeeds(database):
    with database.transaction() as connection:
        write(connection, NOW - timedelta(days=1))  # in the default partition
    failures: list[DripError] = []

    def writer() -> None:
        try:
            with database.transaction() as connection:
                write(connection, NOW)
        except DripError as error:
            failures.append(error)

    with database.transaction() as connection:
        ensure(connection, NOW)
        second = threading.Thread(target=writer)
        second.start()
        second.join(0.3)
        assert second.is_alive()
    second.join(10)
    assert failures == []
    with database.transaction() as connection:
        assert ("2026_03", NOW) in where(connection)


def test_a_long_transaction_delays_no_other_writer(database):
    with database.transaction() as long, database.transaction() as connection:
        write(long, NOW)
        assert ensure(connection, NOW) == 0
        write(connection, NOW)
    with database.transaction() as connection:
        assert [name for name, _ in where(connection)] == ["default", "default"]
        assert ensure(connection, NOW) == 2
        assert [name for name, _ in where(connection)] == ["2026_03", "2026_03"]


def test_every_partition_has_the_logs_indexes(database):
    with database.transaction() as connection:
        ensure(connection, NOW)
        rows = connection.execute(
            "SELECT tablename, count(*) FROM pg_indexes WHERE tablename LIKE 'campaign\\_events%' "
            "GROUP BY 1"
        ).fetchall()
    counts = dict(rows)
    assert len(counts) == 4
    assert len(set(counts.values())) == 1


def test_an_event_id_is_taken_once_at_one_time(database):
    with database.transaction() as connection:
        ensure(connection, NOW)
        write(connection, NOW)
    with pytest.raises(ConstraintViolated), database.transaction() as connection:
        connection.execute("INSERT INTO campaign_events SELECT * FROM campaign_events")
