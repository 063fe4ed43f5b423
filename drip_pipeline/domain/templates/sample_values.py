"""Made-up values for the variables of templates, and the values that lead into their branches.

For previews without contacts, and for branches that no contact reaches. Values are found in the
comparisons of the templates, otherwise by the name of the variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.expressions.logical import (
    BooleanExpression,
    ContainsExpression,
    EqExpression,
    GeExpression,
    GtExpression,
    LeExpression,
    LogicalAndExpression,
    LogicalNotExpression,
    LogicalOrExpression,
    LtExpression,
    NeExpression,
)
from liquid.builtin.expressions.primitive import (
    Blank,
    Empty,
    FalseLiteral,
    FloatLiteral,
    IntegerLiteral,
    Nil,
    StringLiteral,
    TrueLiteral,
)
from liquid.builtin.tags.case_tag import _AnyExpression
from liquid.expression import Expression

from drip_pipeline.domain.templates.traced_templates import TextBranch, TracedTemplate

_NUMBER_FILTERS: Final = frozenset(
    {"abs", "at_least", "at_most", "ceil", "divided_by", "floor", "minus", "modulo", "plus",
     "round", "times"}
)  # fmt: skip
_LIST_FILTERS: Final = frozenset({"join", "first", "last", "sort", "map", "uniq", "where", "sum"})
_NUMBER_NAME: Final = re.compile(
    r"(^|_)(price|amount|total|count|score|quantity|qty|number|points|percent|days|age|sum)($|_)"
)
_DATE_NAME: Final = re.compile(r"(^|_)(date|at|on|until|since|day|birthday|deadline)$")
_LINK_NAME: Final = re.compile(r"(^|_)(url|link|href|image|photo)($|_)")
_SAMPLE_DATE: Final = "2026-03-31"
_LONG_WORD: Final = "Donaudampfschifffahrtsgesellschaft"
OTHER: Final = "something else"


def path_text(expression: object) -> str | None:
    """Return the dotted path that an expression reads, None for another expression."""
    if isinstance(expression, FilteredExpression):
        expression = expression.left
    if isinstance(expression, BooleanExpression):
        expression = expression.expression
    if not isinstance(expression, Path):
        return None
    segments = [segment for segment in expression.path if isinstance(segment, (str, int))]
    return ".".join(map(str, segments)) if len(segments) == len(expression.path) else None


def values_for(branch: TextBranch) -> dict[str, object]:
    """Return values by path that lead into a branch, as far as they can be derived."""
    values: dict[str, object] = {}
    for expression, is_needed in branch.conditions:
        values |= _values(expression, is_needed, values)
    return values


def _values(expression: object, holds: bool, so_far: Mapping[str, object]) -> dict[str, object]:
    if isinstance(expression, BooleanExpression):
        return _values(expression.expression, holds, so_far)
    if isinstance(expression, LogicalNotExpression):
        return _values(expression.right, not holds, so_far)
    if isinstance(expression, (LogicalAndExpression, LogicalOrExpression)):
        needs_both = isinstance(expression, LogicalAndExpression) == holds
        left = _values(expression.left, holds, so_far)
        return left | _values(expression.right, holds, {**so_far, **left}) if needs_both else left
    if isinstance(expression, _AnyExpression):
        return _chosen(expression, holds, so_far)
    path = path_text(expression)
    if path is not None:
        return _filled(path, holds, so_far)
    return _compared(expression, holds, so_far)


def _chosen(
    expression: _AnyExpression, holds: bool, so_far: Mapping[str, object]
) -> dict[str, object]:
    path = path_text(expression.left)
    literal, has_value = _literal(expression.expressions[0])
    if path is None or not has_value:
        return {}
    if holds:
        return {path: literal}
    return {} if so_far.get(path, literal) != literal else {path: OTHER}


def _filled(path: str, holds: bool, so_far: Mapping[str, object]) -> dict[str, object]:
    if holds:
        return {} if so_far.get(path) else {path: sample(path)}
    return {path: None}


def _compared(expression: object, holds: bool, so_far: Mapping[str, object]) -> dict[str, object]:
    if not isinstance(expression, tuple(_OPERATORS)):
        return {}
    left: Any = expression.left  # type: ignore[attr-defined]
    right: Any = expression.right  # type: ignore[attr-defined]
    path = path_text(left)
    operator = _OPERATORS[type(expression).__mro__[_depth(expression)]]
    literal, has_value = _literal(right)
    if path is None:
        path, (literal, has_value) = path_text(right), _literal(left)
        operator = _MIRRORED.get(operator, operator)
    if path is None or not has_value:
        return {}
    if operator == "contains":
        return (
            {path: [literal] if holds else []}
            if path == "tags"
            else {path: str(literal) if holds else None}
        )
    if not holds:
        operator = _NEGATED[operator]
    if operator == "==":
        return {path: literal}
    if operator == "!=":
        other = sample(path) if literal in (None, "") else OTHER
        return {} if so_far.get(path, literal) != literal else {path: other}
    step = {">": 1, ">=": 0, "<": -1, "<=": 0}[operator]
    number = _number(literal)
    return {} if number is None else {path: number + step}


def _depth(expression: object) -> int:
    return next(n for n, kind in enumerate(type(expression).__mro__) if kind in _OPERATORS)


_OPERATORS: Final[Mapping[type, str]] = {
    EqExpression: "==",
    NeExpression: "!=",
    GtExpression: ">",
    GeExpression: ">=",
    LtExpression: "<",
    LeExpression: "<=",
    ContainsExpression: "contains",
}
_NEGATED: Final = {"==": "!=", "!=": "==", ">": "<=", ">=": "<", "<": ">=", "<=": ">"}
_MIRRORED: Final = {">": "<", ">=": "<=", "<": ">", "<=": ">="}


def _literal(expression: object) -> tuple[object, bool]:
    if isinstance(expression, FilteredExpression) and not expression.filters:
        expression = expression.left
    if isinstance(expression, (StringLiteral, IntegerLiteral, FloatLiteral)):
        value = expression.value
        return (str(value) if isinstance(value, str) else value), True
    if isinstance(expression, TrueLiteral):
        return True, True
    if isinstance(expression, FalseLiteral):
        return False, True
    if isinstance(expression, Nil):
        return None, True
    if isinstance(expression, (Blank, Empty)):
        return "", True
    return None, False


def _number(value: object) -> int | float | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(str(value))
    except ValueError:
        return None
    return int(number) if number.is_integer() else number


def shapes(templates: Iterable[TracedTemplate]) -> dict[str, object]:
    """Return a sample value for every variable that the templates read, by path: numbers where a
    number is compared or computed, lists where a loop goes over them, else by the name."""
    samples: dict[str, object] = {}
    paths: set[str] = set()
    for template in templates:
        paths |= template.paths
        for expression in template.expressions:
            _add_use(samples, expression)
    for template in templates:
        for loop in template.loops:
            path = path_text(loop.expression.iterable)
            if path is not None:
                samples[path] = _items(loop.expression.identifier, template.expressions)
    for path in paths:
        samples.setdefault(path, sample(path))
    return {path: value for path, value in samples.items() if path in paths}


def _add_use(samples: dict[str, object], expression: Expression) -> None:
    if isinstance(expression, FilteredExpression) and expression.filters:
        path = path_text(expression.left)
        names = [filter_.name for filter_ in expression.filters]
        if path is not None and names[0] == "date":
            samples.setdefault(path, _SAMPLE_DATE)
        elif path is not None and names[0] in _NUMBER_FILTERS:
            samples.setdefault(path, 42)
        elif path is not None and names[0] in _LIST_FILTERS:
            samples.setdefault(path, [sample(path)])
    elif isinstance(expression, (GtExpression, GeExpression, LtExpression, LeExpression)):
        path, (literal, _) = path_text(expression.left), _literal(expression.right)
        number = _number(literal)
        if path is not None and number is not None:
            samples.setdefault(path, number + 1)


def _items(name: str, expressions: Iterable[Expression]) -> list[object]:
    """Return two items of a loop, with the fields that are read of them; the comparisons of the
    fields hold for the second only."""
    first: dict[str, object] = {}
    second: dict[str, object] = {}
    prefix = f"{name}."
    for expression in expressions:
        path = path_text(expression)
        if path is not None and path.startswith(prefix):
            field = path.removeprefix(prefix)
            value = f"sample {name}" if field in ("name", "title") else sample(field)
            first.setdefault(field, value)
            second.setdefault(field, value)
        elif isinstance(expression, tuple(_OPERATORS)):
            for values, holds in ((first, False), (second, True)):
                for read, value in _compared(expression, holds, {}).items():
                    if read.startswith(prefix):
                        values[read.removeprefix(prefix)] = value
    items: list[object] = []
    for values in (first, second):
        item: dict[str, Any] = {}
        for field, value in values.items():
            with_path(item, field, value)
        items.append(item)
    return items if first else [f"sample {name}", f"another {name}"]


def with_path(values: dict[str, Any], path: str, value: object) -> None:
    """Set the value at a dotted path of a JSON object, and create the objects on the way."""
    first, _, rest = path.partition(".")
    if not rest:
        is_structure = isinstance(values.get(first), (dict, list))
        if not is_structure or isinstance(value, (dict, list)):
            values[first] = value
    elif rest in ("size", "first", "last"):
        values.setdefault(first, [f"sample {first}"])
    else:
        inner = values.get(first)
        if not isinstance(inner, dict):
            inner = values[first] = {}
        with_path(inner, rest, value)


def sample(path: str, *, is_long: bool = False) -> object:
    """Return a made-up value for a variable by its name; `is_long`: as long as one gets."""
    name = path.rpartition(".")[2].lower()
    if name == "tags":
        return ["vip"]
    if name in _SAMPLES:
        return _SAMPLES[name][is_long]
    if _NUMBER_NAME.search(name):
        return 1234567.89 if is_long else 42
    if _DATE_NAME.search(name):
        return _SAMPLE_DATE
    if _LINK_NAME.search(name):
        return f"https://www.example.com/{name}" + ("/long-path" * 12 if is_long else "")
    words = name.replace("_", " ")
    return f"{words} {_LONG_WORD} <with & signs>" if is_long else f"sample {words}"


_SAMPLES: Final[Mapping[str, tuple[object, object]]] = {
    "name": ("Ann Archer", "Maximiliane-Alexandra Freifrau von Wolkenstein-Rodenegg"),
    "first_name": ("Ann", "Maximiliane-Alexandra"),
    "last_name": ("Archer", "Freifrau von Wolkenstein-Rodenegg"),
    "company": ("Archer Ltd", f"{_LONG_WORD} Müller & Söhne <Wien> GmbH & Co. KG"),
    "company_name": ("Archer Ltd", f"{_LONG_WORD} Müller & Söhne <Wien> GmbH & Co. KG"),
    "email": ("ann@example.com", "maximiliane-alexandra.von.wolkenstein@long.name.example.com"),
    "phone": ("+14155550123", "+14155550123"),
    "job_title": ("Buyer", "Deputy Head of International Procurement & Supplier Relations"),
    "status": ("active", "active"),
    "language": ("en", "en"),
    "ai_score": (50, 100),
    "lead_score": (50, 100),
}
