"""Compare the engine with pg-boss, the fastest peer: Node jobs in batches, two workers.

pg-boss alone stores only its jobs. It is also measured as an application would use it: with an
event per step and the message, written in the transaction that inserts the next jobs. The engine
always writes both.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from time import time
from typing import Final

from benchmarks.peers.section import HERE, our_rate
from benchmarks.report import Figure, figure, in_turn
from benchmarks.sections import Options
from benchmarks.server import fresh_database
from drip_pipeline.db.connection import Database

BATCH: Final = 2_000
WORKERS: Final = 2


def section(options: Options) -> list[Figure]:
    """Return drip_vs_pgboss and drip_vs_pgboss_with_log, if Node is installed."""
    with tempfile.TemporaryDirectory(prefix="drip-bench-node-") as name:
        folder = Path(name)
        if not _is_installed(folder, options):
            return []
        ours, bare, with_log = in_turn(
            options.repeats,
            lambda: our_rate(options, 2),
            lambda: _rate(options, folder),
            lambda: _rate(options, folder, "log"),
        )
    told = f"two processes, {max(ours):,.0f} people/s at best; batches of {BATCH:,}, two workers"
    return [
        figure(name, ours, theirs, f"{told}: {kept}, {max(theirs):,.0f} people/s at best")
        for name, theirs, kept in (
            ("drip_vs_pgboss", bare, "jobs only"),
            ("drip_vs_pgboss_with_log", with_log, "jobs, five events and a message a person"),
        )
    ]


def _everybody_is_through(database: Database, people: int, *, has_log: bool) -> None:
    """Check that the work was done: one completed job per contact and step."""
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM pgboss.job WHERE state = 'completed'),"
            " (SELECT count(*) FROM drip_events), (SELECT count(*) FROM drip_messages)"
        ).fetchone()
    expected = (5 * people, 5 * people if has_log else 0, people if has_log else 0)
    assert row == expected, f"{row} is not {expected}"


def _is_installed(folder: Path, options: Options) -> bool:
    if shutil.which("node") is None or shutil.which("npm") is None:
        options.say("drip_vs_pgboss is left out: Node is not here")
        return False
    for name in ("package.json", "pgboss_drip.mjs"):
        shutil.copy(HERE / name, folder / name)
    command = ["npm", "install", "--silent", "--no-package-lock", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    if done.returncode:
        options.say("drip_vs_pgboss is left out: npm could not install it")
    return done.returncode == 0


def _rate(options: Options, folder: Path, *extra: str) -> float:
    people = options.people
    with fresh_database(options.server_url, migrated=False) as database:
        script = ["node", str(folder / "pgboss_drip.mjs"), database.url]
        subprocess.run([*script, "fill", str(people)], check=True)
        with database.autocommit() as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
        workers = [
            subprocess.Popen(
                [*script, "work", str(BATCH), *extra],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(WORKERS)
        ]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        began = time()
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        told = [worker.communicate()[0].split() for worker in workers]
        assert sum(int(done) for done, _ in told) == people
        _everybody_is_through(database, people, has_log=bool(extra))
    return people / (max(int(latest) for _, latest in told) / 1_000 - began)
