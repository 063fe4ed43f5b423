"""States migrate to other versions while engines execute them, senders send and events arrive.

No state may be lost, and no message may be sent twice, even if the publisher is killed.

IN_FLIGHT_PEOPLE: the number of contacts (20,000 is the full size).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Event, Lock
from typing import Any

import pytest

from drip_pipeline.channels.protocol import (
    Capabilities,
    DeliveryResult,
    Outcome,
    OutgoingMessage,
)
from drip_pipeline.channels.recorder import RecorderChannel
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.events.ingest import ingest_events
from drip_pipeline.engine.operations.invariants import check_invariants
from drip_pipeline.engine.operations.requeue import requeue
from drip_pipeline.engine.publishing.migrate_states import migrate_states
from drip_pipeline.engine.publishing.publish_options import InFlightPolicy
from drip_pipeline.engine.runner.tick import Engine, tick
from drip_pipeline.errors import Conflict
from tests.engine.factories import MESSAGES, NOW
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

CHECKOUT = Path(__file__).resolve().parents[2]
PEOPLE = int(os.environ.get("IN_FLIGHT_PEOPLE", "400"))
ALL = PEOPLE // len(COHORTS) * len(COHORTS)
STEP = timedelta(hours=6)
STEPS = 40
ROUNDS = 3


class Provider(RecorderChannel):
    """A channel that accepts most messages, defers some, and gives no answer for others. It counts
    the accepted ones, each of which must be stored once."""

    def __init__(self) -> None:
        super().__init__("email")
        self.taken: Counter[Any] = Counter()
        self._asked: set[Any] = set()
        self._guard = Lock()

    capabilities = Capabilities(is_idempotent=False, max_batch=50)

    def send(self, messages: Sequence[OutgoingMessage]) -> list[DeliveryResult]:
        with self._guard:
            return [self._answer(message) for message in messages]

    def _answer(self, message: OutgoingMessage) -> DeliveryResult:
        kind = message.delivery_id.int % 20
        if kind == 0 and message.delivery_id not in self._asked:
            self._asked.add(message.delivery_id)
            return DeliveryResult(delivery_id=message.delivery_id, outcome=Outcome.NOT_SENT)
        self.taken[message.delivery_id] += 1
        outcome = Outcome.UNKNOWN if kind == 1 else Outcome.ACCEPTED
        return DeliveryResult(delivery_id=message.delivery_id, outcome=outcome)


@pytest.fixture
def spread(database: Database) -> Database:
    a_campaign_in_flight(database, PEOPLE)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_enrollments SET status = 'active' WHERE status = 'paused'"
        )
    return database


def rows(database: Database, statement: str, *params: Any) -> list[Any]:
    with database.transaction() as connection:
        return connection.execute(statement, params).fetchall()


def migrated(database: Database, file: dict[str, Any], node_map: dict[str, str]) -> int:
    """Publish with migration, then migrate the enrollments that entered meanwhile."""
    policy = InFlightPolicy("migrate", node_map)
    done = stubborn(lambda: published(database, file, in_flight=policy))
    late = stubborn(lambda: migrate_states(database, NAME, node_map=node_map, now=NOW))
    moved: int = done.in_flight.states + late.in_flight.states
    return moved


def stubborn(act: Callable[[], Any]) -> Any:
    """Repeat a command that failed by a conflict."""
    for _ in range(5):
        try:
            return act()
        except Conflict:
            continue
    return act()


def test_states_migrate_while_two_engines_run_and_events_arrive(spread: Database):
    provider = Provider()
    together = Barrier(2)
    is_over = Event()
    url = spread.url

    def engine_at_work() -> None:
        with Database(url) as database:
            engine = Engine(database, {"email": provider}, MESSAGES, batch_size=200)
            try:
                for step in range(STEPS):
                    together.wait(timeout=300)
                    tick(engine, now=NOW + step * STEP, until_idle=True)
            except BaseException:
                together.abort()  # the other must not wait for this one
                raise

    def events_arriving() -> int:
        people = rows(spread, "SELECT email FROM contacts ORDER BY email")
        taken = 0
        with Database(url) as database:
            for number, (email,) in enumerate(people):
                if is_over.is_set():
                    break
                if number % 3 == 0:
                    line = {
                        "event_id": f"p{number}", "event_type": "purchase", "email": email,
                        "occurred_at": NOW.isoformat(),
                    }  # fmt: skip
                    taken += ingest_events(database, [line], source="shop", now=NOW).accepted
        return taken

    def publisher() -> int:
        files = ((version_2(), MAP), (version_1(), {"offer": "thanks", "vip": "split"}))
        with Database(url) as database:
            return sum(migrated(database, *there) for there in files * ROUNDS)

    with ThreadPoolExecutor(4) as pool:
        engines = [pool.submit(engine_at_work) for _ in range(2)]
        arriving = pool.submit(events_arriving)
        moved = pool.submit(publisher).result(timeout=600)
        for engine in engines:
            engine.result(timeout=900)
        is_over.set()
        assert arriving.result(timeout=60) > 0
    assert moved > ALL / 2, "most states must migrate while the engines work"
    logged = rows(
        spread, "SELECT count(*) FROM campaign_events WHERE event_type = 'enrollment_migrated'"
    )
    assert logged == [(moved,)]
    _finish(spread, provider)
    assert max(provider.taken.values()) == 1
    _no_state_is_lost(spread)


def _finish(database: Database, provider: Provider) -> None:
    """Requeue failures, and run the remaining days."""
    engine = Engine(database, {"email": provider}, MESSAGES)
    for step in range(STEPS, 2 * STEPS):
        if step == STEPS + 2:
            requeue(database, campaign=NAME, now=NOW + step * STEP)
        tick(engine, now=NOW + step * STEP, until_idle=True)


def _no_state_is_lost(database: Database) -> None:
    broken = [check for check in check_invariants(database, now=NOW + 40 * DAY) if not check.holds]
    assert broken == []
    ended = dict(
        rows(database, "SELECT workflow_status, count(*) FROM campaign_workflow_states GROUP BY 1")
    )
    assert ended.keys() <= {"completed", "exited"}
    assert sum(ended.values()) == ALL
    assert (
        rows(
            database,
            "SELECT enrollment_id, node_id FROM campaign_message_outcomes"
            " GROUP BY 1, 2 HAVING count(*) > 1",
        )
        == []
    )


_PUBLISHER = """
import os, signal, sys
from drip_pipeline.db.publishing import in_flight as in_flight_db
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.publishing.publish_options import InFlightPolicy
from tests.engine.publishing.in_flight_states import MAP, published, version_2

