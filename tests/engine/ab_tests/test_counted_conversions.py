"""Conversions count from the assignment on: an earlier one neither counts nor hides a later one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from drip_pipeline.engine.ab_tests.judge import judge
from tests.engine.ab_tests.split_contacts import SplitTest, a_split_test, results_now
from tests.engine.events.incoming import ingest, rows
from tests.engine.factories import NOW, an_event, contacts, enrolled, run_until_idle

MIGRATION = Path(__file__).parents[3] / "sql/migrations/0017_recount_early_conversions.sql"
DAY = timedelta(days=1)
LATER = NOW + 2 * DAY


def a_test(database: Any, weights: dict[str, float] | None = None) -> tuple[SplitTest, list[UUID]]:
    with database.transaction() as connection:
        test = a_split_test(connection, weights, winner_metric="conversion_rate")
        everybody = contacts(connection, test.campaign.workspace_id, 40)
        enrolled(connection, test.campaign, everybody)
    run_until_idle(database)
    return test, everybody


def converted(number: int, person: int, after: timedelta, **fields: Any) -> dict[str, Any]:
    return an_event(
        number,
        "converted",
        email=f"person{person}@example.com",
        campaign="Welcome",
        occurred_at=(NOW + after).isoformat(),
        **fields,
    )


def total(database: Any, test: SplitTest) -> int:
    results = results_now(database, test, now=LATER)
    return sum(variant["total_converted"] for variant in results["variants"])


@pytest.mark.parametrize("weights", [{"a": 50, "b": 50}, {"a": 40, "b": 40, "holdout": 20}])
def test_conversions_before_the_assignment_count_for_nobody(database, weights):
    test, _ = a_test(database, weights)
    events = [converted(n, n + 1, -DAY, data={"value": 5}) for n in range(40)]
    assert ingest(database, events, now=LATER).accepted == 40
    assert total(database, test) == 0
    assert judge(database, now=LATER).decisions == []
    assert rows(
        database,
        "SELECT DISTINCT first_converted_at, conversion_value::int FROM campaign_split_assignments",
    ) == [(None, 0)]
    assert rows(database, "SELECT count(first_converted_at) FROM campaign_message_outcomes") == [
        (0,)
    ]
    # The events themselves stay in the log.
    assert rows(
        database, "SELECT count(*) FROM campaign_events WHERE event_type = 'converted'"
    ) == [(40,)]


@pytest.mark.parametrize("is_in_one_file", [True, False])
def test_an_earlier_conversion_does_not_hide_a_later_one(database, is_in_one_file):
    test, _ = a_test(database)
    events = [
        converted(1, 1, -DAY, data={"value": 5}),
        converted(2, 1, DAY, data={"value": 7}),
        converted(3, 2, DAY),
        converted(4, 2, -DAY),
    ]
    for chunk in [events] if is_in_one_file else [[event] for event in events]:
        ingest(database, chunk, now=LATER)
    assert total(database, test) == 2
    assert rows(
        database,
        "SELECT first_converted_at, conversion_value::int FROM campaign_split_assignments"
        " WHERE first_converted_at IS NOT NULL ORDER BY 2",
    ) == [(NOW + DAY, 0), (NOW + DAY, 7)]


def test_a_conversion_in_the_second_of_the_assignment_counts(database):
    test, _ = a_test(database)
    ingest(database, [converted(1, 1, timedelta(0))], now=LATER)
    assert total(database, test) == 1


def test_the_migration_recounts_what_was_stored_before(database):
    test, _ = a_test(database)
    ingest(database, [converted(1, 1, -DAY), converted(2, 1, DAY)], now=LATER)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_split_assignments SET first_converted_at = %s, conversion_value = 9"
            " WHERE first_converted_at IS NOT NULL",
            [NOW - DAY],
        )
        connection.execute(MIGRATION.read_bytes())
    assert total(database, test) == 1
    assert rows(
        database,
        "SELECT first_converted_at, conversion_value::int FROM campaign_split_assignments"
        " WHERE first_converted_at IS NOT NULL",
    ) == [(NOW + DAY, 0)]
