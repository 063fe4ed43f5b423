"""`drip up` for real: PostgreSQL's two databases, code server, webserver and daemon."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.urls import with_database
from drip_pipeline.settings import CHECKOUT
from tests.orchestration.running import due_enrollments, states_by_status

SENSORS = """{ sensorsOrError(repositorySelector: {
    repositoryLocationName: "drip_pipeline", repositoryName: "__repository__"}) {
    ... on Sensors { results { name sensorState { status ticks(limit: 1) { status } } } } } }"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
        return found


def wait_until(is_so: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        found = is_so()
        if found:
            return found
        assert time.monotonic() < deadline
        time.sleep(0.5)


def asked(port: int, query: str, **headers: str) -> Any:
    """The answer of the UI's GraphQL interface, None while nobody answers."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        data=json.dumps({"query": query}).encode(),
        headers={"content-type": "application/json", **headers},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)["data"]
    except OSError:
        return None


@contextmanager
def up(
    home: Path, port: int, receive_port: int | None = None, /, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """`drip up`, ended at the end whatever happens."""
    with (home / "up.log").open("w") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "drip_pipeline.cli", "up", "--port", str(port)),
                *("--receive-port", str(receive_port or free_port())),
            ],
            cwd=CHECKOUT,
            env={**os.environ, "DRIP_HOME": str(home), **environment},
            stderr=log,
            stdout=subprocess.DEVNULL,
            text=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


def processes_of(home: Path) -> list[int]:
    """Their ids in the order of starting: receiver, code server, webserver, daemon; a dead one is
    missing.
    """
    listed = json.loads((home / "logs" / "processes.json").read_text(encoding="ascii"))
    return [entry["pid"] for entry in listed if is_alive(entry["pid"])]


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.timeout(400)
def test_everything_comes_up_works_comes_back_and_goes_down(
    database: Database, server_url: str, tmp_path: Path
):
    port, receive_port = free_port(), free_port()
    due_enrollments(database, 25)
    storage = f"dagster_{database.url.rpartition('/')[2]}"
    environment = {
        "DRIP_DATABASE_URL": database.url,
        # A database that is not there yet: it is made.
        "DRIP_DAGSTER_DATABASE_URL": with_database(server_url, storage),
    }
    with up(tmp_path, port, receive_port, **environment) as process:
        wait_until(lambda: "the Dagster UI is at" in (tmp_path / "up.log").read_text())
        # The sensor looks, starts the minute job, and the people get on.
        wait_until(lambda: states_by_status(database).get("waiting") == 25)
        sensors = asked(port, SENSORS)["sensorsOrError"]["results"]
        assert {s["sensorState"]["status"] for s in sensors} == {"RUNNING"}
        assert "due_steps" in {s["name"] for s in sensors}
        assert asked(port, "{ version }", origin="https://evil.example") is None
        with urllib.request.urlopen(f"http://127.0.0.1:{receive_port}/healthz") as answer:
            assert answer.read() == b"ok\n"
        *others, daemon = processes_of(tmp_path)
        os.kill(daemon, signal.SIGKILL)
        wait_until(
            # One reading: the killed process may end between two.
            lambda: len(ids := processes_of(tmp_path)) == 4 and daemon not in ids
        )
        started = processes_of(tmp_path)
        assert started[:3] == others
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert [pid for pid in started if is_alive(pid)] == []
    assert "daemon was killed (SIGKILL); restarting" in (tmp_path / "up.log").read_text()


def test_a_port_that_is_taken_is_said_before_anything_is_started(
    database: Database, tmp_path: Path
):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with up(tmp_path, port, DRIP_DATABASE_URL=database.url) as process:
            assert process.wait(60) == 1
    told = (tmp_path / "up.log").read_text()
    assert f"port {port} is in use" in told
    assert "--port" in told
    assert not (tmp_path / "logs").exists()
