"""The inbox drain, entry triggers, waits that follow contacts, and retention are killed while
they work: nothing is lost, and nothing happens twice.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq

from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import inbox as inbox_db
from drip_pipeline.db.events.inbox import Arrival
from drip_pipeline.domain.graph.contact_waits import DateWait
from drip_pipeline.engine.enrollment.entry_triggers import run_entry_triggers
from drip_pipeline.engine.events.drain_inbox import drain_inbox
from drip_pipeline.engine.execution.followed_waits import follow_contacts
from drip_pipeline.engine.metrics.daily_metrics import (
    aggregate_days,
    days_between,
    refresh_stale_days,
)
from drip_pipeline.engine.operations.invariants import check_invariants
from drip_pipeline.engine.operations.retention import apply_retention
from drip_pipeline.settings.kinds import Retention
from tests.chaos.killed_process import kill_repeatedly
from tests.engine.enrollment.arrivals import BY_TAG, inside, set_up, tag
from tests.engine.events.incoming import LATER, mailed, rows, value
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    an_event,
    contacts,
    enrolled,
    people_inside,
    run_until_idle,
)
from tests.engine.graphs import email, end, graph, node, trigger
from tests.engine.operations.test_retention import counting_goes_on

CONTACTS = 2_000
KILLS = 5
OLD = NOW - timedelta(days=500)

_DRAIN = """
import sys
from datetime import datetime
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.events.drain_inbox import drain_inbox

database = Database(sys.argv[1])
drain_inbox(
    database,
    now=datetime.fromisoformat(sys.argv[2]),
    batch_rows=50,
    progress=lambda message: print("ready", flush=True),
)
print("done", flush=True)
"""

_ENTRY_TRIGGERS = """
import sys
from datetime import datetime
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.enrollment.entry_triggers import run_entry_triggers

database = Database(sys.argv[1])
run_entry_triggers(
    database,
    now=datetime.fromisoformat(sys.argv[2]),
    chunk_size=50,
    progress=lambda message: print("ready", flush=True),
)
print("done", flush=True)
"""

_FOLLOW = """
import sys
from datetime import datetime
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.execution.followed_waits import follow_contacts

database = Database(sys.argv[1])
follow_contacts(
    database,
    now=datetime.fromisoformat(sys.argv[2]),
    chunk_size=50,
    progress=lambda message: print("ready", flush=True),
)
print("done", flush=True)
"""

_RETENTION = """
import sys
from datetime import datetime
from pathlib import Path
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.operations.retention import apply_retention
from drip_pipeline.settings.kinds import Retention

database = Database(sys.argv[1])
with database.transaction() as connection:
    connection.execute("SELECT 1")
