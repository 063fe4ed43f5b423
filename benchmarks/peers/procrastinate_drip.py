"""Procrastinate: one job per step, each defers the next. Run as `procrastinate_drip URL CONTACTS
WORKERS CONCURRENCY`; prints contacts per second. The queue is filled before the clock starts.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from time import perf_counter

from procrastinate import App, PsycopgConnector
from procrastinate.types import JSONValue

from benchmarks.five_nodes import CHECKOUT

NODES = ("start", "mail", "pause", "score", "end")
logging.disable(logging.WARNING)


def an_app(url: str, concurrency: int) -> App:
    """Create the tasks on a database."""
    app = App(connector=PsycopgConnector(conninfo=url, min_size=1, max_size=concurrency + 2))

    @app.task(name="step", pass_context=False)
    async def step(node: int, person: int) -> None:
        if NODES[node] != "end":
            await app.configure_task("step").defer_async(node=node + 1, person=person)

    return app


async def _fill(url: str, people: int) -> None:
    async with an_app(url, 2).open_async() as app:
        await app.schema_manager.apply_schema_async()
        jobs: list[dict[str, JSONValue]] = [{"node": 0, "person": n} for n in range(people)]
        await app.configure_task("step").batch_defer_async(*jobs)


async def _work(url: str, concurrency: int) -> None:
    async with an_app(url, concurrency).open_async() as app:
        print("ready", flush=True)
        sys.stdin.readline()
        await app.run_worker_async(
            concurrency=concurrency, wait=False, install_signal_handlers=False, listen_notify=False
        )


def main(url: str, people: int, workers: int, concurrency: int) -> float:
    """Return contacts per second."""
    asyncio.run(_fill(url, people))
    command = [sys.executable, "-m", __spec__.name, url, "work", str(concurrency)]
    processes = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=CHECKOUT, text=True
        )
        for _ in range(workers)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    began = perf_counter()
    for process in processes:
        process.communicate("go\n")
    seconds = perf_counter() - began
    asyncio.run(_check(url, people))
    return people / seconds


async def _check(url: str, people: int) -> None:
    async with an_app(url, 2).open_async() as app:
        jobs = await app.connector.execute_query_one_async(
            "SELECT count(*) AS done FROM procrastinate_jobs WHERE status = 'succeeded'"
        )
    assert jobs["done"] == people * len(NODES), jobs


if __name__ == "__main__":
    if sys.argv[2] == "work":
        asyncio.run(_work(sys.argv[1], int(sys.argv[3])))
    else:
        print(main(sys.argv[1], *map(int, sys.argv[2:])), flush=True)
