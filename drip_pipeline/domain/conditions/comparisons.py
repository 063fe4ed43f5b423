"""Compare two values of unknown types: equality, order, containment, emptiness.

The only rules of comparison: conditions, selections of contacts and templates all use them. A
comparison with a missing value, or of two values without a common meaning, is false and never an
error. conditions.py reads the values.
"""

from __future__ import annotations

import operator as operators
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeGuard

Test = Callable[[object], bool]
Scalar = str | int | float | bool

# No exponents, no leading zeros, bounded length: "1e5" and "01234" are codes, not numbers, and
# converting a text of a million digits takes too long.
_NUMBER: Final = re.compile(r"\s*([+-]?(?:0|[1-9]\d{0,29}))(\.\d{1,30})?\s*", re.ASCII)
_DATE_LENGTH: Final = 10
_LONGEST_TIME: Final = 40
_BOOLEANS: Final = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


class Operator(StrEnum):
    """The comparisons of the specification, and whether there is a value."""

    EQ = "=="
    NE = "!="
    GT = ">"
    LT = "<"
    GE = ">="
    LE = "<="
    CONTAINS = "contains"
    IN = "in"
    IS_EMPTY = "is empty"
    IS_NOT_EMPTY = "is not empty"


COMPARISONS: Final = frozenset(Operator) - {Operator.IS_EMPTY, Operator.IS_NOT_EMPTY}
"""The operators that need a value to compare with."""
ORDER: Final[Mapping[Operator, Callable[[Any, Any], bool]]] = {
    Operator.GT: operators.gt,
    Operator.LT: operators.lt,
    Operator.GE: operators.ge,
    Operator.LE: operators.le,
}


class Operand(NamedTuple):
    """A value and what it means: the number, boolean and instant it is or contains as text."""

    value: object
    is_text: bool
    number: int | float | None
    boolean: bool | None
    instant: date | None


def operand(value: object) -> Operand:
    """Read a value once, for many comparisons with it."""
    is_text = isinstance(value, str)
    instant: date | None = None
    if isinstance(value, str):
        instant = as_instant(value)
    elif isinstance(value, date):
        instant = value
    return Operand(value, is_text, as_number(value), as_boolean(value), instant)


def value_test(
    operator: Operator, expected: Scalar | date | Sequence[Scalar] | None, zone: tzinfo = UTC
) -> Test:
    """Return the predicate `actual <operator> expected` of a contact's value.

    A text is a number where the other side is one; two texts are compared as numbers only for
    order, so that the codes `1.1` and `1.10` differ. ISO texts and the database's times are
    instants; without a time of day they mean the whole day, in `zone`. The texts true, yes and on
    and the number 1 are true, in any case. In lists `==`, `contains` and `in` look for a member,
    and `!=` says that there is none; with a list as `expected`, `==` and `!=` compare all members
    in their order. A text of white space is as empty as a missing value.

    `in` needs a list as `expected`; the operators of emptiness ignore it. Raises ValueError if
    `expected` does not suit the operator.
    """
    if operator is Operator.IS_EMPTY:
        return is_empty
    if operator is Operator.IS_NOT_EMPTY:
        return lambda actual: not is_empty(actual)
    if operator is Operator.IN:
        return _is_in(_as_list(expected), zone)
    if isinstance(expected, (list, tuple)):
        if operator not in (Operator.EQ, Operator.NE):
            raise ValueError(f"operator {operator.value!r} compares with one value, not a list")
        members = [operand(member) for member in expected]
        is_equal = operator is Operator.EQ
        return lambda actual: _equals_list(actual, members, zone) is is_equal
    right = operand(expected)
    if operator is Operator.EQ:
        return lambda actual: equal(actual, right, zone) is True
    if operator is Operator.NE:
        return lambda actual: equal(actual, right, zone) is False
    if operator is Operator.CONTAINS:
        return lambda actual: contains(actual, right, zone)
    compare = ORDER[operator]
    return lambda actual: ordered(compare, actual, right, zone)


def equal(actual: object, right: Operand, zone: tzinfo = UTC) -> bool | None:
    """Return whether the values are equal, None if they cannot be compared; days are those of
    `zone`."""
    if isinstance(actual, str):
        return _text_equals(actual, right, zone)
    if actual is None or isinstance(actual, Mapping):
        return None
    if _is_collection(actual):
        return any(not _is_collection(m) and equal(m, right, zone) is True for m in actual)
    if type(actual) is bool or type(right.value) is bool:
        boolean = as_boolean(actual)
        return boolean is not None and boolean is right.boolean
    if isinstance(actual, date):
        return (
            None if right.instant is None else _same_kind(operators.eq, actual, right.instant, zone)
        )
    number = as_number(actual)
    return number is not None and number == right.number


