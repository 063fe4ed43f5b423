"""Measure the overhead of a tick: the sensor when nothing is due, and a run of the minute job over
10,000 contacts; and the engine under load: fairness between campaigns, memory.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Final

from benchmarks.five_nodes import CHECKOUT, DEFINITION, NOW, people_at_the_start
from benchmarks.report import Figure
from benchmarks.sections import Options
from benchmarks.server import fresh_database
from drip_pipeline.db.connection import Database
from drip_pipeline.db.execution.workflow_states import due_overview
from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.settings import Settings

BUSY_PEOPLE: Final = 10_000
IDLE_GOAL_MS: Final = 50.0
MEMORY_GOAL_MB: Final = 1_024.0
SMALL_CAMPAIGN: Final = 1_000

_RUN = """
import json, resource, sys
import dagster as dg
from drip_pipeline.definitions import defs
with dg.DagsterInstance.get() as instance:
    job = defs.resolve_job_def("run_due_workflows")
    result = job.execute_in_process(instance=instance)
    stats = instance.get_run_stats(result.run_id)
    print(json.dumps({"seconds": stats.end_time - stats.start_time, "success": result.success}))
"""

_TICK = """
import sys
from datetime import datetime
from pathlib import Path
from drip_pipeline.channels.recorder import RecorderChannel
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.delivery.render import MessageSettings
from drip_pipeline.engine.runner.tick import Engine, tick
from drip_pipeline.settings import Secret
settings = MessageSettings("Bench <bench@example.com>", "https://mail.example.com", Secret("key"))
recorder = RecorderChannel("email", lambda messages: None)
engine = Engine(Database(sys.argv[1]), {"email": recorder}, settings)
report = tick(engine, now=datetime.fromisoformat(sys.argv[2]), until_idle=True)
# Not what `getrusage` says: that begins with what the parent process took.
(peak,) = (
    line.split()[1]
    for line in Path("/proc/self/status").read_text().splitlines()
    if line.startswith("VmHWM:")
)
print(report.advanced, report.delivered["email"].sent, int(peak) / 1024)
"""


def section(options: Options) -> list[Figure]:
    """tick_idle, tick_busy, tick_fairness, tick_memory."""
    many = 100_000 if options.is_quick else 1_000_000
    with (
        fresh_database(options.server_url) as database,
        fresh_database(options.server_url, migrated=False) as storage,
        TemporaryDirectory(prefix="drip-bench-dagster-") as home,
    ):
        ready = people_at_the_start(database, BUSY_PEOPLE)
        busy = _busy(database, ready.people, _dagster(Path(home), storage))
        idle = _idle(database)
    with fresh_database(options.server_url) as database:
        people_at_the_start(database, many)
        fairness = _fairness(database, many)
        memory = _memory(database)
    return [idle, busy, fairness, memory]


def _dagster(home: Path, storage: Database) -> dict[str, str]:
    """The environment of an instance as deployments have it: its configuration, with runs and
    events kept in PostgreSQL."""
    shutil.copy(CHECKOUT / "deploy" / "dagster" / "dagster.yaml", home / "dagster.yaml")
    url = storage.url.replace("postgresql://", "postgresql+psycopg2://", 1)
    return {"DAGSTER_HOME": str(home), "DAGSTER_PG_URL": url}


def _busy(database: Database, people: int, dagster: Mapping[str, str]) -> Figure:
    """Engine time of a run, by the batch log, against the run's own time and the whole process."""
    environment = {
        **os.environ,
        **dagster,
        "DRIP_DATABASE_URL": database.url,
        "DRIP_SECRET_KEY": "bench",
    }
    began = perf_counter()
    told = subprocess.run(
        [sys.executable, "-c", _RUN],
        cwd=CHECKOUT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        text=True,
    ).stdout
    whole = perf_counter() - began
    run: dict[str, Any] = json.loads(told.splitlines()[-1])
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT coalesce(sum(duration_ms), 0) / 1000.0,"
            " (SELECT count(*) FROM campaign_workflow_states WHERE workflow_status = 'completed')"
            " FROM campaign_batches"
        ).fetchone()
    assert row is not None
    assert row[1] == people, f"{row[1]} of {people} came through"
    share = float(row[0]) / run["seconds"]
    return Figure(
        "tick_busy",
        share,
        share,
        share,
        f"engine time in a run's time, {people:,} people through five nodes: {float(row[0]):.1f} of"
        f" {run['seconds']:.1f} s; {whole:.1f} s with start and imports of a process",
    )


def _idle(database: Database) -> Figure:
    """Measure the sensor on a database in which nothing is due."""
    times = []
    for _ in range(20):
        began = perf_counter()
        with database.transaction() as connection:
            due_overview(connection, now=NOW, count_limit=10_000)
        times.append(1_000 * (perf_counter() - began))
    return Figure(
        "tick_idle",
        IDLE_GOAL_MS / median(times),
        IDLE_GOAL_MS / max(times),
        IDLE_GOAL_MS / min(times),
        f"{median(times):.1f} ms of {IDLE_GOAL_MS:g} ms that a look may take",
    )


def _fairness(database: Database, many: int) -> Figure:
    """Count the batches until a small campaign is advanced beside a huge one."""
    small = publish(
        database,
        {**DEFINITION, "name": "Small"},
        PublishOptions(now=NOW, settings=Settings(), channels=frozenset({"email"})),
    )
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_enrollments (campaign_id, contact_id, contact_email, started_at)"
            " SELECT %s, id, email, %s FROM contacts LIMIT %s",
            [small.campaign_id, NOW, SMALL_CAMPAIGN],
        )
    batches = 0
    while True:
        assert advance_batch(database, now=NOW, batch_size=10_000).claimed
        batches += 1
        with database.transaction() as connection:
            row = connection.execute(
                "SELECT count(*) FROM campaign_workflow_states WHERE campaign_id = %s"
                " AND workflow_status = 'running'",
                [small.campaign_id],
            ).fetchone()
        if row == (0,):
            break
    told = f"{SMALL_CAMPAIGN:,} people behind {many:,} of another campaign: batch {batches}"
    return Figure("tick_fairness", 2 / batches, 2 / batches, 2 / batches, told)


def _memory(database: Database) -> Figure:
    """Measure the peak memory of a process that advances and delivers all due enrollments."""
    told = subprocess.run(
        [sys.executable, "-c", _TICK, database.url, NOW.isoformat()],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout.split()
    advanced, sent, peak = int(told[0]), int(told[1]), float(told[2])
    goal = MEMORY_GOAL_MB / peak
    return Figure(
        "tick_memory",
        goal,
        goal,
        goal,
        f"{advanced:,} due people advanced, {sent:,} messages, {peak:,.0f} MB at most",
    )
