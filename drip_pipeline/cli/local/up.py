"""`drip up`: everything on this machine. PostgreSQL, the schema, and Dagster's code server,
webserver and daemon, and the receiver, as processes of their own, each started again when it
dies.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import click
from filelock import FileLock, Timeout

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.local.dagster_home import (
    LOCATION_NAME,
    dagster_environment,
    dagster_home,
    write_workspace,
)
from drip_pipeline.cli.local.supervisor import Program, Supervisor, end_leftovers
from drip_pipeline.errors import NotAllowed
from drip_pipeline.settings import CHECKOUT, Settings

START_SECONDS = 120.0
SERVER_LOOK_SECONDS = 5.0
LOCAL = "127.0.0.1"
RECEIVE_PORT = 8080


@command()
@click.option(
    "--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="Of the UI."
)
@click.option(
    "--code-port",
    type=click.IntRange(1, 65535),
    help="Of the code server; a free one by default.",
)
@click.option(
    "--receive-port",
    type=click.IntRange(1, 65535),
    help=f"Of the receiver; {RECEIVE_PORT} by default, if it is free.",
)
def up(
    invocation: Invocation, port: int, code_port: int | None, receive_port: int | None
) -> CommandResult:
    """Run the Dagster UI and everything behind it on this machine, until Ctrl-C."""
    settings = invocation.settings
    with _alone(settings.home), _server(settings) as url:
        end_leftovers(settings.home / "logs", _say)
        _refuse_taken(port, "--port")
        if code_port is not None:
            # gRPC shares a port with whoever has it already, and every second call goes astray.
            _refuse_taken(code_port, "--code-port")
        if receive_port is not None:
            _refuse_taken(receive_port, "--receive-port")
        settings.landing_folder().mkdir(parents=True, exist_ok=True)
        _migrate(invocation)
        ports = Ports(port, code_port or _free_port(), receive_port or _port_to_receive_at())
        restarts = _supervise(settings, url, ports)
    return CommandResult({"restarts": restarts}, "stopped")


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the programs listen; without a port for receiving nothing is received."""

    ui: int
    code: int
    receive: int | None


def _port_to_receive_at() -> int | None:
    if not _listens(RECEIVE_PORT):
        return RECEIVE_PORT
    _say(f"port {RECEIVE_PORT} is taken, so nothing is received; give one with --receive-port")
    return None


def _supervise(settings: Settings, url: Callable[[], str], ports: Ports) -> dict[str, int]:
    workspace = write_workspace(dagster_home(settings), ports.code)
    supervisor = Supervisor(
        _programs(workspace, ports),
        folder=settings.home / "logs",
        working_folder=CHECKOUT,
        environment=lambda: dagster_environment(settings, url()),
        say=_say,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    try:
        if supervisor.start(timeout_seconds=START_SECONDS):
            if ports.receive is not None:
                _say(f"events are received at http://localhost:{ports.receive}")
            _say(f"the UI is at http://localhost:{ports.ui} (Ctrl-C stops everything)")
            supervisor.run(each_round=_watch_server(url, supervisor))
    finally:
        _say("stopping")
        supervisor.end()
    return supervisor.restarts


def _programs(workspace: Path, ports: Ports) -> list[Program]:
    """In the order of starting: the webserver makes Dagster's tables, so the daemon comes last."""
    python = sys.executable
    code_server = [
        *(python, "-m", "dagster", "api", "grpc", "--host", LOCAL, "--port", str(ports.code)),
        *("--python-file", str(CHECKOUT / "drip_pipeline" / "definitions.py")),
        *("--working-directory", str(CHECKOUT), "--attribute", "defs"),
        *("--location-name", LOCATION_NAME, "--use-python-environment-entry-point"),
        *("--log-level", "warning"),
    ]
    webserver = [
        *(python, "-m", "dagster_webserver", "--host", LOCAL, "--port", str(ports.ui)),
        *("--workspace", str(workspace), "--log-level", "warning"),
        # Without this the webserver alone may hold 63 connections to PostgreSQL.
        *("--db-pool-max-overflow", "5"),
    ]
    daemon = [python, "-m", "dagster._daemon", "run", "--workspace", str(workspace)]
    programs = [
        Program("code-server", code_server, lambda: _listens(ports.code)),
        Program("webserver", webserver, lambda: _ui_answers(ports.ui)),
        Program("daemon", daemon, lambda: True),
    ]
    if (receive := ports.receive) is not None:
        receiver = [python, "-m", "drip_pipeline.cli", "receive", "--port", str(receive)]
        programs.insert(0, Program("receiver", receiver, lambda: _listens(receive)))
    return programs


def _watch_server(url: Callable[[], str], supervisor: Supervisor) -> Callable[[], None]:
    """Called at every look: the embedded server is started again if it died, and the programs with
    it when its address changed.
    """
    known, looked_at = url(), monotonic()

    def look() -> None:
        nonlocal known, looked_at
        if monotonic() - looked_at < SERVER_LOOK_SECONDS:
            return
        looked_at = monotonic()
        if (found := url()) != known:
            known = found
            supervisor.restart_all("PostgreSQL moved to another port")

    return look


@contextmanager
def _server(settings: Settings) -> Iterator[Callable[[], str]]:
    """A function that gives the engine's URL, starting the embedded server if it is down. At the
    end the server is stopped, unless it was running before.
    """
    if settings.database_url is not None:
        own = settings.database_url.reveal()
        yield lambda: own
        return
    from drip_pipeline.db.embedded.server import EmbeddedServer

    server = EmbeddedServer.from_settings(settings)
    was_running = server.status().is_running
    try:
        yield server.ensure_running
    finally:
        if not was_running:
            server.stop()


def _migrate(invocation: Invocation) -> None:
    from drip_pipeline.db.migrate import migrate

    applied = migrate(invocation.database).applied
    if applied:
        _say(f"applied {', '.join(applied)}")
    invocation.database.close()


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Only one `drip up` per DRIP_HOME: two daemons would get into each other's way."""
    home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home / "up.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise NotAllowed(
            f"`drip up` is already running in {home}", hint="Stop it, or use another DRIP_HOME."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _refuse_taken(port: int, option: str) -> None:
    if _listens(port):
        raise NotAllowed(f"port {port} is taken", hint=f"Choose another one with {option}.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOCAL, 0))
        found: int = probe.getsockname()[1]
        return found


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOCAL, port)) == 0


def _ui_answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{LOCAL}:{port}/server_info", timeout=5) as answer:
            told: dict[str, Any] = json.load(answer)
    except (OSError, ValueError):
        return False
    return "dagster_webserver_version" in told


def _say(text: str) -> None:
    click.echo(text, err=True)
