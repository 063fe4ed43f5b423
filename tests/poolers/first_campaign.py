"""The whole first campaign on any database: migrate twice, import, publish, enroll, run with
several engines at once, ingest, receive, compute metrics, judge, erase. Each step checks its
result.

Tests run it through poolers, and the matrix of databases (`make matrix`) on all that there are.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson
import yaml

from drip_pipeline.channels.recorder import RecorderChannel
from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import inbox as inbox_db
from drip_pipeline.db.migrate import migrate
from drip_pipeline.engine.ab_tests.judge import judge
from drip_pipeline.engine.contacts.import_contacts import import_contacts
from drip_pipeline.engine.enrollment.audience import Everybody
from drip_pipeline.engine.enrollment.enroll import enroll
from drip_pipeline.engine.enrollment.webhook_trigger import enroll_by_webhook
from drip_pipeline.engine.erased_addresses import ErasureKeys
from drip_pipeline.engine.events.drain_inbox import drain_inbox
from drip_pipeline.engine.events.ingest import ingest_events
from drip_pipeline.engine.metrics.daily_metrics import aggregate_days
from drip_pipeline.engine.operations.invariants import check_invariants
from drip_pipeline.engine.privacy.erase import ErasureScope
from drip_pipeline.engine.privacy.request import erase
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.engine.runner.tick import Engine, tick
from drip_pipeline.settings import CHECKOUT, Settings
from tests.engine.factories import MESSAGES

NOW: Final = datetime(2026, 3, 2, 9, tzinfo=UTC)
LATER: Final = NOW + timedelta(days=3)
PEOPLE: Final = 300
ENGINES: Final = 3
NAME: Final = "Newsletter subjects"
"""Of examples/subject_test.yaml, an A/B test of two subjects."""
BY_WEBHOOK: Final[dict[str, Any]] = {
    "name": "By webhook",
    "steps": [
        {"node_type": "trigger", "trigger_config": {"trigger": "webhook"}},
        {"node_type": "email", "channel_config": {"email": {"subject": "Hi", "body": "Hello"}}},
    ],
}


@dataclass(frozen=True, slots=True)
class FirstCampaign:
    """The steps on one database. `opened` makes a `Database` as another process would; the schema
    is migrated through `owner`."""

    owner: Callable[[], Database]
    opened: Callable[[], Database]
    folder: Path

    def steps(self) -> dict[str, Callable[[], None]]:
        """The steps by name, in their order."""
        return {
            "migrate twice": self.migrate_twice,
            "import": self.import_people,
            "publish": self.publish,
            "enroll": self.enroll,
            "run": self.run,
            "ingest": self.ingest,
            "receive": self.receive,
            "metrics": self.metrics,
            "judge": self.judge,
            "erase": self.erase,
        }

    def migrate_twice(self) -> None:
        with ThreadPoolExecutor(2) as pool:
            reports = list(pool.map(lambda _: self._migrated(), range(2)))
        assert sorted(bool(report.applied) for report in reports) == [False, True]
        assert not self._migrated().applied
        with self.owner() as database, database.transaction() as connection:
            locks = connection.execute(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database ="
                " (SELECT oid FROM pg_database WHERE datname = current_database())"
            ).fetchone()
        assert locks == (0,), "a lock was left behind"

    def _migrated(self) -> Any:
        with self.owner() as database:
            return migrate(database)

    def import_people(self) -> None:
        path = self.folder / "people.csv"
        lines = [f"p{n}@example.com,Person {n},{n % 100}" for n in range(PEOPLE)]
        path.write_text("\n".join(["email,name,ai_score", *lines, lines[0], ",Nobody,1"]) + "\n")
        with self.opened() as database:
            first = import_contacts(database, path, now=NOW)
            again = import_contacts(database, path, now=NOW)
        assert (first.inserted, dict(first.rejected)["repeated_email"]) == (PEOPLE, 1), first
        assert (again.inserted, again.unchanged) == (0, PEOPLE), again

    def publish(self) -> None:
        newsletter = yaml.safe_load((CHECKOUT / "examples" / "subject_test.yaml").read_text())
        options = PublishOptions(now=NOW, settings=Settings(), channels=frozenset({"email"}))
        with self.opened() as database:
            for definition in (newsletter, BY_WEBHOOK):
                report = publish(database, definition, options)
                assert report.campaign_id is not None, report

    def enroll(self) -> None:
        with self.opened() as database:
            report = enroll(database, NAME, Everybody(), now=NOW)
        assert report.enrolled == PEOPLE, report

    def run(self) -> None:
        for now in (NOW, LATER):
            with ThreadPoolExecutor(ENGINES) as pool:
                list(pool.map(lambda _: self._run_engine(now), range(ENGINES)))  # noqa: B023
        assert self.values(
            "SELECT (SELECT count(*) FROM campaign_workflow_states"
            " WHERE workflow_status = 'completed'), count(*), count(DISTINCT delivery_id)"
            " FROM recorded_messages"
        ) == [(PEOPLE, PEOPLE, PEOPLE)]

    def _run_engine(self, now: datetime) -> None:
        with self.opened() as database:
            engine = Engine(database, {"email": RecorderChannel("email")}, MESSAGES, batch_size=40)
            tick(engine, now=now, until_idle=True)

    def ingest(self) -> None:
        ids = [row[0] for row in self.values("SELECT delivery_id FROM recorded_messages")]
        events = [
            {
                "event_id": f"{kind}-{delivery_id}",
                "event_type": kind,
                "occurred_at": (NOW + timedelta(minutes=5)).isoformat(),
                "message_id": str(delivery_id),
            }
            for kind in ("email_delivered", "email_opened")
            for delivery_id in ids
        ]
        stored = "SELECT event_type, count(*) FROM campaign_events WHERE event_type IN"
        stored += " ('email_delivered', 'email_opened') GROUP BY 1 ORDER BY 1"
        for source in ("first", "again"):
            with self.opened() as database:
                ingest_events(database, events, source=source, now=LATER)
            rows = self.values(stored)
            assert rows == [("email_delivered", PEOPLE), ("email_opened", PEOPLE)], rows

    def receive(self) -> None:
        (delivery_id,) = self.values("SELECT delivery_id FROM recorded_messages LIMIT 1")[0]
        payload = {
            "event_id": "received",
            "event_type": "email_clicked",
            "message_id": str(delivery_id),
            "occurred_at": LATER.isoformat(),
        }
        arrival = inbox_db.Arrival(
            provider="generic", payload=orjson.dumps(payload), context={}, received_at=LATER
        )
        body = orjson.dumps({"email": "new@example.com"})
        name = BY_WEBHOOK["name"]
        with self.opened() as database:
            with database.transaction() as connection:
                assert inbox_db.append(connection, [arrival]) == 1
            drain_inbox(database, now=LATER)
            first = enroll_by_webhook(database, name, body, now=LATER, call_key="k")
            again = enroll_by_webhook(database, name, body, now=LATER, call_key="k")
        assert (first.enrolled, first.contacts_created, again.is_repeat) == (1, 1, True)
        clicks = "SELECT count(*) FROM campaign_events WHERE event_type = 'email_clicked'"
        assert self.values(clicks) == [(1,)]

    def metrics(self) -> None:
        with self.opened() as database:
            aggregate_days(database, [NOW.date(), LATER.date()])
            broken = [one for one in check_invariants(database, now=LATER) if not one.holds]
        assert broken == []

    def judge(self) -> None:
        with self.opened() as database:
            report = judge(database, now=LATER)
        assert len(report.evaluated) == 1, report
        assert self.values("SELECT sum(total_sent) FROM campaign_ab_test_results") == [(PEOPLE,)]

    def erase(self) -> None:
        """Erase one person by the command and one by SQL; no number changes."""
        numbers = "SELECT to_jsonb(m)::text FROM campaign_daily_metrics m ORDER BY 1"
        before = self.values(numbers)
        scope = ErasureScope(
            ErasureKeys(MESSAGES.secret_key), self.folder / "archive", self.folder / "landing"
        )
        with self.opened() as database:
            assert erase(database, "p1@example.com", scope, now=LATER).is_complete
            with database.transaction() as connection:
                connection.execute("DELETE FROM contacts WHERE email = 'p2@example.com'")
            engine = Engine(database, {}, MESSAGES, erasure=scope)
            assert tick(engine, now=LATER).erased == 1
            aggregate_days(database, [NOW.date(), LATER.date()])
            broken = [one for one in check_invariants(database, now=LATER) if not one.holds]
        assert broken == []
        assert self.values(numbers) == before
        assert self.values(
            "SELECT (SELECT count(*) FROM campaign_enrollments WHERE contact_email IS NULL),"
            " (SELECT count(*) FROM recorded_messages WHERE recipient ~ '^p[12]@'),"
            " (SELECT count(*) FROM contact_erasure_values)"
        ) == [(2, 0, 0)]

    def values(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with self.opened() as database, database.transaction() as connection:
            return connection.execute(statement.encode()).fetchall()
