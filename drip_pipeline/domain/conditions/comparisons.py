"""Compare one value of a contact with one value of a condition: equality, order, containment.

A comparison with a missing value, or of two values without a common order, is false and never an
error. conditions.py reads the values.
"""

from __future__ import annotations

import operator as operators
import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypeGuard

Test = Callable[[object], bool]
Scalar = str | int | float | bool

# No exponents, no leading zeros, bounded length: "1e5" and "01234" are codes, not numbers, and
# converting a text of a million digits takes too long.
_NUMBER: Final = re.compile(r"\s*([+-]?(?:0|[1-9]\d{0,29}))(\.\d{1,30})?\s*", re.ASCII)


class Operator(StrEnum):
    """The comparisons of the specification."""

    EQ = "=="
    NE = "!="
    GT = ">"
    LT = "<"
    GE = ">="
    LE = "<="
    CONTAINS = "contains"
    IN = "in"


_ORDER: Final[dict[Operator, Callable[[Any, Any], bool]]] = {
    Operator.GT: operators.gt,
    Operator.LT: operators.lt,
    Operator.GE: operators.ge,
    Operator.LE: operators.le,
}


def value_test(operator: Operator, expected: Scalar | Sequence[Scalar]) -> Test:
    """Return the predicate `actual <operator> expected` of a contact's value; None is always false.

    Numbers written as text are compared as numbers if both sides are numeric. Text is compared
    case-sensitively. Dates and times of the database are compared with ISO texts; a text without a
    time of day means the whole day (UTC). Other types support equality only. `contains` tests for
    a substring of a text or a member of a list. `in` needs a list as `expected`; if the contact's
    value is a list, one common member is enough.

    Raises ValueError if `expected` does not suit the operator.
    """
    if operator is Operator.IN:
        return _is_in(_as_list(expected))
    if isinstance(expected, (list, tuple)):
        raise ValueError(f"operator {operator.value!r} compares with one value, not with a list")
    assert isinstance(expected, (str, int, float))
    if operator is Operator.EQ:
        return _equals(expected)
    if operator is Operator.NE:
        equals = _equals(expected)
        return lambda actual: actual is not None and not equals(actual)
    if operator is Operator.CONTAINS:
        return _contains(expected)
    return _ordered(_ORDER[operator], expected)


def as_number(value: Any) -> int | float | None:
    """Return the finite number that `value` is or contains as text, else None (also for bools)."""
    kind = type(value)
    if kind is int:
        return int(value)
    if kind is str:
        match = _NUMBER.fullmatch(value)
        if match is None:
            return None
        return float(value) if match[2] else int(match[1])
    if kind is float or kind is Decimal:
        number = float(value)
        return number if abs(number) < float("inf") else None
    return None


def as_instant(text: str) -> datetime | date | None:
    """Return the date or UTC time of an ISO text, None for other texts; UTC is the default zone."""
    try:
        if len(text) == 10:
            return date.fromisoformat(text)
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _as_list(expected: Scalar | Sequence[Scalar]) -> list[Scalar]:
    if isinstance(expected, (list, tuple)):
        return list(expected)
    raise ValueError("operator 'in' compares with a list of values")


def _is_collection(actual: object) -> TypeGuard[Collection[object]]:
    return isinstance(actual, (list, tuple, set, frozenset))


def _equals(expected: Scalar) -> Test:
    if isinstance(expected, bool):
        spelling = "true" if expected else "false"
        return lambda actual: (
            actual is expected or (type(actual) is str and actual.strip().lower() == spelling)
        )
    number = as_number(expected)
    text = str(expected)
    instant = as_instant(text) if isinstance(expected, str) else None

    def equals(actual: object) -> bool:
        if type(actual) is str:
            return actual == text or (number is not None and as_number(actual) == number)
        if actual is None or isinstance(actual, (dict, list, tuple, set, frozenset)):
            return False
        if isinstance(actual, bool):
            return text.strip().lower() == ("true" if actual else "false")
        if isinstance(actual, date):
            return instant is not None and _same_kind(actual, instant, operators.eq)
        number_of_actual = as_number(actual)
        if number_of_actual is not None:
            return number_of_actual == number
        return str(actual) == text

    return equals


def _ordered(compare: Callable[[Any, Any], bool], expected: Scalar) -> Test:
    if isinstance(expected, bool):
        return lambda actual: False
    number = as_number(expected)
    text = expected if isinstance(expected, str) else None
    instant = as_instant(text) if text is not None else None

    def ordered(actual: object) -> bool:
        if number is not None:
            number_of_actual = as_number(actual)
            if number_of_actual is not None:
                return compare(number_of_actual, number)
        if text is None:
            return False
        if type(actual) is str:
            return compare(actual, text)
        if isinstance(actual, date):
            return instant is not None and _same_kind(actual, instant, compare)
        return False

    return ordered


def _same_kind(actual: date, expected: date, compare: Callable[[Any, Any], bool]) -> bool:
    """Compare two dates or two times; as days (UTC) if one of them is a date."""
    left, right = _in_utc(actual), _in_utc(expected)
    if not (isinstance(left, datetime) and isinstance(right, datetime)):
        left = left.date() if isinstance(left, datetime) else left
        right = right.date() if isinstance(right, datetime) else right
    return compare(left, right)


def _in_utc(value: date) -> date:
    if not isinstance(value, datetime):
        return value
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def _contains(expected: Scalar) -> Test:
    equals = _equals(expected)
    text = str(expected)

    def contains(actual: object) -> bool:
        if type(actual) is str:
            return text in actual
        return _is_collection(actual) and any(equals(member) for member in actual)

    return contains


def _is_in(expected: list[Scalar]) -> Test:
    # Plain texts are looked up in a set: a list of a thousand email domains is common.
    texts = frozenset(value for value in expected if type(value) is str)
    tests = [_equals(value) for value in expected]
    tests_of_text = [
        _equals(value)
        for value in expected
        if type(value) is not str or as_number(value) is not None
    ]

    def is_in(actual: object) -> bool:
        if actual is None:
            return False
        if type(actual) is str:
            return actual in texts or any(test(actual) for test in tests_of_text)
        if _is_collection(actual):
            return any(is_in(member) for member in actual if not _is_collection(member))
        return any(test(actual) for test in tests)

    return is_in
