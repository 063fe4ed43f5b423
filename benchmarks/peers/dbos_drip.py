"""DBOS: one workflow per contact, one step per node. Run as `dbos_drip URL CONTACTS MODE WORKERS`;
prints contacts per second."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

from dbos import DBOS, SetWorkflowID

NODES = ("start", "mail", "pause", "score", "end")


@DBOS.step()
def pass_node(node: str, person: int) -> str:
    """Send with a provider that accepts everything."""
    if node == "score":
        return "high" if person % 100 >= 50 else "else"
    return node


@DBOS.step()
async def pass_node_async(node: str, person: int) -> str:
    """The same, for an event loop."""
    return "high" if node == "score" and person % 100 >= 50 else node


@DBOS.workflow()
def drip(person: int) -> None:
    """Take one contact through the nodes."""
    for node in NODES:
        pass_node(node, person)


@DBOS.workflow()
async def drip_async(person: int) -> None:
    """The same, for an event loop."""
    for node in NODES:
        await pass_node_async(node, person)


def main(url: str, people: int, mode: str, workers: int) -> float:
    """Return contacts per second."""
    config: Any = {
        "name": "bench",
        "system_database_url": url,
        "log_level": "ERROR",
        "sys_db_pool_size": workers + 4,
        "max_executor_threads": workers,
    }
    DBOS(config=config)
    DBOS.launch()
    if mode == "queue":
        DBOS.register_queue("drip", worker_concurrency=workers, polling_interval_sec=0.05)
    began = perf_counter()
    if mode == "threads":
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(_named, range(people)))
    elif mode == "queue":
        for handle in [DBOS.enqueue_workflow("drip", drip, person) for person in range(people)]:
            handle.get_result()
    else:
        asyncio.run(_all_async(people, workers))
    seconds = perf_counter() - began
    DBOS.destroy()
    return people / seconds


def _named(person: int) -> None:
    with SetWorkflowID(f"person-{person}"):
        drip(person)


async def _all_async(people: int, workers: int) -> None:
    permits = asyncio.Semaphore(workers)

    async def one(person: int) -> None:
        async with permits:
            await drip_async(person)

    await asyncio.gather(*(one(person) for person in range(people)))


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])), flush=True)
