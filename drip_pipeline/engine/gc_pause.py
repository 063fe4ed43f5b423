"""Python's cyclic collector, put off to the end of a batch. A batch makes some hundred thousand
objects that all live until it ends and form no cycles; looking through them again and again took
30 % of the engine's time in Python. It goes around a whole call, whose objects are gone when it
ends: the first look after it goes through all that is still there.
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
    """The collector is off inside, in all threads, and back on when the last one leaves."""
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
