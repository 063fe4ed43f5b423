"""A small supervisor: starts programs one after the other, starts each again when it dies, stops
them all. What the programs are, it is told.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import IO, Final

import psutil

from drip_pipeline.errors import DripError

LIST_NAME: Final = "processes.json"
LOOK_SECONDS: Final = 0.5
STOP_SECONDS: Final = 20.0
LOG_BYTES: Final = 10_000_000
# A program that dies sooner than this after its start has not recovered: the next try waits longer.
SETTLED_SECONDS: Final = 30.0
LONGEST_PAUSE_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Program:
    """A program to keep running. `is_ready` tells when the next one may be started."""

    name: str
    command: Sequence[str]
    is_ready: Callable[[], bool]


@dataclass
class _Child:
    program: Program
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_again_at: float = 0.0
    quick_deaths: int = 0
    restarts: int = 0
    log: IO[bytes] | None = field(default=None, repr=False)


class Supervisor:
    """Keeps programs running until it is told to stop.

    `folder` takes their output (`<name>.log`) and the list of their process ids, by which the next
    supervisor finds what a killed one left behind. `environment` is asked at every start.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        folder: Path,
        working_folder: Path,
        environment: Callable[[], Mapping[str, str]],
        say: Callable[[str], None],
    ) -> None:
        self._children = [_Child(program) for program in programs]
        self._folder = folder
        self._working_folder = working_folder
        self._environment = environment
        self._say = say
        self._stopping = threading.Event()

    @property
    def restarts(self) -> dict[str, int]:
        """How often each program was started again."""
        return {child.program.name: child.restarts for child in self._children}

    def log_of(self, name: str) -> Path:
        """Where a program's output goes."""
        return self._folder / f"{name}.log"

    def stop(self) -> None:
        """End `run` soon; safe to call from a signal handler."""
        self._stopping.set()

    def start(self, *, timeout_seconds: float) -> bool:
        """Start all, each when the one before is ready; False when told to stop meanwhile. Raises
        DripError naming the program that does not come up.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        for child in self._children:
            self._spawn(child)
            deadline = monotonic() + timeout_seconds
            while not child.program.is_ready():
                if self._stopping.wait(LOOK_SECONDS):
                    return False
                self._fail_if_gone(child, deadline)
        return True

    def run(self, *, each_round: Callable[[], None] = lambda: None) -> None:
        """Look after them until `stop`; `each_round` is called at every look."""
        while not self._stopping.wait(LOOK_SECONDS):
            each_round()
            for child in self._children:
                self._look_after(child)

    def restart_all(self, reason: str) -> None:
        """Start all again, with the environment as it is now."""
        self._say(f"{reason}; starting everything again")
        self._end([child for child in self._children if child.process is not None])
        for child in self._children:
            child.restarts += 1
            self._spawn(child)

    def end(self) -> None:
        """Stop them all, the last one first, and wait for them."""
        for child in reversed(self._children):
            self._end([child])
        (self._folder / LIST_NAME).unlink(missing_ok=True)

    # --- one child --------------------------------------------------------------------------------

    def _spawn(self, child: _Child) -> None:
        path = self.log_of(child.program.name)
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        with path.open("ab") as log:
            child.process = subprocess.Popen(
                child.program.command,
                cwd=self._working_folder,
                env={**os.environ, **self._environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A group of its own: Ctrl-C in the terminal reaches us alone, and we stop them in
                # order.
                start_new_session=True,
            )
        child.started_at = monotonic()
        child.start_again_at = 0.0
        self._remember()

    def _look_after(self, child: _Child) -> None:
        if child.process is None:
            if monotonic() >= child.start_again_at:
                child.restarts += 1
                self._spawn(child)
            return
        status = child.process.poll()
        if status is None:
            return
        is_quick = monotonic() - child.started_at < SETTLED_SECONDS
        child.quick_deaths = child.quick_deaths + 1 if is_quick else 0
        pause = min(LONGEST_PAUSE_SECONDS, 2.0**child.quick_deaths - 1)
        when = f"in {pause:g} s" if pause else "now"
        self._say(f"{child.program.name} {_ended(status)}; starting it again {when}")
        child.process = None
        child.start_again_at = monotonic() + pause

    def _fail_if_gone(self, child: _Child, deadline: float) -> None:
        name, process = child.program.name, child.process
        status = process.poll() if process is not None else None
        if status is None and monotonic() < deadline:
            return
        what = "does not answer" if status is None else _ended(status)
        raise DripError(f"{name} {what}", hint=f"Its log is {self.log_of(name)}; it may say why.")

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

    def _remember(self) -> None:
        listed = []
        for child in self._children:
            if child.process is not None:
                try:
                    born = psutil.Process(child.process.pid).create_time()
                except psutil.Error:
                    continue
                listed.append({"pid": child.process.pid, "born": born})
        path = self._folder / LIST_NAME
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(listed), encoding="ascii")
        draft.replace(path)


def end_leftovers(folder: Path, say: Callable[[str], None]) -> None:
    """End what an earlier supervisor of this folder left running when it was killed."""
    try:
        listed = json.loads((folder / LIST_NAME).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return
    for entry in listed:
        try:
            process = psutil.Process(entry["pid"])
            if process.create_time() != entry["born"]:
                continue  # the number was given to a stranger since
            say(f"ending process {entry['pid']}, which an earlier `drip up` left behind")
            process.terminate()
            process.wait(STOP_SECONDS)
        except psutil.NoSuchProcess:
            continue
        except psutil.TimeoutExpired:
            process.kill()


def _ended(status: int) -> str:
    if status >= 0:
        return f"ended with exit code {status}"
    return f"was killed ({signal.Signals(-status).name})"


def _end_group(leader: int) -> None:
    """End what the leader left in its group: run workers of a code server."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = monotonic() + STOP_SECONDS / 2
        try:
            os.killpg(leader, number)
            while monotonic() < deadline:
                os.killpg(leader, 0)
                threading.Event().wait(0.1)
        except (ProcessLookupError, PermissionError):
            return
