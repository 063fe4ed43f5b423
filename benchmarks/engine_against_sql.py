"""Compare the engine with set-based SQL and with the plain loop, on the same schema."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.five_nodes import Ready, engine_rate, people_at_the_start
from benchmarks.plain_loop import loop_rate
from benchmarks.report import Figure, figure, in_turn
from benchmarks.sections import Options
from benchmarks.server import fresh_database
from benchmarks.set_based_sql import COLLAPSED, ONE_STEP_A_WRITE, sql_rate

LOOP_PEOPLE = 1_000
"""Contacts of the plain loop: enough to measure its rate."""


def figures(server_url: str, *, people: int, repeats: int) -> list[Figure]:
    """drip_vs_sql with one and two processes, drip_vs_sql_collapsed, drip_vs_loop."""

    def measured(run: Callable[[Ready], float]) -> Callable[[], float]:
        def once() -> float:
            with fresh_database(server_url) as database:
                return run(people_at_the_start(database, people))

        return once

    one, two, steps, collapsed, loop = in_turn(
        repeats,
        measured(lambda ready: engine_rate(ready, 1)),
        measured(lambda ready: engine_rate(ready, 2)),
        measured(lambda ready: sql_rate(ready, ONE_STEP_A_WRITE)),
        measured(lambda ready: sql_rate(ready, COLLAPSED)),
        measured(lambda ready: loop_rate(ready, LOOP_PEOPLE)),
    )
    told = f"{people:,} people; engine {min(one):,.0f} to {max(one):,.0f} people/s"
    return [
        figure("drip_vs_sql", one, steps, f"one process, a step a write; {told}"),
        figure("drip_vs_sql_two_processes", two, steps, "two processes, a step a write"),
        figure("drip_vs_sql_collapsed", one, collapsed, "one process, instant nodes collapsed"),
        figure("drip_vs_loop", one, loop, "one transaction a person and step, plain psycopg"),
    ]


def section(options: Options) -> list[Figure]:
    """The section of `make bench`."""
    return figures(options.server_url, people=options.people, repeats=options.repeats)
