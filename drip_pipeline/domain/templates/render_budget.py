"""The budget of a message's templates: processor time, and the sizes of texts, lists and numbers.

Liquid itself limits loops and output only, so that one filter or one range could take all memory.
liquid_environments.py applies these limits to every node, expression and filter.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping
from threading import local
from time import thread_time
from typing import Any, Final

from drip_pipeline.errors import TemplateBudgetExceeded

RENDER_SECONDS: Final = 0.25
MAX_TEXT: Final = 1_000_000
"""Characters of a value, and bytes of all texts of a message."""
MAX_ITEMS: Final = 10_000
"""Members of a list, and numbers of a range."""
_MAX_INTEGER_BITS: Final = 4_096
_MAX_HTML: Final = 100_000
_MAX_INDENT: Final = 16
_MAX_DIRECTIVES: Final = 100
_NODES_PER_CHECK: Final = 16


class _CollectionTime(local):
    """The seconds that the garbage collector took of this thread."""

    seconds = 0.0
    started = 0.0


_collections: Final = _CollectionTime()


def _measure_collection(phase: str, _info: object) -> None:
    if phase == "start":
        _collections.started = thread_time()
    else:
        _collections.seconds += thread_time() - _collections.started


# A full collection of a large process takes longer than the budget, and runs in any thread.
gc.callbacks.append(_measure_collection)


def _rendering_time() -> float:
    return thread_time() - _collections.seconds


class RenderBudget:
    """What is left for the texts of one message. `has_unreadable_dates`: a value of the filter
    `date` was no date and stayed as it is."""

    __slots__ = ("_deadline", "_until_check", "has_unreadable_dates")

    def __init__(self, seconds: float = RENDER_SECONDS) -> None:
        """The time is that of the thread's processor, without the garbage collector's: neither a
        busy machine nor a large process takes any of it."""
        self._deadline = _rendering_time() + seconds
        self._until_check = _NODES_PER_CHECK
        self.has_unreadable_dates = False

    def visit(self) -> None:
        """Count a node. Raises TemplateBudgetExceeded when the time is used up."""
        self._until_check -= 1
        if not self._until_check:
            self.check()

    def check(self) -> None:
        """Raise TemplateBudgetExceeded when the time is used up."""
        self._until_check = _NODES_PER_CHECK
        if _rendering_time() > self._deadline:
            raise TemplateBudgetExceeded("rendering takes too much time")


def filter_within_limits(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the filter with limits on what it is given and on what it returns."""
    before = _BEFORE.get(name)

    def limited(value: Any, *args: Any, **kwargs: Any) -> Any:
        if before is not None:
            before(value, *args)
        result = function(value, *args, **kwargs)
        if type(result) is int:
            if result.bit_length() > _MAX_INTEGER_BITS:
                raise TemplateBudgetExceeded(f"{name}: the number is too long")
        elif result is not value:
            _measure(result, name)
        return result

    return limited


def limited_range(start: int, stop: int) -> range:
    """Return the range from `start` to `stop`, which is empty if it descends."""
    if stop - start >= MAX_ITEMS:
        raise TemplateBudgetExceeded(f"a range may have {MAX_ITEMS:,} numbers at most")
    return range(start, stop + 1)


def unique(values: Iterable[object]) -> list[object]:
    """Return the values without repetitions, in linear time if they can be hashed."""
    values = list(values)
    try:
        return list(dict.fromkeys(values))
    except TypeError:
        distinct: list[object] = []
        for value in values:
            if value not in distinct:
                distinct.append(value)
                if len(distinct) > MAX_ITEMS // 10:
                    raise TemplateBudgetExceeded("uniq: too many objects") from None
        return distinct


def _measure(value: object, name: str) -> None:
    """Raise TemplateBudgetExceeded for a value that would take too much memory as text."""
    total = 0
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            total += len(item)
        elif isinstance(item, Mapping):
            todo += item.values()
            total += len(item)
        elif isinstance(item, (list, tuple)):
            if len(item) > MAX_ITEMS:
                raise TemplateBudgetExceeded(f"{name}: a list may have {MAX_ITEMS:,} members")
            todo += item
            total += len(item)
        if total > MAX_TEXT or len(todo) > MAX_TEXT:
            raise TemplateBudgetExceeded(f"{name}: a value may have {MAX_TEXT:,} characters")


def _before_replace(value: object, search: object = "", new: object = "", *_: object) -> None:
    text, new_text = str(value), str(new)
    if len(text) + text.count(str(search)) * len(new_text) > MAX_TEXT:
        raise TemplateBudgetExceeded(f"replace: a value may have {MAX_TEXT:,} characters")


def _before_join(value: object, separator: object = " ", *_: object) -> None:
    if isinstance(value, (list, tuple, range)):
        _measure(value, "join")
        if len(value) * len(str(separator)) > MAX_TEXT:
            raise TemplateBudgetExceeded(f"join: a value may have {MAX_TEXT:,} characters")


def _before_strip_html(value: object, *_: object) -> None:
    # The parser takes quadratic time for some texts.
    if isinstance(value, str) and len(value) > _MAX_HTML:
        raise TemplateBudgetExceeded(f"strip_html: a value may have {_MAX_HTML:,} characters")


def _before_date(_value: object, pattern: object = "", *_: object) -> None:
    # A pattern such as %999999999Y pads with as many characters.
    parts = str(pattern).split("%")
    if len(parts) > _MAX_DIRECTIVES or any(p.lstrip("-_^0#")[:1].isdigit() for p in parts[1:]):
        raise TemplateBudgetExceeded("date: the pattern has a width or too many parts")


def _before_json(_value: object, indent: object = None, *_: object) -> None:
    if isinstance(indent, int) and indent > _MAX_INDENT:
        raise TemplateBudgetExceeded(f"json: the indent may be {_MAX_INDENT} at most")


_BEFORE: Final[Mapping[str, Callable[..., None]]] = {
    "replace": _before_replace,
    "join": _before_join,
    "strip_html": _before_strip_html,
    "date": _before_date,
    "json": _before_json,
}
