"""Results as of a past time equal the results of that time, and nothing is written."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.ab_tests.declare import clear_sample_ratio, declare
from drip_pipeline.engine.ab_tests.judge import judge
from drip_pipeline.engine.ab_tests.results import campaign_results, results_as_of
from drip_pipeline.engine.ab_tests.results_json import as_json
from drip_pipeline.errors import NotAllowed
from tests.engine.ab_tests.split_contacts import SplitTest, a_split_test, people, results_now
from tests.engine.events.incoming import ingest, rows, value
from tests.engine.factories import NOW, an_event, rows_of

HOUR = timedelta(hours=1)
KEPT = (
    "campaign_ab_tests", "campaign_ab_test_results", "campaign_ab_evaluations",
    "campaign_ab_decisions", "campaign_ab_test_changes", "drip_campaigns", "campaign_events",
    "campaign_versions",
)  # fmt: skip


def as_of(database: Database, test: SplitTest, moment: datetime) -> dict[str, Any]:
    return as_json(results_as_of(database, test.campaign.campaign_id, as_of=moment))


def a_test(database: Database, **config: Any) -> SplitTest:
    with database.transaction() as connection:
        return a_split_test(connection, {"a": 40, "b": 40, "holdout": 20}, **config)


def join(database: Database, test: SplitTest, at: datetime, count: int, **reacted: Any) -> None:
    """Insert contacts of both variants with events within an hour; `b_opened`: opens of b."""
    b_opened = reacted.pop("b_opened", 0)
    with database.transaction() as connection:
        people(connection, test, "a", count, at=at, opened=count // 10, **reacted)
        people(connection, test, "b", count, at=at, opened=b_opened, **reacted)
        people(connection, test, "holdout", count // 2, at=at, converted=1)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"attribution_window_hours": {"open_rate": 3}},
        {"winner_metric": "engagement_score"},
        {"winner_metric": "conversion_rate"},
    ],
)
def test_results_as_of_each_hour_equal_the_results_of_that_hour(database, config):
    test = a_test(database, **config)
    told = {}
    for hour in range(6):
        start = NOW + hour * HOUR
        join(
            database, test, start, 150, b_opened=15 + hour * 15,
            clicked=hour, converted=hour, replied=2, delivered=120, unsubscribed=hour % 2,
            bounced=hour % 3, complained=hour % 2, machine_opened=hour,
        )  # fmt: skip
        moment = start + 0.5 * HOUR
        judge(database, now=moment)
        told[moment] = results_now(database, test, moment)
    states = [each["state"] for each in told.values()]
    assert states[0] == "collecting"
    for moment, then in told.items():
        assert as_of(database, test, moment) == then, moment
    if not config:
        assert "decided_winner" in states
        assert states.index("decided_winner") > 1


def test_nothing_is_written(database):
    test = a_test(database)
    join(database, test, NOW, 1_000, b_opened=300)
    judge(database, now=NOW + HOUR)
    with database.transaction() as connection:
        before = {table: rows_of(connection, table) for table in KEPT}
    for hours in (0.5, 1, 20):
        as_of(database, test, NOW + hours * HOUR)
    with database.transaction() as connection:
        assert {table: rows_of(connection, table) for table in KEPT} == before


def test_events_count_by_the_time_they_happened(database):
    test = a_test(database)
    join(database, test, NOW, 100)
    before = as_of(database, test, NOW + 2 * HOUR)
    late = [
        an_event(
            f"late-{n}",
            "email_clicked",
            message_id=message,
            occurred_at=at.isoformat(),
        )
        for n, ((message,), at) in enumerate(
            zip(
                rows(
                    database,
                    "SELECT message_id FROM campaign_message_outcomes WHERE variant_group = 'a' "
                    "LIMIT 3",
                ),
                [NOW + hours * HOUR for hours in (1, 2, 3)],
                strict=True,
            )
        )
    ]
    assert ingest(database, late, now=NOW + 9 * HOUR).accepted == 3
    after = as_of(database, test, NOW + 2 * HOUR)
    clicked = [each["variants"][0]["total_clicked"] for each in (before, after)]
    assert clicked == [0, 2]


def test_a_later_decision_is_ignored(database):
    test = a_test(database, auto_select_winner=False)
    join(database, test, NOW, 1_000, b_opened=300)
    judge(database, now=NOW + HOUR)
    decided_at = NOW + 5 * HOUR
    declare(database, "Welcome", variant="a", reason="taste", decided_by="Ada", now=decided_at)
    before = as_of(database, test, NOW + 4 * HOUR)
    assert (before["status"], before["decision"], before["ended_at"]) == ("running", None, None)
    assert before["leader"] == "b"
    assert not any(variant["is_winner"] for variant in before["variants"])
    after = as_of(database, test, decided_at)
    assert (after["status"], after["winner"]) == ("decided", "a")
    assert value(database, "SELECT winner_variant FROM campaign_ab_tests") == "a"


def test_a_block_holds_until_the_time_it_was_cleared(database):
    test = a_test(database)
    with database.transaction() as connection:
        people(connection, test, "a", 1_000, opened=100)
        people(connection, test, "b", 500, opened=50)
    judge(database, now=NOW + HOUR)
    clear_sample_ratio(database, "Welcome", reason="bots", cleared_by="Ada", now=NOW + 3 * HOUR)
    states = [as_of(database, test, NOW + hours * HOUR)["state"] for hours in (2, 4)]
    assert states == ["srm_blocked", "collecting"]


def test_before_the_first_test_there_are_no_results(database):
    a_test(database)
    with pytest.raises(NotAllowed, match="had no A/B test at 2026-03-02T08:00:00"):
        results_as_of(database, "Welcome", as_of=NOW - HOUR)


def test_a_test_that_started_later_is_left_out(database):
    test = a_test(database)
    join(database, test, NOW, 200, b_opened=30)
    then = results_now(database, test, NOW + HOUR)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_ab_tests SET status = 'superseded', ended_at = %s", [NOW + 2 * HOUR]
        )
        connection.execute(
            "INSERT INTO campaign_ab_tests (workspace_id, campaign_id, split_node_id, test_number, "
            "config, config_hash, campaign_versions, started_at) SELECT workspace_id, campaign_id, "
            "split_node_id, 2, config, 'y', ARRAY[2], %s FROM campaign_ab_tests",
            [NOW + 2 * HOUR],
        )
    assert as_of(database, test, NOW + HOUR) == then
    assert [r.experiment.test_number for r in campaign_results(database, "Welcome", now=NOW)] == [
        2, 1,
    ]  # fmt: skip