print("ready", flush=True)
apply_retention(
    database,
    Retention(log=365, deliveries=365, traces=90),
    Path(sys.argv[3]),
    now=datetime.fromisoformat(sys.argv[2]),
    chunk_size=50,
)
print("done", flush=True)
"""


def no_invariant_is_violated(database: Database) -> None:
    violated = [result.name for result in check_invariants(database, now=NOW) if not result.holds]
    assert violated == []


def test_an_inbox_drain_killed_five_times_ingests_each_event_once(database: Database):
    _, sent = mailed(database, CONTACTS)
    payloads = [
        orjson.dumps(an_event(n, "email_opened", message_id=str(one.message_id)))
        for n, one in enumerate(sent)
    ]
    with database.transaction() as connection:
        inbox_db.append(connection, [Arrival("generic", payload, LATER) for payload in payloads])
    interrupted = kill_repeatedly(
        _DRAIN, [database.url, LATER.isoformat()], kills=KILLS, within=(0.0, 0.1), seed=1
    )
    assert interrupted >= 2, "the drain must be killed while it works for this to show anything"
    drain_inbox(database, now=LATER)
    assert rows(database, "SELECT status, count(*) FROM event_inbox GROUP BY 1") == [
        ("done", CONTACTS)
    ]
    assert value(
        database, "SELECT count(*) FROM campaign_events WHERE event_type = 'email_opened'"
    ) == len(sent)
    assert value(database, "SELECT max(open_count) FROM campaign_message_outcomes") == 1
    assert value(database, "SELECT sum(open_count) FROM campaign_message_outcomes") == len(sent)
    no_invariant_is_violated(database)


def test_entry_triggers_killed_five_times_enroll_each_contact_once(database: Database):
    campaign, contact_ids = set_up(database, BY_TAG, CONTACTS)
    tag(database, contact_ids)
    interrupted = kill_repeatedly(
        _ENTRY_TRIGGERS, [database.url, NOW.isoformat()], kills=KILLS, within=(0.0, 0.05), seed=2
    )
    assert interrupted >= 2, "the triggers must be killed while they work"
    run_entry_triggers(database, now=NOW)
    assert inside(database, campaign) == sorted(contact_ids)
    assert value(database, "SELECT count(*) FROM campaign_entry_queue") == 0
    assert (
        value(
            database,
            "SELECT count(*) FROM campaign_events WHERE event_type = 'enrollment_started'",
        )
        == CONTACTS
    )
    no_invariant_is_violated(database)


def test_waits_that_follow_contacts_killed_five_times_lose_no_change(database: Database):
    config = DateWait(field="trial_ends_at")
    ports = {"default": "on", "past": "on", "missing": "on"}
    flow = graph(trigger("w"), node("w", "wait", config, **ports), end("on"))
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, flow)
        ids = contacts(connection, campaign.workspace_id, CONTACTS)
        far = (NOW + timedelta(days=9)).isoformat()
        connection.execute(
            "UPDATE contacts SET custom_fields = jsonb_build_object('trial_ends_at', %s::text)",
            [far],
        )
        enrolled(connection, campaign, ids)
    run_until_idle(database, NOW)
    moved_to = NOW + timedelta(days=5)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE contacts SET custom_fields = jsonb_build_object('trial_ends_at', %s::text)",
            [moved_to.isoformat()],
        )
    assert value(database, "SELECT count(*) FROM campaign_wait_queue") == CONTACTS
    interrupted = kill_repeatedly(
        _FOLLOW, [database.url, NOW.isoformat()], kills=KILLS, within=(0.0, 0.05), seed=4
    )
    assert interrupted >= 2, "the process must be killed while it works"
    follow_contacts(database, now=NOW)
    assert value(database, "SELECT count(*) FROM campaign_wait_queue") == 0
    assert rows(
        database, "SELECT next_execution_at, count(*) FROM campaign_workflow_states GROUP BY 1"
    ) == [(moved_to, CONTACTS)]
    assert rows(
        database,
        "SELECT count(*), count(DISTINCT enrollment_id) FROM campaign_events"
        " WHERE event_type = 'wait_moved'",
    ) == [(CONTACTS, CONTACTS)]
    no_invariant_is_violated(database)


def archived(archive: Path) -> Counter[Any]:
    ids: Counter[Any] = Counter()
    for path in archive.glob("campaign_events-*.parquet"):
        ids.update(pq.read_table(path).column("id").to_pylist())
    return ids


def test_retention_killed_while_it_works_archives_each_event_once(
    database: Database, tmp_path: Path
):
    flow = graph(trigger("hello"), email("hello", default="end"), end())
    campaign, _ = people_inside(database, flow, CONTACTS, now=OLD)
    with database.transaction() as connection:  # two more months to archive
        for months in (1, 2):
            connection.execute(
                "SELECT ensure_event_partitions(%s)", [OLD - months * timedelta(days=31)]
            )
        connection.execute(
            "INSERT INTO campaign_events (campaign_id, workspace_id, event_type, created_at)"
            " SELECT %s, %s, 'condition_evaluated', %s - month * interval '31 days'"
            " FROM generate_series(1, 2) month, generate_series(1, 500)",
            [campaign.campaign_id, campaign.workspace_id, OLD],
        )
    refresh_stale_days(database, now=OLD)
    aggregate_days(database, days_between(OLD.date(), OLD.date() + timedelta(days=3)))
    counting_goes_on(database, campaign)
    before = Counter(str(id_) for (id_,) in rows(database, "SELECT id FROM campaign_events"))
    archive = tmp_path / "archive"
    interrupted = kill_repeatedly(
        _RETENTION,
        [database.url, NOW.isoformat(), str(archive)],
        kills=KILLS,
        within=(0.01, 0.12),
        seed=3,
    )
    assert interrupted >= 2, "retention must be killed while it works"
    apply_retention(database, Retention(log=365, deliveries=365, traces=90), archive, now=NOW)
    remaining = Counter(str(id_) for (id_,) in rows(database, "SELECT id FROM campaign_events"))
    assert archived(archive) + remaining == before
    assert remaining.total() == 0
    no_invariant_is_violated(database)
