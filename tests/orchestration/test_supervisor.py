"""The supervisor: programs come up in order, come back when they die, and are gone at the end."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from drip_pipeline.cli.local.supervisor import Program, Supervisor, end_leftovers
from drip_pipeline.errors import DripError

SLEEPS = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]


class Bench:
    """A supervisor of some programs, and what it said."""

    def __init__(self, folder: Path, *programs: Program, **environment: str) -> None:
        self.said: list[str] = []
        self.folder = folder
        self.supervisor = Supervisor(
            programs,
            folder=folder,
            working_folder=folder,
            environment=lambda: environment,
            say=self.said.append,
        )

    def pids(self) -> list[int]:
        listed = json.loads((self.folder / "processes.json").read_text(encoding="ascii"))
        return [entry["pid"] for entry in listed]

    @contextmanager
    def running(self) -> Iterator[None]:
        end_leftovers(self.folder, self.said.append)
        assert self.supervisor.start(timeout_seconds=20)
        thread = threading.Thread(target=self.supervisor.run)
        thread.start()
        try:
            yield
        finally:
            self.supervisor.stop()
            thread.join()
            self.supervisor.end()


def always(name: str, command: list[str] = SLEEPS) -> Program:
    return Program(name, command, lambda: True)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_program_that_is_killed_comes_back(tmp_path):
    bench = Bench(tmp_path, always("first"), always("second"))
    with bench.running():
        first, second = bench.pids()
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: len(bench.pids()) == 2 and bench.pids()[0] != first)
        assert bench.pids()[1] == second
        assert bench.said == ["first was killed (SIGKILL); restarting in 1 s"]
        assert bench.supervisor.restarts == {"first": 1, "second": 0}


def test_at_the_end_no_process_is_left_not_even_a_child_of_one(tmp_path):
    parent = (
        "import subprocess, sys, time;"
        f"child = subprocess.Popen({SLEEPS!r});"
        "open('child', 'w').write(str(child.pid)); time.sleep(600)"
    )
    bench = Bench(tmp_path, always("parent", [sys.executable, "-S", "-c", parent]))
    with bench.running():
        wait_until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text())
        child, (pid,) = int((tmp_path / "child").read_text()), bench.pids()
    wait_until(lambda: not is_alive(child) and not is_alive(pid))
    assert not (tmp_path / "processes.json").exists()


def test_each_program_is_started_when_the_one_before_is_ready(tmp_path):
    writes = "import time; time.sleep(0.2); open('ready', 'w'); time.sleep(600)"
    looks = "import os; open('seen', 'w').write(str(os.path.exists('ready')))"
    bench = Bench(
        tmp_path,
        Program("first", [sys.executable, "-S", "-c", writes], (tmp_path / "ready").exists),
        always("second", [sys.executable, "-S", "-c", looks]),
    )
    with bench.running():
        wait_until(lambda: (tmp_path / "seen").exists() and (tmp_path / "seen").read_text() != "")
    assert (tmp_path / "seen").read_text() == "True"


def test_a_program_that_does_not_come_up_is_named_with_its_log(tmp_path):
    dies = Program("webserver", [sys.executable, "-S", "-c", "raise SystemExit(3)"], lambda: False)
    bench = Bench(tmp_path, dies)
    with pytest.raises(DripError, match="webserver ended with exit code 3") as caught:
        bench.supervisor.start(timeout_seconds=20)
    bench.supervisor.end()
    assert str(tmp_path / "webserver.log") in caught.value.hint


def test_output_goes_to_a_log_and_the_environment_comes_along(tmp_path):
    says = "import os; print(os.environ['GREETING'], flush=True)"
    bench = Bench(tmp_path, always("talker", [sys.executable, "-S", "-c", says]), GREETING="hello")
    with bench.running():
        wait_until(lambda: "hello" in bench.supervisor.log_of("talker").read_text())


def test_what_a_killed_supervisor_left_behind_is_ended_by_the_next(tmp_path):
    killed = Bench(tmp_path, always("daemon"))
    assert killed.supervisor.start(timeout_seconds=20)
    (orphan,) = killed.pids()
    successor = Bench(tmp_path, always("daemon"))
    with successor.running():
        assert not is_alive(orphan)
        assert successor.said == [f"stopping process {orphan} of an earlier `drip up`"]
    killed.supervisor.end()


def test_a_stranger_who_got_the_number_since_is_left_alone(tmp_path):
    (tmp_path / "processes.json").write_text(
        json.dumps([{"pid": os.getpid(), "born": 1.0}]), encoding="ascii"
    )
    bench = Bench(tmp_path, always("daemon"))
    with bench.running():
        assert bench.said == []


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
