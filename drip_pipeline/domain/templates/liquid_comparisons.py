"""Comparisons in templates by the rules of conditions, so that no value makes one fail.

Liquid's own rules stay for nil, `blank`, `empty` and `!=`; conditions/comparisons.py has the rules
for numbers written as text, dates, booleans and lists.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from liquid import RenderContext
from liquid.builtin.expressions.logical import (
    ContainsExpression,
    EqExpression,
    GeExpression,
    GtExpression,
    LeExpression,
    LtExpression,
    NeExpression,
)
from liquid.builtin.expressions.logical import _eq as liquid_equal
from liquid.builtin.expressions.primitive import Blank, Empty, RangeLiteral
from liquid.builtin.tags.case_tag import _AnyExpression
from liquid.expression import Expression
from liquid.undefined import is_undefined

from drip_pipeline.domain.conditions.comparisons import as_number, contains, equal, operand, ordered
from drip_pipeline.domain.templates.render_budget import limited_range


def is_equal(left: object, right: object) -> bool:
    """Return whether two values of a template are equal."""
    if liquid_equal(left, right):
        return True
    if _has_no_value(left) or _has_no_value(right):
        return False
    if isinstance(right, (list, tuple, set, frozenset)):
        left, right = right, left
    return equal(left, operand(right)) is True


def _has_no_value(value: object) -> bool:
    return value is None or isinstance(value, (Blank, Empty)) or is_undefined(value)


def _is_contained(left: object, right: object) -> bool:
    if _has_no_value(left) or _has_no_value(right):
        return False
    if isinstance(left, range):
        number = as_number(right)
        return number is not None and number in left
    if isinstance(left, Mapping):
        return isinstance(right, (str, int)) and right in left
    return contains(left, operand(right))


def _ordered(compare: Callable[[Any, Any], bool], left: object, right: object) -> bool:
    if _has_no_value(left) or _has_no_value(right):
        return False
    return ordered(compare, left, operand(right))


class _Equal(EqExpression):
    __slots__ = ()

    def evaluate(self, context: RenderContext) -> bool:
        return is_equal(self.left.evaluate(context), self.right.evaluate(context))


class _Unequal(NeExpression):
    __slots__ = ()

    def evaluate(self, context: RenderContext) -> bool:
        return not is_equal(self.left.evaluate(context), self.right.evaluate(context))


class _Less(LtExpression):
    __slots__ = ()

    def evaluate(self, context: RenderContext) -> bool:
        return _ordered(operator.lt, self.left.evaluate(context), self.right.evaluate(context))


class _Greater(GtExpression):
    __slots__ = ()

    def evaluate(self, context: RenderContext) -> bool:
        return _ordered(operator.gt, self.left.evaluate(context), self.right.evaluate(context))


class _LessOrEqual(LeExpression):
    __slots__ = ()

    def evaluate(self, context: RenderContext) -> bool:
        return _ordered(operator.le, self.left.evaluate(context), self.right.evaluate(context))


class _GreaterOrEqual(GeExpression):
    __slots__ = ()

    def evaluate(self, context: RenderContext) -> bool:
        return _ordered(operator.ge, self.left.evaluate(context), self.right.evaluate(context))


class _Contains(ContainsExpression):
    __slots__ = ()

    def evaluate(self, context: RenderContext) -> bool:
        return _is_contained(self.left.evaluate(context), self.right.evaluate(context))


class _When(_AnyExpression):
    __slots__ = ()

    def evaluate(self, context: RenderContext) -> list[bool]:
        left = self.left.evaluate(context)
        return [is_equal(left, right.evaluate(context)) for right in self.expressions]


class _Range(RangeLiteral):
    __slots__ = ()

    def _make_range(self, start: object, stop: object) -> range:
        return limited_range(int(as_number(start) or 0), int(as_number(stop) or 0))


_REPLACEMENTS: Final[Mapping[type[Expression], type[Expression]]] = {
    EqExpression: _Equal,
    NeExpression: _Unequal,
    LtExpression: _Less,
    GtExpression: _Greater,
    LeExpression: _LessOrEqual,
    GeExpression: _GreaterOrEqual,
    ContainsExpression: _Contains,
    _AnyExpression: _When,
    RangeLiteral: _Range,
}


def replace_comparison(expression: Expression) -> None:
    """Make an expression compare by these rules. Liquid's parser has no place to choose them."""
    replacement = _REPLACEMENTS.get(type(expression))
    if replacement is not None:
        expression.__class__ = replacement
