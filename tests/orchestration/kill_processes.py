"""`drip up` for real, and SIGKILL of one of its processes in the middle of a tick: the daemon, the
code server, the worker of the run. Takes minutes, so it is no test of the suite but run by hand:

    python -m tests.orchestration.kill_processes [--people 20000] [--shards 2] [--send] [--kill …]

With `--send`, mails go to a local sink, and the kill comes in the middle of sending. Ends with 1
when a tick has left anything undone after three minutes, or the totals do not reconcile.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from drip_pipeline.db.connection import Database
from drip_pipeline.db.embedded.server import EmbeddedServer
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.engine.delivery.deliver import MAX_SENDING
from tests.engine import factories
from tests.engine.graphs import add_tag, email, end, graph, trigger
from tests.orchestration.running import states_by_status, value
from tests.orchestration.test_up import free_port, up, wait_until
from tests.smtp_sink import Sink, smtp_sink

FLOW: Final = graph(
    trigger("t"), add_tag("t", "seen", default="mail"), email("mail", default="end"), end()
)
MOST_SECONDS: Final = 180.0


@dataclass
class KillTest:
    """The running processes, and the enrollments and kills so far."""

    home: Path
    database: Database
    sink: Sink | None
    people: int = 0
    kills: int = 0

    def begun(self) -> int:
        """Return the enrollments that have advanced; with a sink, those with a received mail."""
        if self.sink is not None:
            return len(self.sink.received)
        counted = states_by_status(self.database)
        return counted.get("waiting", 0) + counted.get("completed", 0)

    def left(self) -> int:
        """Return the enrollments that a tick can still advance."""
        through = states_by_status(self.database).get("completed", 0)
        return self.people - through - self.unknown()

    def unknown(self) -> int:
        """Return the messages of unknown outcome: their sender was killed before the answer."""
        found: int = value(
            self.database,
            "SELECT count(*) FROM campaign_deliveries WHERE status IN ('sending', 'unknown')",
        )
        return found


def main(arguments: list[str] | None = None) -> int:
    """Kill one process after the other, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=20_000, help="for each kill")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--send", action="store_true")
    parser.add_argument("--kill", action="append", choices=tuple(KILLS))
    chosen = parser.parse_args(arguments)
    problems = []
    with tempfile.TemporaryDirectory(prefix="drip-kill-") as folder, smtp_sink() as sink:
        home = Path(folder)
        home.chmod(0o755)
        environment = {"DRIP_BATCH_SIZE": "250", "DRIP_SHARDS": str(chosen.shards)}
        if chosen.send:
            environment |= {
                "DRIP_DELIVERY": "send",
                "DRIP_SMTP_URL": f"smtp://127.0.0.1:{sink.port}",
            }
        with up(home, free_port(), **environment):
            wait_until(lambda: "the Dagster UI is at" in (home / "up.log").read_text())
            with Database(EmbeddedServer(home).ensure_running()) as database:
                test = KillTest(home, database, sink if chosen.send else None)
                for name in chosen.kill or KILLS:
                    problems += _killed(test, name, chosen.people)
    for problem in problems:
        sys.stderr.write(f"FAILED: {problem}\n")
    return 1 if problems else 0


def _killed(test: KillTest, name: str, people: int) -> list[str]:
    """Enroll contacts, kill the process while some advance, and check that all complete."""
    before = test.begun()
    with test.database.transaction() as connection:
        campaign = factories.a_published_campaign(connection, FLOW, name=f"Killed {name}")
        ids = factories.contacts(
            connection, campaign.workspace_id, people, prefix=f"k{test.kills}x"
        )
        factories.enrolled(connection, campaign, ids)
    test.people += people
    wait_until(lambda: people // 10 < test.begun() - before < people, 240)
    begun, pids = test.begun() - before, KILLS[name](test.home)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    test.kills += len(pids)
    began = time.monotonic()
    while (seconds := time.monotonic() - began) < MOST_SECONDS and test.left() > 0:
        time.sleep(0.5)
    found = [f"{name}: {problem}" for problem in _problems(test)]
    sys.stdout.write(
        f"{name}: killed {len(pids)} when {begun:,} of {people:,} people had begun;"
        f" all done {seconds:.0f} s later, {test.unknown()} unknown;"
        f" {'; '.join(found) or 'the totals reconcile'}\n"
    )
    return found


def _problems(test: KillTest) -> Iterator[str]:
    people, unknown, database = test.people, test.unknown(), test.database
    if test.left():
        yield f"not done in time: {states_by_status(database)}"
    with database.transaction() as connection:
        for row in states_db.population(connection):
            ended = row.completed + row.exited + row.failed
            if row.entered != row.active + ended:
                yield f"the totals do not reconcile: {row}"
    counted = "SELECT count(*) FROM campaign_events WHERE event_type = %s"
    for event_type, expected in {
        "tag_added": people,
        "email_sent": people - unknown,
        "enrollment_completed": people - unknown,
    }.items():
        found = value(database, counted, event_type)
        if found != expected:
            yield f"{found:,} times {event_type} for {expected:,} people"
    if unknown > MAX_SENDING * test.kills:
        yield f"{unknown} unknown after {test.kills} kills"
    if test.sink is None:
        recorded = "SELECT count(DISTINCT enrollment_id) FROM recorded_messages"
        if value(database, recorded) != people:
            yield f"{value(database, recorded):,} people mailed of {people:,}"
        return
    most = max(Counter(mail.message_id for mail in test.sink.received).values())
    if most > 1:
        yield f"a mail arrived {most} times"
    if not people - unknown <= len(test.sink.received) <= people:
        yield f"{len(test.sink.received):,} mails arrived"


def _supervised(*words: str) -> Callable[[Path], list[int]]:
    """Return a function that finds the supervised process whose command has these words."""

    def found(home: Path) -> list[int]:
        listed = json.loads((home / "logs" / "processes.json").read_text(encoding="ascii"))
        commands = {entry["pid"]: psutil.Process(entry["pid"]).cmdline() for entry in listed}
        (pid,) = (pid for pid, command in commands.items() if set(words) <= set(command))
        return [pid]

    return found


_CODE_SERVER: Final = _supervised("api", "grpc")


def _run_workers(home: Path) -> list[int]:
    """Return the processes that the code server has started for runs."""
    (server,) = _CODE_SERVER(home)
    children = psutil.Process(server).children(recursive=True)
    return [child.pid for child in children if "spawn_main" in " ".join(child.cmdline())]


KILLS: Final[dict[str, Callable[[Path], list[int]]]] = {
    "daemon": _supervised("dagster._daemon"),
    "code-server": _CODE_SERVER,
    "run-worker": _run_workers,
}


if __name__ == "__main__":
    sys.exit(main())
