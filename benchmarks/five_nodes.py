"""The campaign of all measurements: trigger → email to the recorder → wait of zero length →
condition → exit. Prepare it, and run the engine on it in one or more processes.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.compiler.api import load_definition
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.settings import Settings

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
CHECKOUT = Path(__file__).resolve().parents[1]
SUBJECT = "Hello {{ first_name }}"
BODY = "Dear {{ name }}, how is {{ company }}? {{ unsubscribe_url }}"
DEFINITION: dict[str, Any] = {
    "name": "Five nodes",
    "campaign_type": "branching",
    "canvas_data": {
        "nodes": [
            {"id": node, "type": kind, "position": {"x": n * 200, "y": 0}, "data": {"label": node}}
            for n, (node, kind) in enumerate(
                (
                    ("start", "trigger"),
                    ("mail", "email"),
                    ("pause", "wait"),
                    ("score", "condition"),
                    ("end", "exit"),
                )
            )
        ],
        "edges": [
            {"id": "1", "source": "start", "target": "mail"},
            {"id": "2", "source": "mail", "target": "pause"},
            {"id": "3", "source": "pause", "target": "score"},
            {"id": "4", "source": "score", "target": "end", "sourceHandle": "high"},
            {"id": "5", "source": "score", "target": "end", "sourceHandle": "else"},
        ],
    },
    "steps": [
        {"node_id": "start", "node_type": "trigger"},
        {
            "node_id": "mail",
            "node_type": "email",
            "channel_config": {"email": {"subject": SUBJECT, "body": BODY}},
        },
        {
            "node_id": "pause",
            "node_type": "wait",
            "wait_config": {"type": "duration", "value": 0, "unit": "hours"},
        },
        {
            "node_id": "score",
            "node_type": "condition",
            "conditional_branches": [
                {
                    "id": "high",
                    "condition": {"type": "score", "operator": ">=", "value": 50},
                    "target_node_id": "end",
                },
                {"id": "else", "target_node_id": "end"},
            ],
        },
        {"node_id": "end", "node_type": "exit"},
    ],
}


@dataclass(frozen=True, slots=True)
class Ready:
    """A database in which that many people are due at the start of the drip."""

    database: Database
    campaign_id: UUID
    people: int


def people_at_the_start(database: Database, people: int) -> Ready:
    """Publish the drip and put people at its trigger."""
    load_definition(DEFINITION)
    report = publish(
        database,
        DEFINITION,
        PublishOptions(now=NOW, settings=Settings(), channels=frozenset({"email"})),
    )
    assert report.campaign_id is not None
    with database.transaction() as connection:
        connection.execute("SELECT ensure_event_partitions(%s)", [NOW])
        connection.execute(
            "INSERT INTO contacts (workspace_id, name, email, company, ai_score) SELECT"
            " (SELECT id FROM workspaces LIMIT 1), 'Person ' || i, 'p' || i || '@example.com',"
            " 'Company ' || i %% 100, i %% 100 FROM generate_series(1, %s) i",
            [people],
        )
        connection.execute(
            "INSERT INTO campaign_enrollments (campaign_id, contact_id, contact_email, started_at)"
            " SELECT %s, id, email, %s FROM contacts",
            [report.campaign_id, NOW],
        )
    with database.autocommit() as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    return Ready(database, report.campaign_id, people)


_WORKER = """
import sys
from datetime import datetime
from drip_pipeline.channels.recorder import RecorderChannel
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.delivery.render import MessageSettings
from drip_pipeline.engine.runner.tick import Engine, tick
from drip_pipeline.settings import Secret
database = Database(sys.argv[1])
with database.transaction() as connection:
    connection.execute("SELECT 1")
settings = MessageSettings("Bench <bench@example.com>", "https://mail.example.com", Secret("key"))
engine = Engine(
    database, {"email": RecorderChannel("email", lambda messages: None)}, settings,
    shard=int(sys.argv[3]), shards=int(sys.argv[4]),
)
print("ready", flush=True)
sys.stdin.readline()
tick(engine, now=datetime.fromisoformat(sys.argv[2]), until_idle=True)
print("done", flush=True)
"""


def engine_rate(ready: Ready, processes: int, *, has_shards: bool = False) -> float:
    """People per second through the whole drip, by that many engine processes that begin
    together; with `has_shards`, each advances people of a shard of its own."""
    command = [sys.executable, "-c", _WORKER, ready.database.url, NOW.isoformat()]
    workers = [
        subprocess.Popen(
            [*command, *((str(n), str(processes)) if has_shards else ("0", "1"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=CHECKOUT,
            text=True,
        )
        for n in range(processes)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    began = perf_counter()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "done\n"
    seconds = perf_counter() - began
    for worker in workers:
        worker.communicate()
    everybody_is_through(ready)
    return ready.people / seconds


def everybody_is_through(ready: Ready) -> None:
    """A rate counts only if the work was done."""
    with ready.database.transaction() as connection:
        row = connection.execute(
            "SELECT count(*) FILTER (WHERE s.workflow_status = 'completed'),"
            " (SELECT count(*) FROM recorded_messages), (SELECT count(*) FROM campaign_events),"
            " (SELECT count(*) FROM campaign_enrollments WHERE status = 'completed')"
            " FROM campaign_workflow_states s"
        ).fetchone()
    expected = (ready.people, ready.people, 5 * ready.people, ready.people)
    assert row == expected, f"{row} is not {expected}"
