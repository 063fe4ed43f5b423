"""A person with traces in everything that stores some: campaigns, events, payloads, files, logs and
Dagster's storage; and another person, whose data must stay.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from drip_pipeline.channels.recorder import RecorderChannel
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.engine.ab_tests.judge import judge
from drip_pipeline.engine.ab_tests.results import campaign_results
from drip_pipeline.engine.ab_tests.results_json import as_json
from drip_pipeline.engine.audit import Actor
from drip_pipeline.engine.contacts.import_contacts import import_contacts
from drip_pipeline.engine.events.ingest import ingest_events
from drip_pipeline.engine.events.landing_folder import load_files, look
from drip_pipeline.engine.metrics.daily_metrics import (
    aggregate_days,
    days_between,
    refresh_stale_days,
)
from drip_pipeline.engine.metrics.funnel import campaign_funnel
from drip_pipeline.engine.operations import operator_consents
from drip_pipeline.engine.operations.parquet_archive import (
    CAMPAIGN_EVENTS,
    CONTACT_EVENTS,
    write_archive,
)
from drip_pipeline.engine.privacy.erase import ErasureScope
from drip_pipeline.engine.runner.tick import Engine, TickReport, tick
from drip_pipeline.settings import Secret, Settings
from tests.engine.ab_tests.split_contacts import a_split_test
from tests.engine.factories import (
    MESSAGES,
    NOW,
    Published,
    a_published_campaign,
    an_event,
    contacts,
    enrolled,
)
from tests.engine.graphs import email, end, graph, trigger, wait_hours

EMAIL, PHONE, NAME, IP = "zoe.quark@example.org", "+14155550123", "Zoe Quarkington", "203.0.113.77"
FIELD, PROPERTY, AGENT = "canary-field-5107", "canary-property-5107", "CanaryAgent/5107"
CANARIES = (EMAIL, PHONE, NAME, "Quarkington", IP, FIELD, PROPERTY, AGENT, "canary")
OTHER = "yan@example.org"
LATER = NOW + timedelta(hours=2)
AT_LAST = NOW + timedelta(days=3)
JANE = Actor("Jane", "cli")

_DAGSTER = """
CREATE TABLE event_logs (id bigint GENERATED ALWAYS AS IDENTITY, event text);
CREATE TABLE runs (run_id text, run_body text);
CREATE TABLE run_tags (run_id text, key text, value text);
"""


@dataclass(frozen=True, slots=True)
class Traces:
    """The person `contact_id`, its campaigns, and where its copies are."""

    database: Database
    dagster: Database
    settings: Settings
    contact_id: UUID
    other_id: UUID
    test: Published
    waiting: Published

    @property
    def scope(self) -> ErasureScope:
        return ErasureScope.of(self.settings)

    def tick(self, now: Any = AT_LAST) -> TickReport:
        names = ("email", "sms", "webhook", "social")
        channels = {name: RecorderChannel(name) for name in names}
        engine = Engine(self.database, channels, MESSAGES, erasure=self.scope)
        return tick(engine, now=now, until_idle=True)

    def figures(self) -> bytes:
        """Daily metrics, test results and funnels, as their readers get them."""
        with self.database.transaction() as connection:
            metrics = connection.execute(
                "SELECT to_jsonb(m)::text FROM campaign_daily_metrics m ORDER BY 1"
            ).fetchall()
        results = as_json(campaign_results(self.database, self.test.campaign_id, now=LATER))
        funnel = campaign_funnel(self.database, self.test.campaign_id, now=LATER)
        return orjson.dumps([metrics, results, funnel], default=str, option=orjson.OPT_SORT_KEYS)

    def dumped(self) -> dict[str, str]:
        """Everything that is stored, in readable form: tables by name, and files by path."""
        return {
            **_tables(self.database),
            **{f"dagster {name}": text for name, text in _tables(self.dagster).items()},
            **dict(_files(self.settings.home)),
        }


def leave_traces(database: Database, dagster: Database, home: Path) -> Traces:
    """Let the person and the other one leave traces everywhere."""
    settings = Settings(
        home=home,
        secret_key=Secret("a key for tests"),
        dagster_database_url=Secret(dagster.url),
    )
    home.mkdir(parents=True, exist_ok=True)
    with database.transaction() as connection:
        test = a_split_test(connection).campaign
        workspace = test.workspace_id
        crowd = contacts(connection, workspace, 8)
        person, other = _two_persons(connection, workspace)
        waiting = a_published_campaign(connection, _waiting(), name="Waiting")
        enrolled(connection, test, [person, other, *crowd])
        enrolled(connection, waiting, [person, other], entry_key="order-5107")
        connection.execute(
            "UPDATE campaign_enrollments SET contact_name = %s, personalization_data = %s,"
            " interaction_history = %s WHERE contact_id = %s",
            [NAME, {"gift": FIELD}, orjson.dumps([FIELD]).decode(), person],
        )
        connection.execute(
            "UPDATE campaign_workflow_states SET workflow_variables = %s WHERE contact_id = %s",
            [{"coupon": FIELD}, person],
        )
    traces = Traces(database, dagster, settings, person, other, test, waiting)
    tick(Engine(database, {"email": RecorderChannel("email")}, MESSAGES), now=NOW, until_idle=True)
    _events(traces)
    _imports(traces, home)
    _rows_of_all_kinds(traces)
    _archives(traces)
    _files_and_dagster(traces)
    refresh_stale_days(database, now=AT_LAST)
    aggregate_days(database, days_between(NOW.date(), NOW.date()))
    judge(database, now=LATER)
    return traces


def _waiting() -> CampaignGraph:
    return graph(
        trigger("hello"),
        email("hello", default="wait"),
        wait_hours("wait", 24 * 30, default="end"),
        end(),
    )


def _two_persons(connection: Connection, workspace: UUID) -> tuple[UUID, UUID]:
    ids = uuid4(), uuid4()
    for contact_id, address, phone, name, value in (
        (ids[0], EMAIL, PHONE, NAME, FIELD),
        (ids[1], OTHER, "+14155550999", "Yan", "kept-field"),
    ):
        connection.execute(
            "INSERT INTO contacts (id, workspace_id, email, phone, name, company, custom_fields,"
            " created_at, updated_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [contact_id, workspace, address, phone, name, name, {"favorite": value}, NOW, NOW],
        )
    return ids


def lines_of(traces: Traces, start: int) -> list[dict[str, Any]]:
    """An open, a click and a purchase of each of the two persons."""
    with traces.database.transaction() as connection:
        messages = dict(
            connection.execute(
                "SELECT contact_id, message_id FROM campaign_message_outcomes"
                " WHERE campaign_id = %s",
                [traces.test.campaign_id],
            ).fetchall()
        )
    lines = []
    for number, (contact_id, address, ip, value) in enumerate(
        (
            (traces.contact_id, EMAIL, IP, PROPERTY),
            (traces.other_id, OTHER, "203.0.113.99", "kept-property"),
        )
    ):
        message = messages.get(contact_id)
        first = start + 10 * number
        seen = {"user_agent": AGENT if ip == IP else "Other/1", "ip_address": ip}
        lines += [
            an_event(first, "email_opened", message_id=message, **seen, data={"note": value}),
            an_event(first + 1, "email_clicked", message_id=message, **seen, data={"note": value}),
            an_event(first + 2, "purchase", email=address.upper(), data={"item": value}),
            an_event(first + 3, "no event", email=address, data={"item": value}),
        ]
    return lines


def _events(traces: Traces) -> None:
    ingest_events(traces.database, lines_of(traces, 100), source="events", now=LATER)


def _imports(traces: Traces, folder: Path) -> None:
    path = folder.parent / "people.csv"
    path.write_text(
        f"email,ai_score,favorite\n{EMAIL},canary-score,{FIELD}\n{OTHER},kept-score,kept-field\n",
        encoding="utf-8",
    )
    import_contacts(traces.database, path, now=LATER)
    path.unlink()


def _rows_of_all_kinds(traces: Traces) -> None:
    database, workspace = traces.database, traces.test.workspace_id
    operator_consents.suppress(
        database, EMAIL, reason=f"{NAME} called", now=LATER, channel="sms", actor=JANE
    )
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO workspace_topics (workspace_id, name, title, created_at, updated_at)"
            " VALUES (%s, 'tips', 'Tips', %s, %s)",
            [workspace, NOW, NOW],
        )
    operator_consents.suppress(database, EMAIL, reason="by letter", now=LATER, topic="tips")
    both = [
        {"email": EMAIL, "ip": IP, "useragent": AGENT, "event": "open", "note": PROPERTY},
        {"email": OTHER, "ip": "203.0.113.99", "event": "open", "note": "kept-payload"},
    ]
    form = f"From=%2B14155550123&Body={PROPERTY}&FromCity={NAME.replace(' ', '+')}".encode()
    alone = orjson.dumps({"RecordType": "Open", "Recipient": EMAIL, "Geo": {"IP": IP}})
    with database.transaction() as connection:
        for provider, payload, status in (
            ("sendgrid", orjson.dumps(both), "done"),
            ("sendgrid", orjson.dumps(both), "pending"),
            ("twilio", form, "done"),
            ("postmark", alone, "rejected"),
        ):
            connection.execute(
                "INSERT INTO event_inbox (provider, payload, context, received_at, status, due_at,"
                " settled_at, reason) VALUES (%s, %s, %s, %s, %s, %s, %s, 'x')",
                [
                    provider, payload, {"from": EMAIL}, NOW, status,
                    AT_LAST + timedelta(days=900) if status == "pending" else None,
                    None if status == "pending" else NOW,
                ],
            )  # fmt: skip
        connection.execute(
            "INSERT INTO trigger_calls (campaign_id, call_key, workspace_id, body_hash, answer,"
            " called_at) VALUES (%s, %s, %s, 'x', %s, %s)",
            [traces.test.campaign_id, f"call of {EMAIL}", workspace, {"for": [EMAIL, OTHER]}, NOW],
        )
        connection.execute(
            "INSERT INTO campaign_batches (id, kind, outcome, engine_now, duration_ms, size, error)"
            " VALUES (gen_random_uuid(), 'deliver', 'failed', %s, 1, 1, %s)",
            [NOW, f"refused {EMAIL} and {OTHER}"],
        )
        connection.execute(
            "INSERT INTO campaign_data_faults (workspace_id, contact_id, reason, found_at)"
            " VALUES (%s, %s, %s, %s)",
            [workspace, traces.contact_id, f"cannot read {FIELD}", NOW],
        )
        connection.execute(
            "UPDATE campaign_deliveries SET provider_message_id = 'canary-id-' || contact_id,"
            " last_error = %s WHERE contact_id = %s",
            [f"550 {NAME} unknown", traces.contact_id],
        )


def _archives(traces: Traces) -> None:
    events, of_contacts = [], []
    for contact_id, note in ((traces.contact_id, PROPERTY), (traces.other_id, "kept-archive")):
        events.append(
            dict.fromkeys(CAMPAIGN_EVENTS)
            | {
                "id": uuid4(), "contact_id": contact_id, "event_type": "email_opened",
                "event_source": "webhook", "user_agent": AGENT if note == PROPERTY else "Other/1",
                "event_data": {"machine": False, "note": note}, "created_at": NOW,
                "ip_address": IP if note == PROPERTY else "203.0.113.99",
            }
        )  # fmt: skip
        of_contacts.append(
            dict.fromkeys(CONTACT_EVENTS)
            | {
                "id": uuid4(), "contact_id": contact_id, "event_type": "purchase", "value": "9.50",
                "event_data": {"item": note}, "occurred_at": NOW, "recorded_at": NOW,
            }
        )  # fmt: skip
    folder = traces.settings.archive_folder()
    with traces.database.transaction() as connection:
        for kind, columns, rows in (
            ("campaign_events", CAMPAIGN_EVENTS, events),
            ("contact_events", CONTACT_EVENTS, of_contacts),
        ):
            write_archive(folder / f"{kind}-1.parquet", columns, [rows])
            connection.execute(
                "INSERT INTO campaign_archives (kind, month, file, rows_archived, begun_at,"
                " archived_at) VALUES (%s, '2024-01-01', %s, 2, %s, %s)",
                [kind, f"{kind}-1.parquet", NOW, NOW],
            )


def _files_and_dagster(traces: Traces) -> None:
    home, landing = traces.settings.home, traces.settings.landing_folder()
    landing.mkdir()
    lines = lines_of(traces, 200)
    text = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    (landing / "events.ndjson").write_bytes(text)
    (landing / "packed.ndjson.gz").write_bytes(gzip.compress(text))
    columns = {
        name: [str(line.get(name) or "") for line in lines]
        for name in ("event_id", "event_type", "occurred_at", "email", "message_id")
    }
    pq.write_table(pa.table(columns), landing / "table.parquet")
    files = {file.path: file.identity for file in look(landing)}
    assert len(list(load_files(traces.database, landing, files, now=LATER))) == 3
    (home / "logs").mkdir()
    (home / "logs" / "engine.log").write_text(
        f"sent to {EMAIL}\nsent to {OTHER}\ncall from (415) 555-0123\n", encoding="utf-8"
    )
    with traces.dagster.transaction() as connection:
        for statement in _DAGSTER.strip().splitlines():
            connection.execute(statement.encode())
        for name in (EMAIL, OTHER):
            connection.execute(
                "INSERT INTO event_logs (event) VALUES (%s)", [f'{{"who": "{name}"}}']
            )
            connection.execute("INSERT INTO run_tags VALUES ('r', 'who', %s)", [name])


def _tables(database: Database) -> dict[str, str]:
    with psycopg.connect(database.url) as connection:
        names = connection.execute(
            "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind = 'r'"
            " AND c.relnamespace = 'public'::regnamespace"
        ).fetchall()
        tables = {}
        for (name,) in names:
            with connection.cursor().copy(f"COPY {name} TO STDOUT".encode()) as copy:
                tables[name] = b"".join(copy).decode()
        if "event_inbox" in tables:
            payloads = connection.execute(
                "SELECT convert_from(payload, 'UTF8') FROM event_inbox"
            ).fetchall()
            tables["event_inbox"] += "".join(text.replace("%2B", "+") for (text,) in payloads)
    return tables


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        if data[:4] == b"PAR1":
            text = orjson.dumps(pq.read_table(path).to_pylist(), default=str).decode()
        elif data[:2] == b"\x1f\x8b":
            text = gzip.decompress(data).decode()
        else:
            text = data.decode()
        yield str(path.relative_to(folder)), text
