"""Measure several engine processes on one database: two, four, and two with one shard each."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.five_nodes import engine_rate, people_at_the_start
from benchmarks.report import Figure, figure, in_turn
from benchmarks.sections import Options
from benchmarks.server import fresh_database


def section(options: Options) -> list[Figure]:
    """scaling_two_processes, scaling_four_processes, scaling_two_shards: each to one process."""

    def rate(processes: int, *, has_shards: bool = False) -> Callable[[], float]:
        def once() -> float:
            with fresh_database(options.server_url) as database:
                ready = people_at_the_start(database, options.people)
                return engine_rate(ready, processes, has_shards=has_shards)

        return once

    one, two, four, shards = in_turn(
        options.repeats, rate(1), rate(2), rate(4), rate(2, has_shards=True)
    )
    return [
        figure(
            name, rates, one, f"{what}: {max(rates):,.0f} people/s at best, {max(one):,.0f} by one"
        )
        for name, rates, what in (
            ("scaling_two_processes", two, "two processes"),
            ("scaling_four_processes", four, "four processes"),
            ("scaling_two_shards", shards, "two processes, a shard each"),
        )
    ]
