"""`drip up` for real, and SIGKILL of one of its processes in the middle of a tick: the daemon, the
code server, the worker of the run. Takes minutes, so it is no test of the suite but run by hand:

    python -m tests.orchestration.kill_processes [--people 20000] [--shards 2] [--kill daemon …]

Ends with 1 when people are still due after three minutes, or the books do not balance.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil

from drip_pipeline.db import states as states_db
from drip_pipeline.db.connection import Database
from drip_pipeline.db.embedded import EmbeddedServer
from tests.engine import factories
from tests.engine.graphs import add_tag, email, end, graph, trigger
from tests.orchestration.running import people_by_status, value
from tests.orchestration.test_up import free_port, up, wait_until

FLOW: Final = graph(
    trigger("t"), add_tag("t", "seen", default="mail"), email("mail", default="end"), end()
)
MOST_SECONDS: Final = 180.0
NAMES: Final = ("code-server", "webserver", "daemon")


def main(arguments: list[str] | None = None) -> int:
    """Kill one after the other; a line of figures for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=20_000, help="for each kill")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--kill", action="append", choices=tuple(KILLS))
    chosen = parser.parse_args(arguments)
    problems = []
    with tempfile.TemporaryDirectory(prefix="drip-kill-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        environment = {"DRIP_BATCH_SIZE": "250", "DRIP_SHARDS": str(chosen.shards)}
        with up(home, free_port(), **environment):
            wait_until(lambda: "the UI is at" in (home / "up.log").read_text())
            with Database(EmbeddedServer(home).ensure_running()) as database:
                for number, name in enumerate(chosen.kill or KILLS):
                    problems += _killed(home, database, name, number, chosen.people)
    for problem in problems:
        sys.stderr.write(f"FAILED: {problem}\n")
    return 1 if problems else 0


def _killed(home: Path, database: Database, name: str, number: int, people: int) -> list[str]:
    """Let people in, kill the process when some of them are on, see that all get to the end."""
    with database.transaction() as connection:
        campaign = factories.a_published_campaign(connection, FLOW, name=f"Killed {name}")
        ids = factories.contacts(connection, campaign.workspace_id, people, prefix=f"k{number}x")
        factories.enrolled(connection, campaign, ids)
    before = people * number

    def moved() -> int:
        return people_by_status(database).get("waiting", 0) + _completed(database) - before

    wait_until(lambda: people // 10 < moved() < people, 180)
    pids = KILLS[name](home)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    left_then = people - (_completed(database) - before)
    while (seconds := time.monotonic() - began) < MOST_SECONDS:
        if _completed(database) == before + people:
            break
        time.sleep(0.5)
    found = list(_wrong(database, name, before + people, seconds))
    sys.stdout.write(
        f"{name}: killed {len(pids)} with {left_then:,} of {people:,} people to go;"
        f" all done {seconds:.0f} s later; {'; '.join(found) or 'the books balance'}\n"
    )
    return found


def _wrong(database: Database, name: str, people: int, seconds: float) -> list[str]:
    if seconds >= MOST_SECONDS:
        return [f"{name}: after {seconds:.0f} s {people_by_status(database)}"]
    found = []
    with database.transaction() as connection:
        for row in states_db.population(connection):
            ended = row["completed"] + row["exited"] + row["failed"]
            if row["entered"] != row["active"] + ended:
                found.append(f"{name}: the books do not balance: {row}")
    for what, statement in {
        "mails": "SELECT count(*) FROM recorded_messages",
        "people mailed": "SELECT count(DISTINCT enrollment_id) FROM recorded_messages",
        "sent": "SELECT count(*) FROM campaign_events WHERE event_type = 'email_sent'",
        "tags": "SELECT count(*) FROM campaign_events WHERE event_type = 'tag_added'",
        "ends": "SELECT count(*) FROM campaign_events WHERE event_type = 'enrollment_completed'",
    }.items():
        count = value(database, statement)
        if count != people:
            found.append(f"{name}: {count:,} {what} of {people:,} people")
    return found


def _completed(database: Database) -> int:
    return people_by_status(database).get("completed", 0)


def _supervised(name: str) -> Callable[[Path], list[int]]:
    def found(home: Path) -> list[int]:
        listed = json.loads((home / "logs" / "processes.json").read_text(encoding="ascii"))
        return [listed[NAMES.index(name)]["pid"]]

    return found


def _run_workers(home: Path) -> list[int]:
    """The processes that the code server has started for runs."""
    (server,) = _supervised("code-server")(home)
    children = psutil.Process(server).children(recursive=True)
    return [child.pid for child in children if "spawn_main" in " ".join(child.cmdline())]


KILLS: Final[dict[str, Callable[[Path], list[int]]]] = {
    "daemon": _supervised("daemon"),
    "code-server": _supervised("code-server"),
    "run-worker": _run_workers,
}


if __name__ == "__main__":
    sys.exit(main())