real = in_flight_db.migrate

def moved_and_killed(*arguments, **named):
    rows = real(*arguments, **named)
    print("moved", rows[0].moved, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

in_flight_db.migrate = moved_and_killed
published(Database(sys.argv[1]), version_2(), in_flight=InFlightPolicy("migrate", MAP))
"""


def test_a_publisher_killed_before_its_commit_changes_nothing(spread: Database):
    def everything() -> list[list[Any]]:
        return [
            rows(spread, f"SELECT t::text FROM {table} t ORDER BY 1")
            for table in (
                "campaign_workflow_states", "campaign_deliveries", "campaign_versions",
                "campaign_steps", "drip_campaigns",
            )
        ]  # fmt: skip

    before = everything()
    planned = published(spread, version_2(), in_flight=InFlightPolicy("migrate", MAP), dry_run=True)
    killed = subprocess.run(
        [sys.executable, "-c", _PUBLISHER, spread.url],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert planned.in_flight is not None
    assert killed.stdout == f"moved {planned.in_flight.states}\n"
    assert everything() == before
    done = published(spread, version_2(), in_flight=InFlightPolicy("migrate", MAP))
    assert (done.version, done.in_flight) == (planned.version, planned.in_flight)
    provider = Provider()
    engine = Engine(spread, {"email": provider}, MESSAGES)
    for step in range(STEPS):
        tick(engine, now=NOW + step * STEP, until_idle=True)
    _finish(spread, provider)
    assert max(provider.taken.values()) == 1
    _no_state_is_lost(spread)