def _equals_list(actual: object, members: Sequence[Operand], zone: tzinfo) -> bool | None:
    """Return whether a list has these members in this order (a set: in any), None for no list."""
    if not _is_collection(actual):
        return None
    if len(actual) != len(members):
        return False
    if isinstance(actual, (set, frozenset)):
        return all(any(equal(own, m, zone) is True for own in actual) for m in members)
    return all(equal(own, m, zone) is True for own, m in zip(actual, members, strict=True))


def _text_equals(actual: str, right: Operand, zone: tzinfo) -> bool | None:
    if not actual or actual.isspace():
        return None
    if right.is_text:
        if actual == right.value:
            return True
        if right.instant is None:
            return False
        instant = as_instant(actual)
        return instant is not None and _same_kind(operators.eq, instant, right.instant, zone)
    if type(right.value) is bool:
        return as_boolean(actual) is right.value
    if right.instant is not None:
        instant = as_instant(actual)
        return None if instant is None else _same_kind(operators.eq, instant, right.instant, zone)
    return right.number is not None and as_number(actual) == right.number


def ordered(
    compare: Callable[[Any, Any], bool], actual: object, right: Operand, zone: tzinfo = UTC
) -> bool:
    """Return `compare(actual, right)` of two numbers, two instants or two texts, else False; days
    are those of `zone`."""
    if actual is None or type(actual) is bool or type(right.value) is bool:
        return False
    if right.number is not None:
        number = as_number(actual)
        return number is not None and compare(number, right.number)
    if right.instant is not None:
        instant = as_instant(actual) if isinstance(actual, str) else actual
        return isinstance(instant, date) and _same_kind(compare, instant, right.instant, zone)
    return (
        right.is_text
        and isinstance(actual, str)
        and not actual.isspace()
        and actual != ""
        and compare(actual, right.value)
    )


def contains(actual: object, right: Operand, zone: tzinfo = UTC) -> bool:
    """Return whether a text contains the other one, or a list has an equal member."""
    if isinstance(actual, str):
        return str(right.value) in actual
    return _is_collection(actual) and equal(actual, right, zone) is True


def is_empty(actual: object) -> bool:
    """Return whether there is no value: missing, white space, or no member."""
    if actual is None:
        return True
    if isinstance(actual, str):
        return not actual or actual.isspace()
    return isinstance(actual, Collection) and not actual


def as_number(value: Any) -> int | float | None:
    """Return the finite number that `value` is or contains as text, else None (also for bools)."""
    kind = type(value)
    if kind is int:
        return int(value)
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value)
        if match is None:
            return None
        return float(value) if match[2] else int(match[1])
    if kind is float or kind is Decimal:
        number = float(value)
        return number if abs(number) < float("inf") else None
    return None


def as_boolean(value: object) -> bool | None:
    """Return the boolean that `value` is, or that it says as a text or as 1 and 0; else None."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _BOOLEANS.get(value.strip().lower())
    if isinstance(value, (int, float, Decimal)):
        return bool(value) if value in (0, 1) else None
    return None


def as_instant(text: str) -> datetime | date | None:
    """Return the date or the time of an ISO text, None for other texts; UTC is the default zone."""
    text = text.strip()
    if not (text[4:5] == "-" == text[7:8] and len(text) <= _LONGEST_TIME and text.isascii()):
        return None
    return _as_instant(text)


@lru_cache(maxsize=4096)
def _as_instant(text: str) -> datetime | date | None:
    try:
        if len(text) == _DATE_LENGTH:
            return date.fromisoformat(text)
        instant = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _same_kind(compare: Callable[[Any, Any], bool], left: date, right: date, zone: tzinfo) -> bool:
    """Compare two dates or two times; as days in `zone` if one of them is a date."""
    if isinstance(left, datetime) and isinstance(right, datetime):
        return compare(_aware(left), _aware(right))
    return compare(day_of(left, zone), day_of(right, zone))


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def day_of(value: date, zone: tzinfo) -> date:
    """Return the day of an instant in a time zone."""
    if not isinstance(value, datetime):
        return value
    try:
        return _aware(value).astimezone(zone).date()
    except OverflowError:  # the first or last day that a date can have
        return value.date()


def _as_list(expected: object) -> list[Scalar]:
    if isinstance(expected, (list, tuple)):
        return list(expected)
    raise ValueError("operator 'in' compares with a list of values")


def _is_collection(actual: object) -> TypeGuard[Collection[object]]:
    return isinstance(actual, (list, tuple, set, frozenset))


def _is_in(expected: list[Scalar], zone: tzinfo) -> Test:
    # Plain texts are looked up in a set: a list of a thousand email domains is common.
    texts = frozenset(value for value in expected if type(value) is str)
    members = [operand(value) for value in expected]
    others = [m for m in members if not m.is_text or m.instant is not None]

    def is_in(actual: object) -> bool:
        if type(actual) is str:
            if actual in texts:
                return not actual.isspace() and actual != ""
            return any(equal(actual, member, zone) is True for member in others)
        if _is_collection(actual):
            return any(is_in(member) for member in actual if not _is_collection(member))
        return any(equal(actual, member, zone) is True for member in members)

    return is_in
