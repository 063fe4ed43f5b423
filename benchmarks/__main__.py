"""`make bench`: every figure, printed as a table and written as JSON to DRIP_BENCH_OUT where that
is set."""

from __future__ import annotations

import argparse
import sys

from benchmarks import aa_simulation, engine_against_sql, judging
from benchmarks.report import Figure, table, write
from benchmarks.server import benchmark_server, fresh_database


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for; 0 unless a simulation breaks its bound."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under five minutes")
    parser.add_argument("--people", type=int, help="through the five-node drip")
    parser.add_argument("--only", choices=("engine", "judging", "simulation"))
    chosen = parser.parse_args(arguments)
    people = chosen.people or (20_000 if chosen.quick else 100_000)
    figures: list[Figure] = []
    with benchmark_server() as url:
        if chosen.only in (None, "engine"):
            repeats = 2 if chosen.quick else 5
            figures += engine_against_sql.figures(url, people=people, repeats=repeats)
        if chosen.only in (None, "judging"):
            figures += _judging(url)
    if figures:
        print(table(figures), flush=True)
        write(figures)
    if chosen.only in (None, "simulation"):
        return aa_simulation.main(["--runs", "200"] if chosen.quick else [])
    return 0


def _judging(url: str) -> list[Figure]:
    with fresh_database(url) as database:
        times = judging.measure(database)
    return [
        Figure(
            name,
            times.goal_seconds / seconds,
            times.goal_seconds / seconds,
            times.goal_seconds / seconds,
            f"{times.tests:,} tests of 3 variants in {seconds:.2f} s of {times.goal_seconds:g} s",
        )
        for name, seconds in (
            ("judging_all_new", times.all_new_seconds),
            ("judging_nothing_new", times.nothing_new_seconds),
        )
    ]


if __name__ == "__main__":
    sys.exit(main())
