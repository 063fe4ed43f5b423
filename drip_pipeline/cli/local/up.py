"""`drip up`: run PostgreSQL, Dagster's code server, webserver and daemon, and the receiver on this
machine. Each is a process of its own, and is restarted when it ends.
"""

from __future__ import annotations

import json
import socket
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import click
from filelock import FileLock, Timeout

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.local.dagster_home import (
    LOCATION_NAME,
    dagster_environment,
    dagster_home,
    write_workspace,
)
from drip_pipeline.cli.local.stop_signal import Stopped, StopSignal
from drip_pipeline.cli.local.supervisor import Program, Supervisor, end_leftovers
from drip_pipeline.errors import DripError, NotAllowed
from drip_pipeline.settings import CHECKOUT, Pooler, Settings

START_SECONDS = 120.0
SERVER_POLL_SECONDS = 5.0
SERVER = "the embedded PostgreSQL"
LOCAL = "127.0.0.1"
RECEIVE_PORT = 8080


@command()
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=3000,
    show_default=True,
    help="Port of the Dagster UI.",
)
@click.option(
    "--code-port",
    type=click.IntRange(1, 65535),
    help="Port of the code server. Default: any free port.",
)
@click.option(
    "--receive-port",
    type=click.IntRange(1, 65535),
    help=f"Port of the receiver. Default: {RECEIVE_PORT} if it is free, otherwise no receiver.",
)
def up(
    invocation: Invocation, port: int, code_port: int | None, receive_port: int | None
) -> CommandResult:
    """Run the Dagster UI and all services on this machine until Ctrl-C.

    Starts the embedded PostgreSQL, migrates, and runs the code server, the webserver, the daemon
    and the receiver. A service that ends is restarted. Logs are in DRIP_HOME/logs.
    """
    settings, stop = invocation.settings, StopSignal()
    restarts: dict[str, int] = {}
    # First, so that no signal ends this process while it has children.
    with stop.handled(), _single_instance(settings.home), _engine_url(settings) as url:
        try:
            end_leftovers(settings.home / "logs", _say)
            _check_port(port, "--port")
            if code_port is not None:
                # gRPC can share a port with another process, which then receives every second call.
                _check_port(code_port, "--code-port")
            if receive_port is not None:
                _check_port(receive_port, "--receive-port")
            settings.landing_folder().mkdir(parents=True, exist_ok=True)
            _migrate(url(), settings.database_pooler, stop)
            ports = Ports(port, code_port or _free_port(), receive_port or _default_receive_port())
            restarts = _supervise(settings, url, ports, stop)
        except (Stopped, DripError):
            # Ctrl-C reaches all programs of the terminal: what failed for it is no error.
            if not stop.is_set:
                raise
    return CommandResult({"restarts": restarts}, "stopped")


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of the programs. `receive` is None if no receiver runs."""

    ui: int
    code: int
    receive: int | None


def _default_receive_port() -> int | None:
    if not _listens(RECEIVE_PORT):
        return RECEIVE_PORT
    _say(f"port {RECEIVE_PORT} is in use: no receiver runs; choose a port with --receive-port")
    return None


def _supervise(
    settings: Settings, url: Callable[[], str], ports: Ports, stop: StopSignal
) -> dict[str, int]:
    workspace = write_workspace(dagster_home(settings), ports.code)
    supervisor = Supervisor(
        _programs(workspace, ports),
        folder=settings.home / "logs",
        working_folder=CHECKOUT,
        environment=lambda: dagster_environment(settings, url()),
        say=_say,
        stopping=stop.event,
    )
    try:
        if supervisor.start(timeout_seconds=START_SECONDS):
            if ports.receive is not None:
                _say(f"the receiver listens on http://localhost:{ports.receive}")
            _say(f"the Dagster UI is at http://localhost:{ports.ui} (Ctrl-C stops all services)")
            supervisor.run(each_round=_watch_server(url, supervisor))
    finally:
        _say("stopping")
        supervisor.end()
    return supervisor.restarts


def _programs(workspace: Path, ports: Ports) -> list[Program]:
    """Return the programs in start order: the webserver creates tables that the daemon needs."""
    python = sys.executable
    code_server = [
        *(python, "-m", "dagster", "api", "grpc", "--host", LOCAL, "--port", str(ports.code)),
        *("--python-file", str(CHECKOUT / "drip_pipeline" / "definitions.py")),
        *("--working-directory", str(CHECKOUT), "--attribute", "defs"),
        *("--location-name", LOCATION_NAME, "--use-python-environment-entry-point"),
        *("--log-level", "warning"),
    ]
    webserver = [
        *(python, "-m", "drip_pipeline.orchestration.webserver"),
        *("--host", LOCAL, "--port", str(ports.ui)),
        *("--workspace", str(workspace), "--log-level", "warning"),
        # Without this option the webserver may open 63 connections to PostgreSQL.
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
    """Return a function that restarts the embedded server if it has stopped, and all programs if
    its URL has changed.
    """
    last_url, checked_at = url(), monotonic()

    def check() -> None:
        nonlocal last_url, checked_at
        if monotonic() - checked_at < SERVER_POLL_SECONDS:
            return
        try:
            current_url = url()
        except (DripError, OSError) as error:
            # It may take hours until somebody has made space on the disk.
            supervisor.report_problem(SERVER, str(error))
            return
        finally:
            checked_at = monotonic()
        supervisor.report_problem(SERVER, None)
        if current_url != last_url:
            last_url = current_url
            supervisor.restart_all("the port of PostgreSQL has changed")

    return check


@contextmanager
def _engine_url(settings: Settings) -> Iterator[Callable[[], str]]:
    """Yield a function that returns the database URL and starts the embedded server if needed.

    The server is stopped at the end, unless it was running before.
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


def _migrate(url: str, pooler: Pooler, stop: StopSignal) -> None:
    from drip_pipeline.db.connection import Database
    from drip_pipeline.db.migrate import migrate

    # Another process that migrates, or a long transaction, may let this wait for a lock.
    with stop.interruptible(), Database(url, pooler=pooler) as database:
        applied = migrate(database).applied
    if applied:
        _say(f"applied {', '.join(applied)}")


@contextmanager
def _single_instance(home: Path) -> Iterator[None]:
    """Allow only one `drip up` per DRIP_HOME, because two Dagster daemons would conflict.

    Raises NotAllowed.
    """
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


def _check_port(port: int, option: str) -> None:
    if _listens(port):
        raise NotAllowed(f"port {port} is in use", hint=f"Choose another port with {option}.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOCAL, 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOCAL, port)) == 0


def _ui_answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{LOCAL}:{port}/server_info", timeout=5) as response:
            info: dict[str, object] = json.load(response)
    except (OSError, ValueError):
        return False
    return "dagster_webserver_version" in info


def _say(text: str) -> None:
    click.echo(text, err=True)
