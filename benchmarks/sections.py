"""The sections of `make bench` and what they are told. A section is a function of the options that
gives figures; its module is imported when it runs. To add one: a line in SECTIONS.
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
    """What was asked for. `server_url` names a database on the benchmarks' own server;
    `fresh_database(server_url)` makes another one on it."""

    server_url: str
    is_quick: bool
    people: int
    """Through the five-node drip."""
    repeats: int
    """Of each measurement of a pair."""
    states: int
    """The most states that claims are measured on."""
    events: int
    """In the log that is aggregated, and a tenth of it ingested."""

    def say(self, text: str) -> None:
        """A line of progress."""
        print(f"{perf_counter() - _BEGAN:6.0f} s  {text}", file=sys.stderr, flush=True)


Section = Callable[[Options], list[Figure]]


def named(name: str) -> Section:
    """The function of a section."""
    module, _, function = SECTIONS[name].partition(":")
    found: Section = getattr(import_module(module), function)
    return found


def judging(options: Options) -> list[Figure]:
    """One judging of many tests, as a ratio to the seconds it may take."""
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
    """The way of a mail to a local sink."""
    from benchmarks import email_path

    mails, repeats = (2_000, 2) if options.is_quick else (20_000, 3)
    return email_path.figures(options.server_url, mails=mails, repeats=repeats)


def simulation(options: Options) -> list[Figure]:
    """False winners between equal variants. Raises AssertionError where the bound is broken."""
    from benchmarks import aa_simulation

    broken = aa_simulation.main(["--runs", "200"] if options.is_quick else [])
    assert not broken, "the simulation breaks its bound"
    return []


SECTIONS: Final = {
    "engine": "benchmarks.engine_against_sql:section",
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
    "simulation": "benchmarks.sections:simulation",
}
"""Name → module:function, in the order in which they run."""
