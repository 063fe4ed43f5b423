"""Processes that are killed with SIGKILL while they work. Nothing here asserts anything."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def kill_repeatedly(
    program: str, arguments: Sequence[str], *, kills: int, within: tuple[float, float], seed: int
) -> int:
    """Start `program` this many times and kill each process.

    The program is Python that prints `ready` when it begins (or at each step) and `done` at its
    end. It is killed at a random time within these seconds of its first line. Return how many
    processes were killed before they were done.
    """
    chance = random.Random(seed)
    interrupted = 0
    for _ in range(kills):
        worker = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert worker.stdout is not None
        first = worker.stdout.readline()
        time.sleep(chance.uniform(*within))
        worker.send_signal(signal.SIGKILL)
        interrupted += "done" not in first + worker.stdout.read()
        worker.wait()
        worker.stdout.close()
    return interrupted
