"""`drip up` while its database cannot start, and signals while it starts and stops."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from drip_pipeline.cli.local.supervisor import Program, Supervisor
from drip_pipeline.errors import DatabaseUnavailable
from tests.conftest import quick_folder
from tests.orchestration.test_supervisor import SLEEPS
from tests.orchestration.test_up import asked, free_port, processes_of, up, wait_until


@pytest.fixture
def home() -> Iterator[Path]:
    """A DRIP_HOME with a server of its own, which may run as another user."""
    folder = Path(tempfile.mkdtemp(prefix="drip-up-", dir=quick_folder()))
    folder.chmod(0o755)
    yield folder
    for process in processes_in(folder):
        process.kill()
    shutil.rmtree(folder)


def processes_in(home: Path) -> list[psutil.Process]:
    """All processes that work for this DRIP_HOME: the server's, the programs', their children."""
    found = []
    for process in psutil.process_iter():
        try:
            places = [*process.cmdline(), process.cwd(), process.environ().get("DRIP_HOME", "")]
        except psutil.Error:
            continue
        is_own = process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE
        if not is_own and any(str(home) in place for place in places):
            found.append(process)
    return found


@pytest.mark.timeout(400)
def test_up_outlives_a_database_that_cannot_start_and_goes_on_by_itself(home):
    port, log = free_port(), home / "up.log"
    control = home / "postgres" / "data" / "global" / "pg_control"
    with up(home, port) as process:
        wait_until(lambda: "the Dagster UI is at" in log.read_text())
        postmaster = int((home / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
        control.rename(home / "kept")
        os.kill(postmaster, signal.SIGKILL)
        wait_until(lambda: "the embedded PostgreSQL does not start" in log.read_text())
        # The daemon needs the database: it must come back, too.
        os.kill(processes_of(home)[-1], signal.SIGKILL)
        attempts = (home / "postgres" / "server.log").stat().st_size
        wait_until(lambda: (home / "postgres" / "server.log").stat().st_size > attempts)
        assert process.poll() is None
        (home / "kept").rename(control)
        wait_until(lambda: "the embedded PostgreSQL works again" in log.read_text())
        wait_until(lambda: len(processes_of(home)) == 4)
        wait_until(lambda: asked(port, "{ runsOrError(limit: 1) { __typename } }"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(90) == 0
    assert log.read_text().count("the embedded PostgreSQL does not start") == 1
    assert processes_in(home) == []


def server_is_made(home: Path) -> bool:
    return (home / "postgres" / "data.new").exists()


def server_is_started(home: Path) -> bool:
    return (home / "postgres" / "data" / "postmaster.pid").exists()


def first_program_is_started(home: Path) -> bool:
    return (home / "logs" / "processes.json").exists()


def everything_runs(home: Path) -> bool:
    return "the Dagster UI is at" in (home / "up.log").read_text()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "moment", [server_is_made, server_is_started, first_program_is_started, everything_runs]
)
def test_a_stop_signal_leaves_no_process_whenever_it_comes(
    home: Path, moment: Callable[[Path], bool]
):
    with up(home, free_port()) as process:
        deadline = time.monotonic() + 120
        while not moment(home):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        # Once more while it stops: an impatient user, or the terminal that is closed.
        time.sleep(0.3)
        process.send_signal(signal.SIGHUP)
        assert process.wait(120) == 0, (home / "up.log").read_text()
    assert processes_in(home) == []


def test_programs_wait_for_their_environment_and_it_is_said_once(tmp_path, monkeypatch):
    monkeypatch.setattr("drip_pipeline.cli.local.supervisor.ENVIRONMENT_PAUSE_SECONDS", 0.1)
    said: list[str] = []
    attempts: list[str] = []
    is_away = threading.Event()

    def environment() -> dict[str, str]:
        attempts.append("tried")
        if is_away.is_set():
            raise DatabaseUnavailable("the database is not available: refused")
        return {}

    supervisor = Supervisor(
        [Program("worker", SLEEPS, lambda: True)],
        folder=tmp_path,
        working_folder=tmp_path,
        environment=environment,
        say=said.append,
    )
    assert supervisor.start(timeout_seconds=20)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        is_away.set()
        (listed,) = processes_of_supervisor(tmp_path)
        os.kill(listed, signal.SIGKILL)
        wait_until(lambda: len(attempts) > 4, 30)
        assert thread.is_alive()
        assert said == [
            "worker was killed (SIGKILL); restarting in 1 s",
            "the database is not available: refused; trying again until it works",
        ]
        is_away.clear()
        wait_until(lambda: processes_of_supervisor(tmp_path) not in ([], [listed]), 30)
        wait_until(lambda: said[-1] == "starting programs works again", 30)
    finally:
        supervisor.stop()
        thread.join()
        supervisor.end()


def test_processes_of_a_killed_program_are_ended_with_it(tmp_path):
    parent = (
        "import subprocess, sys, time;"
        f"child = subprocess.Popen({SLEEPS!r});"
        "open('child', 'a').write(f'{child.pid} '); time.sleep(600)"
    )
    supervisor = Supervisor(
        [Program("parent", [*SLEEPS[:-1], parent], lambda: True)],
        folder=tmp_path,
        working_folder=tmp_path,
        environment=dict,
        say=lambda _: None,
    )
    assert supervisor.start(timeout_seconds=20)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    written = tmp_path / "child"
    try:
        wait_until(lambda: written.exists() and written.read_text().endswith(" "), 20)
        (killed,) = processes_of_supervisor(tmp_path)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(written.read_text().split()) == 2, 30)
    finally:
        supervisor.stop()
        thread.join()
        supervisor.end()
    assert [pid for pid in written.read_text().split() if psutil.pid_exists(int(pid))] == []


def processes_of_supervisor(folder: Path) -> list[int]:
    return [e["pid"] for e in json.loads((folder / "processes.json").read_text(encoding="ascii"))]
