"""Event ingestion is killed while it ends runs by a goal and by an exit rule: each run ends once,
and its message is withdrawn once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import orjson

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.exits import ExitRule
from drip_pipeline.engine.events.ingest import ingest_file
from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.engine.operations.invariants import check_invariants
from tests.chaos.killed_process import kill_repeatedly
from tests.engine.events.incoming import minutes, rows
from tests.engine.factories import NOW, an_event, people_inside, run_until_idle
from tests.engine.graphs import email, end, goal, graph, trigger, wait_hours

CONTACTS = 300
KILLS = 4
LATER = NOW + timedelta(days=1)

_INGEST = """
import sys
from datetime import datetime
from pathlib import Path
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.events.file_reader import read_lines
from drip_pipeline.engine.events.ingest import IngestOptions, ingest_lines

database = Database(sys.argv[1])
options = IngestOptions(
    source="purchases",
    now=datetime.fromisoformat(sys.argv[2]),
    chunk_size=40,
    progress=lambda message: print("ready", flush=True),
)
ingest_lines(database, read_lines(Path(sys.argv[3])), options)
print("done", flush=True)
"""


def test_an_ingestion_killed_four_times_ends_each_run_once(database: Database, tmp_path: Path):
    flow = graph(
        trigger("first"),
        email("first", default="pause"),
        wait_hours("pause", 24, default="second"),
        email("second", default="end"),
        end(),
    )
    rule = ExitRule.model_validate({"id": "bought", "when": {"event_type": "purchase"}})
    campaigns = {
        "goal": replace(flow, goal_event=goal("purchase", 48), exits_at_goal=True),
        "bought": replace(flow, exits=(rule,)),
    }
    for name, each in campaigns.items():
        people_inside(database, each, CONTACTS, name=name, prefix=name)
    run_until_idle(database)
    while advance_batch(database, now=LATER, batch_size=5_000).claimed:
        pass
    source = tmp_path / "purchases.ndjson"
    source.write_bytes(
        b"\n".join(
            orjson.dumps(
                an_event(
                    f"{name}{n}",
                    "purchase",
                    email=f"{name}{n}@example.com",
                    occurred_at=minutes(60),
                )
            )
            for n in range(1, CONTACTS + 1)
            for name in campaigns
        )
    )
    interrupted = kill_repeatedly(
        _INGEST, [database.url, LATER.isoformat(), str(source)],
        kills=KILLS, within=(0.0, 0.1), seed=3,
    )  # fmt: skip
    assert interrupted >= 1, "the ingestion must be killed while it works"
    ingest_file(database, source, now=LATER)
    run_until_idle(database, LATER + timedelta(days=2))
    logged = rows(
        database,
        "SELECT c.name, v.event_type, v.event_data ->> 'reason', count(*),"
        " count(DISTINCT v.enrollment_id) FROM campaign_events v"
        " JOIN drip_campaigns c ON c.id = v.campaign_id WHERE v.event_type IN"
        " ('goal_reached', 'enrollment_exited', 'message_skipped', 'email_sent') GROUP BY 1, 2, 3"
        " ORDER BY 1, 2",
    )
    expected = [
        (name, event_type, reason, CONTACTS, CONTACTS)
        for name, events in (
            ("bought", ("email_sent", "enrollment_exited", "message_skipped")),
            ("goal", ("email_sent", "enrollment_exited", "goal_reached", "message_skipped")),
        )
        for event_type in events
        for reason in [None if event_type in ("email_sent", "goal_reached") else name]
    ]
    assert logged == expected
    violated = [result.name for result in check_invariants(database, now=LATER) if not result.holds]
    assert violated == []
