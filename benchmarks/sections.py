"""The sections of `make bench` and their options. A section is a function that takes the options
and returns ratios; its module is imported when it runs. To add a section, add a line to SECTIONS.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from time import perf_counter
from typing import Final

from benchmarks.report import Figure
from benchmarks.server import fresh_database

_BEGAN: Final = perf_counter()


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a run. `server_url` names a database on the benchmarks' own server;
    `fresh_database(server_url)` makes another one on it."""

    server_url: str
    is_quick: bool
    people: int
    """Contacts of the five-node campaign."""
    repeats: int
    """Repeats of each measurement of a pair."""
    states: int
    """Maximum number of states for the claims."""
    events: int
    """Events of the aggregated log; a tenth of them is ingested."""

    def say(self, text: str) -> None:
        """Print a line of progress."""
        print(f"{perf_counter() - _BEGAN:6.0f} s  {text}", file=sys.stderr, flush=True)


Section = Callable[[Options], list[Figure]]


def named(name: str) -> Section:
    """Return the function of a section."""
    module, _, function = SECTIONS[name].partition(":")
    found: Section = getattr(import_module(module), function)
    return found


def judging(options: Options) -> list[Figure]:
    """Measure one evaluation of many tests, as a ratio to the allowed seconds."""
    from benchmarks import judging as benchmark

    with fresh_database(options.server_url) as database:
        times = benchmark.measure(database)
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


def email(options: Options) -> list[Figure]:
    """Measure email to a local sink."""
    from benchmarks import email_path

    mails, repeats = (2_000, 2) if options.is_quick else (20_000, 3)
    return email_path.figures(options.server_url, mails=mails, repeats=repeats)


def simulation(options: Options) -> list[Figure]:
    """Simulate equal variants. Raises AssertionError if there are too many false winners."""
    from benchmarks import aa_simulation

    broken = aa_simulation.main(["--runs", "200"] if options.is_quick else [])
    assert not broken, "the simulation breaks its bound"
    return []


SECTIONS: Final = {
    "engine": "benchmarks.engine_against_sql:section",
    "poolers": "benchmarks.poolers:section",
    "peers": "benchmarks.peers.section:section",
    "pgboss": "benchmarks.peers.pgboss:section",
    "scaling": "benchmarks.scaling:section",
    "claims": "benchmarks.claims:section",
    "ingestion": "benchmarks.ingestion:section",
    "metrics": "benchmarks.daily_metrics:section",
    "tick": "benchmarks.tick:section",
    "receiving": "benchmarks.receiving:section",
    "judging": "benchmarks.sections:judging",
    "email": "benchmarks.sections:email",
    "caps": "benchmarks.capped_email:section",
    "simulation": "benchmarks.sections:simulation",
}
"""Name → module:function, in the order in which they run."""
