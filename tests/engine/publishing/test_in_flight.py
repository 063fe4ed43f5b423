"""States inside version 1 when version 2 is published: each policy does what its dry run reported.

No state is lost and no message is sent twice. IN_FLIGHT_PEOPLE sets the number of contacts (20,000
is the full size).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.engine.operations.invariants import check_invariants
from drip_pipeline.engine.operations.requeue import requeue
from drip_pipeline.engine.publishing.in_flight_policy import InFlightReport
from drip_pipeline.engine.publishing.migrate_states import migrate_states
from drip_pipeline.engine.publishing.publish_options import InFlightPolicy
from drip_pipeline.errors import EnrollmentsStranded, NotAllowed
from tests.conftest import own_database
from tests.engine.factories import NOW, run_until_idle
from tests.engine.publishing.in_flight_states import (
    COHORTS,
    DAY,
    MAP,
    NAME,
    a_campaign_in_flight,
    published,
    version_1,
    version_2,
)

PEOPLE = int(os.environ.get("IN_FLIGHT_PEOPLE", "400"))
ALL = PEOPLE // len(COHORTS) * len(COHORTS)
POLICIES = {
    "pin": InFlightPolicy(),
    "migrate": InFlightPolicy("migrate", MAP),
    "exit": InFlightPolicy("exit"),
}


@pytest.fixture(scope="module")
def spread_template(server_url: str, template: str) -> Iterator[str]:
    """A closed database with states at all nodes of version 1, to be cloned."""
    with own_database(server_url, template) as database:
        a_campaign_in_flight(database, PEOPLE)
        (name,) = rows(database, "SELECT current_database()")[0]
        database.close()
        yield name


@pytest.fixture
def spread(server_url: str, spread_template: str) -> Iterator[Database]:
    with own_database(server_url, spread_template) as database:
        yield database


def rows(database: Database, statement: str, *params: Any) -> list[Any]:
    with database.transaction() as connection:
        return connection.execute(statement, params).fetchall()


def numbers(report: InFlightReport | None) -> Counter[tuple[Any, ...]]:
    assert report is not None
    counted: Counter[tuple[Any, ...]] = Counter()
    for group in report.groups:
        told = asdict(group)
        people = told.pop("states")
        counted[tuple(told.values())] += people
    return counted


def places(database: Database) -> Counter[tuple[Any, ...]]:
    return Counter(
        rows(
            database,
            "SELECT campaign_version, current_node_id, workflow_status, resume_port, exit_reason,"
            " wait_for_event FROM campaign_workflow_states",
        )
    )


def invariants_hold(database: Database) -> None:
    broken = [law for law in check_invariants(database, now=NOW + 40 * DAY) if not law.holds]
    assert broken == []


def run_to_the_end(database: Database) -> None:
    """Run all states to their end: resume paused ones, requeue failed ones, run ten days."""
    lifted = "UPDATE campaign_enrollments SET status = 'active' WHERE status = 'paused'"
    with database.transaction() as connection:
        connection.execute(lifted)
    for hours in range(0, 10 * 24, 8):
        now = NOW + timedelta(hours=hours)
        if hours == 16:
            requeue(database, campaign=NAME, now=now)
        run_until_idle(database, now)
    statuses = dict(
        rows(database, "SELECT workflow_status, count(*) FROM campaign_workflow_states GROUP BY 1")
    )
    assert statuses.keys() <= {"completed", "exited"}
    assert sum(statuses.values()) == ALL


def assert_nothing_was_sent_twice(database: Database) -> None:
    """Assert that no contact has two messages of one node."""
    assert (
        rows(
            database,
            "SELECT enrollment_id, node_id FROM campaign_message_outcomes"
            " GROUP BY 1, 2 HAVING count(*) > 1",
        )
        == []
    )
    sent = rows(database, "SELECT count(*) FROM campaign_events WHERE event_type = 'email_sent'")
    ids = rows(
        database,
        "SELECT count(DISTINCT message_id) FROM campaign_events WHERE event_type = 'email_sent'",
    )
    assert sent == ids
    assert (
        rows(
            database,
            "SELECT 1 FROM recorded_messages GROUP BY enrollment_id, node_id HAVING count(*) > 1",
        )
        == []
    )


@pytest.mark.parametrize("policy", POLICIES)
def test_a_dry_run_reports_what_the_policy_does(spread: Database, policy: str):
    before = places(spread)
    told = published(spread, version_2(), in_flight=POLICIES[policy], dry_run=True)
    assert (told.status, told.version) == ("dry_run", 2)
    assert places(spread) == before
    done = published(spread, version_2(), in_flight=POLICIES[policy])
    assert done.status == "published"
    assert told.in_flight is not None
    assert done.in_flight is not None
    assert numbers(told.in_flight) == numbers(done.in_flight)
    assert told.in_flight.states == done.in_flight.states == sum(numbers(done.in_flight).values())
    assert told.in_flight.messages() == done.in_flight.messages()
    now = places(spread)
    if policy == "pin":
        assert now == before
    inside = Counter({place: n for place, n in now.items() if place[0] == 1})
    if policy == "migrate":
        assert {place[2] for place in inside} <= {"completed", "exited"}
        there: Counter[str] = Counter()
        for (*_, to_node, _label, _event, _time), people in numbers(done.in_flight).items():
            there[to_node] += people
        stand: Counter[str] = Counter()
        for place, people in now.items():
            if place[0] == 2:
                stand[place[1]] += people
        assert stand == there
    if policy == "exit":
        gone = sum(n for place, n in now.items() if place[4] == "campaign_changed")
        assert gone == done.in_flight.states
    invariants_hold(spread)
    run_to_the_end(spread)
    invariants_hold(spread)
    assert_nothing_was_sent_twice(spread)


def test_the_states_cover_every_situation(spread: Database):
    report = published(spread, version_2(), in_flight=POLICIES["migrate"], dry_run=True).in_flight
    assert report is not None
    assert {group.situation for group in report.groups} == {
        "to_enter", "waiting", "leaving", "message_pending", "message_out", "message_failed",
    }  # fmt: skip
    assert {group.status for group in report.groups} == {"running", "waiting", "paused", "failed"}
    assert {group.node_id for group in report.groups} == {
        "start", "hello", "rest", "extra", "ask", "letter_a", "letter_b", "tail",
    }  # fmt: skip
    assert {group.message for group in report.groups} == {
        "none", "renewed", "withdrawn", "untouched",
    }  # fmt: skip
    assert any(group.ended_by_event for group in report.groups)
    assert any(group.ended_by_time for group in report.groups)


def test_states_without_a_target_node_stop_a_migration_before_any_moves(spread: Database):
    before = places(spread)
    with pytest.raises(EnrollmentsStranded) as caught:
        published(spread, version_2(), in_flight=InFlightPolicy("migrate"))
    (stranded,) = caught.value.stranded
    at_extra = sum(n for place, n in before.items() if place[1] == "extra")
    assert (stranded["node_id"], stranded["label"], stranded["states"]) == (
        "extra", "Letter extra", at_extra,
    )  # fmt: skip
    assert places(spread) == before
    assert rows(spread, "SELECT published_version, version FROM drip_campaigns") == [(1, 1)]
    told = published(spread, version_2(), in_flight=InFlightPolicy("migrate"), dry_run=True)
    assert told.in_flight is not None
    assert [group.states for group in told.in_flight.stranded] == [at_extra]


def test_pinned_states_migrate_later_as_their_dry_run_reports(spread: Database):
    published(spread, version_2())
    told = migrate_states(spread, NAME, node_map=MAP, dry_run=True, now=NOW)
    done = migrate_states(spread, NAME, node_map=MAP, now=NOW)
    assert numbers(told.in_flight) == numbers(done.in_flight)
    assert done.in_flight.states > 0
    again = migrate_states(spread, NAME, node_map=MAP, now=NOW)
    assert again.in_flight.states == 0
    invariants_hold(spread)
    run_to_the_end(spread)
    assert_nothing_was_sent_twice(spread)


def test_the_totals_count_states_moved_between_versions(spread: Database):
    published(spread, version_2(), in_flight=POLICIES["migrate"])
    with spread.transaction() as connection:
        first, second = states_db.population(connection)
    assert first.started == ALL
    assert first.moved_out == second.moved_in == second.entered
    assert first.entered == first.completed + first.exited
    assert (first.active, first.failed) == (0, 0)


def test_states_may_migrate_there_and_back(spread: Database):
    published(spread, version_2(), in_flight=POLICIES["migrate"])
    back = migrate_states(spread, NAME, to_version=1, node_map={}, now=NOW)
    assert back.in_flight.states > 0
    invariants_hold(spread)
    published(spread, version_1())
    migrate_states(spread, NAME, now=NOW)
    invariants_hold(spread)
    run_to_the_end(spread)
    assert_nothing_was_sent_twice(spread)
    assert rows(spread, "SELECT max(campaign_version) FROM campaign_workflow_states") == [(3,)]


def test_an_unsent_message_is_sent_as_in_the_new_version(spread: Database):
    published(spread, version_2(), in_flight=POLICIES["migrate"])
    run_to_the_end(spread)
    texts = rows(
        spread,
        "SELECT DISTINCT o.campaign_version, r.subject FROM recorded_messages r"
        " JOIN campaign_message_outcomes o ON o.message_id = r.delivery_id"
        " WHERE r.node_id = 'letter_b' ORDER BY 1",
    )
    assert texts == [(1, "About letter_b"), (2, "A better letter")]


@pytest.mark.parametrize(
    ("node_map", "named"), [({"nobody": "ask"}, "'nobody'"), ({"extra": "gone"}, "'gone'")]
)
def test_a_map_with_unknown_nodes_is_refused(spread, node_map, named):
    with pytest.raises(NotAllowed, match=named):
        published(spread, version_2(), in_flight=InFlightPolicy("migrate", node_map))


def test_only_the_policy_migrate_takes_a_map():
    with pytest.raises(NotAllowed, match="pin"):
        InFlightPolicy("pin", MAP)
