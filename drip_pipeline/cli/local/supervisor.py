"""A process supervisor: starts programs in order, restarts a program that ends, stops all of them.

Which programs run is decided by the caller (`up.py`).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import IO, Final

import psutil

from drip_pipeline.errors import DripError

LIST_NAME: Final = "processes.json"
POLL_SECONDS: Final = 0.5
STOP_SECONDS: Final = 20.0
LOG_BYTES: Final = 10_000_000
# A program that ends sooner than this after its start has failed again: the pause gets longer.
STABLE_SECONDS: Final = 30.0
LONGEST_PAUSE_SECONDS: Final = 30.0
# While the environment cannot be prepared, for example because the database does not answer.
ENVIRONMENT_PAUSE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Program:
    """A program to keep running. The next program is started when `is_ready` returns True."""

    name: str
    command: Sequence[str]
    is_ready: Callable[[], bool]


@dataclass
class _Child:
    program: Program
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float = 0.0
    quick_failures: int = 0
    restarts: int = 0
    log: IO[bytes] | None = field(default=None, repr=False)


class Supervisor:
    """Keeps programs running until `stop` is called.

    `folder` contains the output of the programs (`<name>.log`) and the list of their process ids,
    with which the next supervisor finds processes of a killed one. `environment` is called before
    every start of programs; while it raises a DripError, ended programs wait. `stopping` ends `run`
    when it is set.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        folder: Path,
        working_folder: Path,
        environment: Callable[[], Mapping[str, str]],
        say: Callable[[str], None],
        stopping: threading.Event | None = None,
    ) -> None:
        self._children = [_Child(program) for program in programs]
        self._folder = folder
        self._working_folder = working_folder
        self._environment = environment
        self._say = say
        self._stopping = stopping if stopping is not None else threading.Event()
        self._problems: dict[str, str] = {}

    @property
    def restarts(self) -> dict[str, int]:
        """Return the number of restarts by program."""
        return {child.program.name: child.restarts for child in self._children}

    def log_of(self, name: str) -> Path:
        """Return the path of a program's log."""
        return self._folder / f"{name}.log"

    def stop(self) -> None:
        """End `run` soon. Safe to call from a signal handler."""
        self._stopping.set()

    def start(self, *, timeout_seconds: float) -> bool:
        """Start all programs, each when the previous one is ready.

        Returns False if `stop` was called meanwhile. Raises DripError if a program does not
        become ready.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        for child in self._children:
            if self._stopping.is_set():
                return False
            self._spawn(child, self._environment())
            deadline = monotonic() + timeout_seconds
            while not child.program.is_ready():
                if self._stopping.wait(POLL_SECONDS):
                    return False
                self._raise_if_ended(child, deadline)
        return True

    def run(self, *, each_round: Callable[[], None] = lambda: None) -> None:
        """Restart programs that end, until `stop`. `each_round` is called at every poll."""
        while not self._stopping.wait(POLL_SECONDS):
            each_round()
            for child in self._children:
                self._notice_exit(child)
            self._restart_due()

    def restart_all(self, reason: str) -> None:
        """Restart all programs with the current environment."""
        self._say(f"{reason}; restarting all programs")
        self._end([child for child in self._children if child.process is not None])
        for child in self._children:
            child.restart_at = 0.0
        self._restart_due()

    def report_problem(self, subject: str, problem: str | None) -> None:
        """Say once that something is wrong, and once that it works again (`problem` is None)."""
        if problem is None:
            if self._problems.pop(subject, None):
                self._say(f"{subject} works again")
        elif subject not in self._problems:
            # Two subjects may have the same problem: programs that need the database wait for it.
            is_new = problem not in self._problems.values()
            self._problems[subject] = problem if is_new else ""
            if is_new:
                self._say(f"{problem.rstrip('.')}; trying again until it works")

    def end(self) -> None:
        """Stop all programs, the last one first, and wait for them."""
        for child in reversed(self._children):
            self._end([child])
        with suppress(OSError):
            (self._folder / LIST_NAME).unlink(missing_ok=True)

    # --- one child --------------------------------------------------------------------------------

    def _spawn(self, child: _Child, environment: Mapping[str, str]) -> None:
        path = self.log_of(child.program.name)
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        with path.open("ab") as log:
            child.process = subprocess.Popen(
                child.program.command,
                cwd=self._working_folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A session of its own: Ctrl-C in the terminal reaches only this process, which
                # stops the programs in order.
                start_new_session=True,
            )
        child.started_at = monotonic()
        child.restart_at = 0.0
        try:
            self._write_list()
        except OSError as error:
            self.report_problem("the list of processes", f"{error.filename}: {error.strerror}")
        else:
            self.report_problem("the list of processes", None)

    def _notice_exit(self, child: _Child) -> None:
        status = child.process.poll() if child.process is not None else None
        if child.process is None or status is None:
            return
        is_quick = monotonic() - child.started_at < STABLE_SECONDS
        child.quick_failures = child.quick_failures + 1 if is_quick else 0
        pause = min(LONGEST_PAUSE_SECONDS, 2.0**child.quick_failures - 1)
        if not self._problems:
            when = f"in {pause:g} s" if pause else "now"
            self._say(f"{child.program.name} {_describe_exit(status)}; restarting {when}")
        # Its own processes would outlive this supervisor, which knows them only by this group.
        _end_group(child.process.pid)
        child.process = None
        child.restart_at = monotonic() + pause

    def _restart_due(self) -> None:
        """Start the programs whose pause is over; wait if their environment is not available."""
        due = [
            child
            for child in self._children
            if child.process is None and monotonic() >= child.restart_at
        ]
        if not due or self._stopping.is_set():
            return
        try:
            environment = self._environment()
            for child in due:
                child.restarts += 1
                self._spawn(child, environment)
        except (DripError, OSError) as error:
            self.report_problem("starting programs", str(error))
            for child in due:
                if child.process is None:
                    child.restart_at = monotonic() + ENVIRONMENT_PAUSE_SECONDS
        else:
            self.report_problem("starting programs", None)

    def _raise_if_ended(self, child: _Child, deadline: float) -> None:
        name, process = child.program.name, child.process
        status = process.poll() if process is not None else None
        if status is None and monotonic() < deadline:
            return
        problem = "does not respond" if status is None else _describe_exit(status)
        raise DripError(f"{name} {problem}", hint=f"See its log, {self.log_of(name)}.")

    def _end(self, children: Sequence[_Child]) -> None:
        running = [child.process for child in children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = monotonic() + STOP_SECONDS
        for process in running:
            try:
                process.wait(max(0.1, deadline - monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _end_group(process.pid)
        for child in children:
            child.process = None

    def _write_list(self) -> None:
        entries = []
        for child in self._children:
            if child.process is not None:
                try:
                    born = psutil.Process(child.process.pid).create_time()
                except psutil.Error:
                    continue
                entries.append({"pid": child.process.pid, "born": born})
        path = self._folder / LIST_NAME
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(entries), encoding="ascii")
        temporary.replace(path)


def end_leftovers(folder: Path, say: Callable[[str], None]) -> None:
    """End the processes that a killed supervisor of this folder left running."""
    try:
        entries = json.loads((folder / LIST_NAME).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return
    for entry in entries:
        try:
            process = psutil.Process(entry["pid"])
            if process.create_time() != entry["born"]:
                continue  # the system has reused the process id
            say(f"stopping process {entry['pid']} of an earlier `drip up`")
            process.terminate()
            process.wait(STOP_SECONDS)
        except psutil.NoSuchProcess:
            continue
        except psutil.TimeoutExpired:
            process.kill()


def _describe_exit(status: int) -> str:
    if status >= 0:
        return f"ended with exit code {status}"
    return f"was killed ({signal.Signals(-status).name})"


def _end_group(leader: int) -> None:
    """End the remaining processes of a group, for example run workers of a code server."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = monotonic() + STOP_SECONDS / 2
        try:
            os.killpg(leader, number)
            while monotonic() < deadline:
                os.killpg(leader, 0)
                threading.Event().wait(0.1)
        except (ProcessLookupError, PermissionError):
            return
