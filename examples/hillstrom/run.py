"""Runs the documented commands one after the other, times each, and compares the figures.

HILLSTROM_CSV says where the file is. Everything goes into the database of DRIP_DATABASE_URL or
DRIP_HOME, into a workspace of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import Any

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
CAMPAIGN = "Hillstrom email test"
WORKSPACE = "hillstrom"
# The mailing of the test; the commands below move the engine's clock there.
SENT_AT = "2008-03-17T09:00:00+00:00"
TWO_WEEKS_LATER = "2008-03-31T09:00:00+00:00"
EXPECTED = {
    "mens": {"people": 21_307, "converted": 267},
    "womens": {"people": 21_387, "converted": 189},
    "no_email": {"people": 21_306, "converted": 122},
}
EXPECTED_P = 0.0002  # men's against women's email, chi-square


def drip(*arguments: str) -> Any:
    """One command; its JSON. Its progress goes to stderr as usual."""
    done = subprocess.run(
        [sys.executable, "-m", "drip_pipeline.cli", *arguments, "--json"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
        check=False,
    )
    if done.returncode:
        sys.exit(f"drip {' '.join(arguments)} failed: {done.stdout.strip()}")
    return json.loads(done.stdout)


class Phases:
    """Runs commands and remembers how long each took."""

    def __init__(self) -> None:
        self._seconds: list[tuple[str, float]] = []

    def __call__(self, name: str, *arguments: str) -> Any:
        begun = monotonic()
        answer = drip(*arguments)
        self._seconds.append((name, monotonic() - begun))
        say(f"{name}: {self._seconds[-1][1]:.1f} s")
        return answer

    def told(self) -> str:
        """A line per phase and the sum."""
        lines = [f"{name:<24}{seconds:>8.1f} s" for name, seconds in self._seconds]
        total = sum(seconds for _, seconds in self._seconds)
        return "\n".join([*lines, f"{'together':<24}{total:>8.1f} s"])


def say(text: str) -> None:
    """A line for whoever watches."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(source: str) -> int:
    """Import, publish, enroll, run, ingest, count; 0 when the figures are the published ones."""
    phase = Phases()
    drip("db", "migrate")
    template = "customer{row}@example.com"
    imported = phase(
        "import people", "contacts", "import", source, "--workspace", WORKSPACE,
        "--email-template", template, "--now", SENT_AT,
    )  # fmt: skip
    campaign = str(HERE / "campaign.yaml")
    phase("publish", "campaign", "publish", campaign, "--workspace", WORKSPACE, "--now", SENT_AT)
    enrolled = phase("enroll", "enroll", CAMPAIGN, "--all", "--now", SENT_AT)
    ran = phase("run until idle", "run", "--until-idle", "--now", SENT_AT)
    with tempfile.TemporaryDirectory() as folder:
        events = str(Path(folder) / "events.ndjson")
        make = [sys.executable, str(HERE / "make_events.py"), source, events, SENT_AT]
        subprocess.run(make, check=True)
        taken = phase("ingest events", "events", "ingest", events, "--workspace", WORKSPACE)
    results = phase("results", "ab", "results", CAMPAIGN, "--now", TWO_WEEKS_LATER)
    people = drip("campaign", "show", CAMPAIGN)["population"]
    say(f"\n{phase.told()}\n")
    say(f"imported {imported['inserted'] + imported['updated'] + imported['unchanged']:,}")
    sent = ran["delivered"].get("email", {}).get("sent", 0)
    say(f"enrolled {enrolled['enrolled']:,}, in already {enrolled['already_in']:,}, sent {sent:,}")
    say(f"events {json.dumps(taken)}")
    return compared(results, people)


def compared(results: Any, people: list[dict[str, Any]]) -> int:
    """Print the figures beside the published ones; 1 when one differs."""
    found = {variant["variant_group"]: variant for variant in results["variants"]}
    wrong = 0
    for name, figures in EXPECTED.items():
        variant = found.get(name, {})
        count = variant.get("total_assigned" if name == "no_email" else "total_sent")
        converted = variant.get("total_converted")
        is_right = (count, converted) == (figures["people"], figures["converted"])
        wrong += not is_right
        say(
            f"{name:<9} {converted} of {count} converted"
            f" (published: {figures['converted']} of {figures['people']})"
            f"{'' if is_right else '  <- differs'}"
        )
    (pair,) = results["pairs"]
    is_right = round(pair["chi2_p"], 4) == EXPECTED_P
    wrong += not is_right
    say(f"{pair['a']} against {pair['b']}: p = {pair['chi2_p']:.4f} (published: {EXPECTED_P})")
    for lift in results["holdout"]["lifts"]:
        low, high = lift["interval"]
        say(
            f"{lift['variant_group']} over the holdout: {lift['difference']:+.2f} points"
            f" ({low:+.2f} to {high:+.2f})"
        )
    for version in people:
        inside = sum(version[kind] for kind in ("active", "completed", "exited", "failed"))
        wrong += inside != version["entered"]
        say(f"version {version['campaign_version']}: entered {version['entered']:,} = {inside:,}")
    return 1 if wrong else 0


if __name__ == "__main__":
    path = os.environ.get("HILLSTROM_CSV", "")
    if not path:
        sys.exit("HILLSTROM_CSV is not set: it must name the file (see README.md beside this)")
    sys.exit(main(str(Path(path).resolve())))
