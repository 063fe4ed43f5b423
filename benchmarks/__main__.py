"""`make bench`: print all ratios as a table; write them as JSON to DRIP_BENCH_OUT if it is set."""

from __future__ import annotations

import argparse
import sys
import traceback

from benchmarks.report import Figure, table, write
from benchmarks.sections import SECTIONS, Options, named
from benchmarks.server import benchmark_server


def main(arguments: list[str] | None = None) -> int:
    """Run the selected sections; return 1 if one failed, after all others have run."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under five minutes")
    parser.add_argument("--only", choices=tuple(SECTIONS), action="append", help="some sections")
    parser.add_argument("--people", type=int, help="through the five-node drip")
    parser.add_argument("--repeats", type=int, help="of each measurement")
    parser.add_argument("--states", type=int, help="up to so many for claims (10 million)")
    parser.add_argument("--events", type=int, help="in the log that is aggregated (10 million)")
    chosen = parser.parse_args(arguments)
    figures: list[Figure] = []
    broken: list[str] = []
    with benchmark_server() as url:
        options = Options(
            server_url=url,
            is_quick=chosen.quick,
            people=chosen.people or (20_000 if chosen.quick else 100_000),
            repeats=chosen.repeats or (2 if chosen.quick else 3),
            states=chosen.states or (1_000_000 if chosen.quick else 10_000_000),
            events=chosen.events or (300_000 if chosen.quick else 10_000_000),
        )
        for name in chosen.only or SECTIONS:
            options.say(f"{name} …")
            try:
                found = named(name)(options)
            except Exception as error:  # noqa: BLE001 - the other sections' figures count, too
                traceback.print_exc()
                broken.append(f"{name}: {type(error).__name__}: {error}")
                continue
            if found:
                print(table(found), flush=True)
            figures += found
            write(figures)
    if len(chosen.only or SECTIONS) > 1:
        print(f"\nall figures\n{table(figures)}", flush=True)
    for line in broken:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
