"""The engine beside its peers on the same PostgreSQL, each measured in turn in one run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Final

from benchmarks.five_nodes import CHECKOUT, engine_rate, people_at_the_start
from benchmarks.report import Figure, figure, in_turn
from benchmarks.sections import Options
from benchmarks.server import fresh_database

HERE: Final = Path(__file__).resolve().parent
DBOS_BEST: Final = ("threads", "16")
"""Of threads 1, 4, 16, async 4, 32 and a queue of 8: 11, 59, 81, 49, 70, 45 people/s."""
PROCRASTINATE_BEST: Final = ("2", "10")
"""Workers and concurrency; of (1, 1), (1, 10), (2, 10), (2, 30): 49, 53, 61, 42 people/s."""
PGBOSS_BATCH: Final = 2_000
PGBOSS_WORKERS: Final = 2


@dataclass
class _Peer:
    """A program that prints people per second; the most memory that one of its processes took."""

    command: Callable[[str, int], list[str]]
    people: int
    peak_mb: list[float] = field(default_factory=list)

    def rate(self, server_url: str) -> float:
        with fresh_database(server_url, migrated=False) as database:
            command = self.command(database.url, self.people)
            with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=CHECKOUT, text=True) as run:
                assert run.stdout is not None
                told = run.stdout.read()
                _, status, usage = os.wait4(run.pid, 0)
                run.returncode = os.waitstatus_to_exitcode(status)
        assert run.returncode == 0, f"{command[:4]} ended with {run.returncode}"
        self.peak_mb.append(usage.ru_maxrss / 1024)
        return float(told.split()[-1])


def section(options: Options) -> list[Figure]:
    """drip_vs_dbos, drip_vs_procrastinate and, where Node is, drip_vs_pgboss."""
    few = 400 if options.is_quick else 1_500
    dbos = _Peer(lambda url, n: _python("dbos_drip", url, n, *DBOS_BEST), few)
    jobs = _Peer(lambda url, n: _python("procrastinate_drip", url, n, *PROCRASTINATE_BEST), few)

    def ours(processes: int) -> Callable[[], float]:
        def once() -> float:
            with fresh_database(options.server_url) as database:
                return engine_rate(people_at_the_start(database, options.people), processes)

        return once

    with tempfile.TemporaryDirectory(prefix="drip-bench-node-") as folder:
        measured: list[Callable[[], float]] = [
            ours(1),
            lambda: dbos.rate(options.server_url),
            lambda: jobs.rate(options.server_url),
        ]
        has_boss = _install_pgboss(Path(folder), options)
        if has_boss:
            measured += [ours(2), lambda: _pgboss_rate(options, Path(folder))]
        rates = in_turn(options.repeats, *measured)
    engine, dbos_rates, job_rates = rates[:3]
    figures = [
        figure("drip_vs_dbos", engine, dbos_rates, _told(dbos_rates, DBOS_BEST, dbos)),
        figure(
            "drip_vs_procrastinate", engine, job_rates, _told(job_rates, PROCRASTINATE_BEST, jobs)
        ),
    ]
    if has_boss:
        told = f"batches of {PGBOSS_BATCH:,}, two workers, {max(rates[4]):,.0f} people/s at best"
        figures.append(figure("drip_vs_pgboss", rates[3], rates[4], f"two processes; {told}"))
    return figures


def _python(module: str, url: str, people: int, *best: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.peers.{module}", url, str(people), *best]


def _told(rates: Sequence[float], best: Sequence[str], peer: _Peer) -> str:
    return (
        f"{' '.join(best)} (the best found), {max(rates):,.0f} people/s at best,"
        f" {max(peer.peak_mb):,.0f} MB"
    )


def _install_pgboss(folder: Path, options: Options) -> bool:
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


def _pgboss_rate(options: Options, folder: Path) -> float:
    people = options.people
    with fresh_database(options.server_url, migrated=False) as database:
        script = ["node", str(folder / "pgboss_drip.mjs"), database.url]
        subprocess.run([*script, "fill", str(people)], check=True)
        with database.autocommit() as connection:
            connection.execute("VACUUM ANALYZE")
        workers = [
            subprocess.Popen(
                [*script, "work", str(PGBOSS_BATCH)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(PGBOSS_WORKERS)
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
    return people / (max(int(latest) for _, latest in told) / 1_000 - began)
