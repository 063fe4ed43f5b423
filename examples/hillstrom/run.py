"""Run the commands of README.md, measure the time of each, and compare the results.

HILLSTROM_CSV is the path of the file. The example uses the database of DRIP_DATABASE_URL or
DRIP_HOME, and its own workspace.
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
# The time of the mailing; the commands set the engine's clock to it.
SENT_AT = "2008-03-17T09:00:00+00:00"
TWO_WEEKS_LATER = "2008-03-31T09:00:00+00:00"
EXPECTED = {
    "mens": {"contacts": 21_307, "converted": 267},
    "womens": {"contacts": 21_387, "converted": 189},
    "no_email": {"contacts": 21_306, "converted": 122},
}
EXPECTED_P = 0.0002  # men's against women's email, chi-square


def drip(*arguments: str) -> Any:
    """Run a command, and return its JSON. Its progress is printed to stderr."""
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
    """Runs commands and records the time of each."""

    def __init__(self) -> None:
        self._seconds: list[tuple[str, float]] = []

    def __call__(self, name: str, *arguments: str) -> Any:
        started_at = monotonic()
        result = drip(*arguments)
        self._seconds.append((name, monotonic() - started_at))
        say(f"{name}: {self._seconds[-1][1]:.1f} s")
        return result

    def summary(self) -> str:
        """Return one line per command, and the total."""
        lines = [f"{name:<24}{seconds:>8.1f} s" for name, seconds in self._seconds]
        total = sum(seconds for _, seconds in self._seconds)
        return "\n".join([*lines, f"{'total':<24}{total:>8.1f} s"])


def say(text: str) -> None:
    """Print a line immediately."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(source: str) -> int:
    """Run all steps; return 0 if the results equal the published ones."""
    phase = Phases()
    drip("db", "migrate")
    template = "customer{row}@example.com"
    imported = phase(
        "import contacts", "contacts", "import", source, "--workspace", WORKSPACE,
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
    population = drip("campaign", "show", CAMPAIGN)["population"]
    say(f"\n{phase.summary()}\n")
    say(f"imported {imported['inserted'] + imported['updated'] + imported['unchanged']:,}")
    sent = ran["delivered"].get("email", {}).get("sent", 0)
    say(f"enrolled {enrolled['enrolled']:,}, already in {enrolled['already_in']:,}, sent {sent:,}")
    say(f"events {json.dumps(taken)}")
    return compare(results, population)


def compare(results: Any, population: list[dict[str, Any]]) -> int:
    """Print the results and the published ones; return 1 if one differs."""
    variants = {variant["variant_group"]: variant for variant in results["variants"]}
    wrong = 0
    for name, expected in EXPECTED.items():
        variant = variants.get(name, {})
        count = variant.get("total_assigned" if name == "no_email" else "total_sent")
        converted = variant.get("total_converted")
        is_right = (count, converted) == (expected["contacts"], expected["converted"])
        wrong += not is_right
        say(
            f"{name:<9} {converted} of {count} converted"
            f" (published: {expected['converted']} of {expected['contacts']})"
            f"{'' if is_right else '  <- differs'}"
        )
    (pair,) = results["pairs"]
    is_right = round(pair["chi2_p"], 4) == EXPECTED_P
    wrong += not is_right
    say(f"{pair['a']} against {pair['b']}: p = {pair['chi2_p']:.4f} (published: {EXPECTED_P})")
    for lift in results["holdout"]["lifts"]:
        low, high = lift["interval"]
        say(
            f"{lift['variant_group']} compared with the holdout: {lift['difference']:+.2f} points"
            f" ({low:+.2f} to {high:+.2f})"
        )
    for version in population:
        inside = sum(version[kind] for kind in ("active", "completed", "exited", "failed"))
        wrong += inside != version["entered"]
        say(f"version {version['campaign_version']}: entered {version['entered']:,} = {inside:,}")
    return 1 if wrong else 0


if __name__ == "__main__":
    path = os.environ.get("HILLSTROM_CSV", "")
    if not path:
        sys.exit("HILLSTROM_CSV is not set: it must be the path of the file (see README.md)")
    sys.exit(main(str(Path(path).resolve())))
