"""Disable Python's cyclic garbage collector while a batch runs.

A batch creates some hundred thousand objects that live until it ends and form no cycles. Scanning
them repeatedly took 30 % of the engine's time in Python, a sixth of the time of reading a chunk of
events, and a third of the time of evaluating 5,000 tests.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_lock = Lock()
_inside = 0
_was_enabled = False


@contextmanager
def no_collection() -> Iterator[None]:
    """Disable the collector in all threads; the last thread that leaves enables it again.

    Wrap a whole call: its objects are then freed before the next collection.
    """
    global _inside, _was_enabled
    with _lock:
        if _inside == 0:
            _was_enabled = gc.isenabled()
            gc.disable()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _was_enabled:
                gc.enable()
