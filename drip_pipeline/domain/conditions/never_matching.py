"""Find conditions that can never match, whatever the contacts are, and say what to write instead.

The rules of comparison are in comparisons.py; these warnings follow from them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from drip_pipeline.domain.conditions.comparisons import ORDER, Operator, Scalar, as_number
from drip_pipeline.domain.conditions.conditions import Condition, ConditionType
from drip_pipeline.domain.conditions.field_names import field_name
from drip_pipeline.domain.conditions.relative_days import RelativeDay, depends_on_day

_TIMES: Final = frozenset({"created_at", "updated_at", "last_interaction"})
_NUMBERS: Final = frozenset({"ai_score", "lead_score"})
_HIGHEST_SCORE: Final = 100
_RELATIVE: Final = re.compile(
    r"\s*(now|today|yesterday|tomorrow"
    r"|[+-]?\s*\d+\s*(minute|hour|day|week|month|year)s?(\s+ago)?)\s*",
    re.IGNORECASE,
)
_LIKE_A_DATE: Final = re.compile(
    r"\s*(\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{4})\b.*"
)
_ISO: Final = (
    "write an ISO date such as 2026-01-28, a time such as 2026-01-28T09:00:00Z, today,"
    " {days_ago: 7} or {days_ahead: 3}"
)


def never_matching(condition: Condition, *, of_properties: bool = False) -> Iterator[str]:
    """Yield a sentence for each part of the condition that no contact can match, or no event if
    the condition is one of properties."""
    if condition.type is ConditionType.COMPOSITE:
        for part in condition.sub_conditions or ():
            yield from never_matching(part, of_properties=of_properties)
        return
    if condition.operator is None or condition.value is None:
        return
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    if condition.type is ConditionType.SCORE:
        reasons = [_score(condition.operator, value) for value in values]
        what = "score"
    elif condition.type is ConditionType.FIELD:
        what = condition.field or "" if of_properties else field_name(condition.field or "")
        name = "" if of_properties else what  # a property may have the name of a contact's column
        reasons = [_field(name, condition.operator, value) for value in values]
    else:
        return
    reason = next((reason for reason in reasons if reason), None)
    if reason is not None and all(reasons):
        shown = repr(values[0]) if len(values) == 1 else "the list"
        yield f"{what} {condition.operator.value} {shown} can never match{reason}"


def _field(name: str, operator: Operator, value: Scalar | RelativeDay) -> str | None:
    is_text = isinstance(value, str)
    if isinstance(value, str):
        if not value.strip():
            return ": an empty value equals nothing; use the operator 'is empty' or 'is not empty'"
        if "{{" in value or "{%" in value:
            return ": the values of conditions are no templates"
    if name in _TIMES:
        if operator is Operator.CONTAINS:
            return ": a time contains nothing; compare it with <, > or =="
        if not depends_on_day(value):
            return f": {name} is a time, and the value is none; {_ISO}"
        return None
    if name in _NUMBERS:
        if operator is Operator.CONTAINS:
            return ": a score is a number and contains nothing"
        return _score(operator, value)
    if operator in ORDER:
        if isinstance(value, bool):
            return ": true and false have no order; compare with =="
        if isinstance(value, str) and _is_no_date(value):
            return f" as a date, because it is compared as a text; {_ISO}"
    if name == "tags" and not is_text and operator is not Operator.NE:
        return ": tags are texts"
    return None


def _is_no_date(text: str) -> bool:
    """Return whether a text is meant as a date and is compared as a text."""
    if depends_on_day(text) or as_number(text) is not None:
        return False
    return bool(_RELATIVE.fullmatch(text) or _LIKE_A_DATE.fullmatch(text))


def _score(operator: Operator, value: object) -> str | None:
    number = as_number(value)
    if number is None:
        return ": a score is a number from 0 to 100"
    outside = {
        Operator.GT: number >= _HIGHEST_SCORE,
        Operator.GE: number > _HIGHEST_SCORE,
        Operator.LT: number <= 0,
        Operator.LE: number < 0,
        Operator.EQ: not 0 <= number <= _HIGHEST_SCORE,
        Operator.IN: not 0 <= number <= _HIGHEST_SCORE,
    }
    return ": a score is from 0 to 100" if outside.get(operator, False) else None
