"""Permits and breakers in the database: exact under concurrency, shared by all processes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.delivery import flow_control as flow
from drip_pipeline.db.delivery.flow_control import BatchResults, BreakerRules, Limits, Permits

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
TRANSPORT = "email/relay"


@pytest.fixture
def transport(database: Database) -> Database:
    """A database with one transport that was never used."""
    with database.transaction() as connection:
        ensure(connection)
    return database


def ensure(connection: Connection, name: str = TRANSPORT) -> None:
    flow.ensure(
        connection, name, channel="email", channel_id=None, on_unknown="assume_sent", now=NOW
    )


def take(database: Database, requested: int, seconds: float = 0.0, **limits: Any) -> Permits:
    values: dict[str, Any] = {"per_second": None, "per_hour": None, "concurrency": None}
    with database.transaction() as connection:
        return flow.take(
            connection,
            TRANSPORT,
            requested,
            Limits(**(values | limits), probe_seconds=60.0),
            NOW + timedelta(seconds=seconds),
        )


def note(database: Database, seconds: float = 0.0, **changes: Any) -> bool:
    rules = BreakerRules(failures=5, failure_pct=50.0, least_attempts=20, open_seconds=30.0)
    values: dict[str, Any] = {"successes": 0, "failures": 0, "error": None, "pause_until": None}
    values |= changes
    values.setdefault("trailing_failures", values["failures"])
    results = BatchResults(**values)
    with database.transaction() as connection:
        return flow.note(connection, TRANSPORT, results, rules, NOW + timedelta(seconds=seconds))


def state(database: Database, seconds: float = 0.0) -> dict[str, Any]:
    with database.transaction() as connection:
        (row,) = flow.all_transports(connection, NOW + timedelta(seconds=seconds))
    return row._asdict()


def test_without_limits_everything_is_granted(transport: Database):
    assert take(transport, 1_000_000).granted == 1_000_000


def test_the_rate_per_second_is_a_limit(transport: Database):
    granted = [take(transport, 1_000, step / 20, per_second=50).granted for step in range(20 * 60)]
    # The bucket holds a quarter of a second when it is full; the minute itself gives 3,000.
    assert 3_000 - 50 <= sum(granted) <= 3_000 + 13
    for start in range(len(granted) - 20):
        assert sum(granted[start : start + 20]) <= 50 + 13


def test_the_rate_per_hour_is_a_limit(transport: Database):
    granted = [take(transport, 1_000, step, per_hour=600).granted for step in range(3_600)]
    assert 600 - 1 <= sum(granted) <= 600 + 10


def test_both_buckets_apply_together(transport: Database):
    limits = {"per_second": 10, "per_hour": 3_600}
    granted = [take(transport, 100, step / 2, **limits).granted for step in range(120)]
    assert sum(granted) <= 60 + 60 + 3


def test_low_rates_grant_one_at_a_time(transport: Database):
    first = take(transport, 5, per_second=0.1)
    assert first.granted == 1
    refused = take(transport, 5, 1, per_second=0.1)
    assert refused.granted == 0
    assert refused.retry_at == NOW + timedelta(seconds=10)
    assert take(transport, 5, 10, per_second=0.1).granted == 1


def test_a_clock_that_is_behind_refills_nothing(transport: Database):
    assert take(transport, 100, 60, per_second=10).granted == 2
    for _ in range(10):
        assert take(transport, 100, 0, per_second=10).granted == 0
    assert take(transport, 100, 60.2, per_second=10).granted == 2


def test_returned_permits_are_available_again(transport: Database):
    assert take(transport, 100, per_second=40).granted == 10
    with transport.transaction() as connection:
        flow.give_back(connection, TRANSPORT, 4)
    assert take(transport, 100, per_second=40).granted == 4


def test_concurrent_takers_never_exceed_the_limit(transport: Database):
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: take(transport, 3, per_second=80).granted, range(40)))
    assert sum(taken) == 20


def test_messages_in_progress_count_against_the_concurrency(transport: Database):
    def mark(connection: Connection, count: int) -> None:
        connection.execute(
            "INSERT INTO campaign_deliveries (id, workspace_id, campaign_id, campaign_version, "
            "enrollment_id, contact_id, node_id, channel, status, leased_until, lease_token, "
            "transport, created_at) SELECT gen_random_uuid(), %(id)s, %(id)s, 1, %(id)s, %(id)s, "
            "'n', 'email', 'sending', %(now)s, %(id)s, %(transport)s, %(now)s "
            "FROM generate_series(1, %(count)s)",
            {"id": uuid4(), "now": NOW, "transport": TRANSPORT, "count": count},
        )

    def take_and_mark(_: int) -> int:
        with transport.transaction() as connection:
            permits = flow.take(connection, TRANSPORT, 3, Limits(None, None, 10, 60.0), NOW)
            mark(connection, permits.granted)
        return permits.granted

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(take_and_mark, range(24)))
    assert sum(taken) == 10
    refused = take(transport, 1, concurrency=10)
    assert refused.granted == 0
    assert refused.retry_at is not None


def test_the_breaker_opens_after_failures_in_a_row(transport: Database):
    assert not note(transport, failures=4, error="first")
    assert take(transport, 10).granted == 10
    assert note(transport, 1, failures=1, error="the relay is down")
    refused = take(transport, 10, 2)
    assert (refused.granted, refused.state) == (0, "open")
    assert refused.retry_at == NOW + timedelta(seconds=31)
    assert state(transport, 2)["last_error"] == "the relay is down"


def test_a_success_resets_the_failures_in_a_row(transport: Database):
    note(transport, failures=4)
    note(transport, successes=1)
    assert not note(transport, failures=4)
    # The order within a group counts: these four end on a success.
    note(transport, successes=1, failures=4, trailing_failures=0)
    assert not note(transport, failures=4)
    assert take(transport, 1).granted == 1


def test_the_breaker_opens_at_a_percentage_of_failures(transport: Database):
    for second in range(6):
        assert not note(transport, second, successes=2, failures=1, trailing_failures=0)
    assert not note(transport, 6, failures=1, trailing_failures=1)
    assert note(transport, 7, successes=1, failures=10, trailing_failures=0)


def test_failures_of_another_minute_do_not_count(transport: Database):
    note(transport, successes=11, failures=9, trailing_failures=0)
    assert not note(transport, 61, successes=1, failures=3, trailing_failures=0)


def test_after_the_open_time_one_probe_decides(transport: Database):
    note(transport, failures=5)
    probe = take(transport, 10, 31)
    assert (probe.granted, probe.state) == (1, "half_open")
    assert take(transport, 10, 32).state == "probing"
    assert note(transport, 33, failures=1)
    # Twice as long as before.
    assert take(transport, 10, 92).state == "open"
    assert take(transport, 10, 94).granted == 1
    note(transport, 95, successes=1)
    healthy = take(transport, 10, 96)
    assert (healthy.granted, healthy.state) == (10, "closed")
    assert state(transport, 96)["times_opened"] == 0


def test_the_open_time_grows_up_to_a_limit(transport: Database):
    now = 0.0
    waits = []
    for _ in range(9):
        note(transport, now, failures=5)
        until = take(transport, 1, now).retry_at
        assert until is not None
        waits.append((until - NOW).total_seconds() - now)
        now += waits[-1] + 1
    assert waits[:3] == [30, 60, 120]
    assert waits[-1] == waits[-2] == 30 * 32


def test_a_lost_probe_is_followed_by_another(transport: Database):
    note(transport, failures=5)
    assert take(transport, 1, 31).granted == 1
    assert take(transport, 1, 90).granted == 0
    assert take(transport, 1, 92).granted == 1
    with transport.transaction() as connection:
        flow.give_back(connection, TRANSPORT, 1)  # nothing was there to send
    assert take(transport, 1, 93).granted == 1


def test_a_late_success_does_not_close_an_open_breaker(transport: Database):
    note(transport, failures=5)
    note(transport, 1, successes=10)
    assert take(transport, 1, 2).state == "open"


def test_a_throttling_provider_is_paused(transport: Database):
    note(transport, pause_until=NOW + timedelta(seconds=20))
    refused = take(transport, 1, 19)
    assert (refused.state, refused.retry_at) == ("paused", NOW + timedelta(seconds=20))
    note(transport, pause_until=NOW + timedelta(seconds=5))
    assert take(transport, 1, 19).state == "paused"
    assert take(transport, 1, 21).granted == 1


def test_a_disabled_transport_waits_for_an_operator(transport: Database):
    with transport.transaction() as connection:
        flow.disable(connection, TRANSPORT, "is gone", NOW)
    refused = take(transport, 1, 86_400)
    assert (refused.granted, refused.state, refused.retry_at) == (0, "disabled", None)
    with transport.transaction() as connection:
        assert flow.reset(connection, TRANSPORT, NOW)
        assert not flow.reset(connection, "email/other", NOW)
    assert take(transport, 1).granted == 1


def test_only_unhealthy_transports_are_obstacles(transport: Database):
    with transport.transaction() as connection:
        ensure(connection, "email/other")
        assert flow.obstacles(connection, [TRANSPORT, "email/other"], NOW) == {}
    note(transport, failures=1, error="hiccup")
    with transport.transaction() as connection:
        obstacles = flow.obstacles(connection, [TRANSPORT, "email/other"], NOW)
    assert list(obstacles) == [TRANSPORT]
    assert obstacles[TRANSPORT].is_watched
    assert obstacles[TRANSPORT].closed_until is None
