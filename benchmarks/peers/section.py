"""Compare the engine with its peers on the same PostgreSQL, alternating in one run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
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


@dataclass
class _Peer:
    """A program that prints contacts per second, and the peak memory of its processes in MB."""

    command: Callable[[str, int], list[str]]
    people: int
    peak_mb: list[float] = field(default_factory=list)

    def rate(self, server_url: str) -> float:
        with fresh_database(server_url, migrated=False) as database:
            command = self.command(database.url, self.people)
            with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=CHECKOUT, text=True) as run:
                assert run.stdout is not None
                output = run.stdout.read()
                _, status, usage = os.wait4(run.pid, 0)
                run.returncode = os.waitstatus_to_exitcode(status)
        assert run.returncode == 0, f"{command[:4]} ended with {run.returncode}"
        self.peak_mb.append(usage.ru_maxrss / 1024)
        return float(output.split()[-1])


def section(options: Options) -> list[Figure]:
    """drip_vs_dbos, drip_vs_procrastinate."""
    few = 400 if options.is_quick else 1_500
    dbos = _Peer(lambda url, n: _python("dbos_drip", url, n, *DBOS_BEST), few)
    jobs = _Peer(lambda url, n: _python("procrastinate_drip", url, n, *PROCRASTINATE_BEST), few)

    rates = in_turn(
        options.repeats,
        lambda: our_rate(options, 1),
        lambda: dbos.rate(options.server_url),
        lambda: jobs.rate(options.server_url),
    )
    engine, dbos_rates, job_rates = rates
    return [
        figure("drip_vs_dbos", engine, dbos_rates, _told(dbos_rates, DBOS_BEST, dbos)),
        figure(
            "drip_vs_procrastinate", engine, job_rates, _told(job_rates, PROCRASTINATE_BEST, jobs)
        ),
    ]


def our_rate(options: Options, processes: int) -> float:
    """Return contacts per second of this number of engine processes."""
    with fresh_database(options.server_url) as database:
        return engine_rate(people_at_the_start(database, options.people), processes)


def _python(module: str, url: str, people: int, *best: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.peers.{module}", url, str(people), *best]


def _told(rates: Sequence[float], best: Sequence[str], peer: _Peer) -> str:
    return (
        f"{' '.join(best)} (the best found), {max(rates):,.0f} people/s at best,"
        f" {max(peer.peak_mb):,.0f} MB"
    )
