"""The fast path of templates: join text and plain outputs without the Liquid interpreter.

The result equals Liquid's. Templates with tags, paths or filters other than `default` and `escape`
are rendered by Liquid.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Final

from liquid import BoundTemplate, Environment, Markup
from liquid import escape as escape_markup
from liquid.ast import Node
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.expressions.arguments import PositionalArgument
from liquid.builtin.expressions.filtered import Filter
from liquid.builtin.expressions.primitive import FloatLiteral, IntegerLiteral, StringLiteral
from liquid.builtin.output import OutputNode
from liquid.stringify import to_liquid_string

Render = Callable[[Mapping[str, object]], str]
_Convert = Callable[[object], str]

_DEFAULT: Final = "default"
_ESCAPE: Final = "escape"


def compile_segments(template: BoundTemplate) -> Render | None:
    """Return a render function with Liquid's result, or None if the template needs Liquid."""
    pieces: list[str] = []
    slots: list[tuple[int, str, _Convert]] = []
    for node in template.nodes:
        if isinstance(node, ContentNode):
            pieces.append(node.text)
            continue
        output = _plain_output(node, template.env)
        if output is None:
            return None
        slots.append((len(pieces), *output))
        pieces.append("")
    if not slots:
        text = "".join(pieces)
        return lambda context: text

    def render(context: Mapping[str, object]) -> str:
        filled = pieces.copy()
        for place, name, convert in slots:
            filled[place] = convert(context.get(name))
        return "".join(filled)

    return render


def _plain_output(node: Node, environment: Environment) -> tuple[str, _Convert] | None:
    if not isinstance(node, OutputNode) or not isinstance(node.expression, FilteredExpression):
        return None
    left = node.expression.left
    if not isinstance(left, Path) or len(left.path) != 1 or not isinstance(left.path[0], str):
        return None
    name, filters = left.path[0], node.expression.filters or []
    if not filters:
        return name, _printer(environment)
    if len(filters) == 1 and filters[0].name == _ESCAPE and not filters[0].args:
        return name, _escaping_printer(environment)
    if len(filters) == 1 and filters[0].name == _DEFAULT:
        fallback = _literal_argument(filters[0], environment)
        if fallback is not None:
            return name, _printer_with_default(environment, fallback)
    return None


def _literal_argument(filter_: Filter, environment: Environment) -> object | None:
    if len(filter_.args) != 1 or not isinstance(filter_.args[0], PositionalArgument):
        return None
    value = filter_.args[0].value
    if isinstance(value, StringLiteral):
        return Markup(value.value) if environment.autoescape else value.value
    if isinstance(value, (IntegerLiteral, FloatLiteral)):
        return value.value
    return None


def _printer(environment: Environment) -> _Convert:
    """Return Liquid's conversion of values, faster for text and None (nearly all values)."""
    autoescape = environment.autoescape

    def print_text(value: object) -> str:
        if type(value) is str:
            return value
        return "" if value is None else to_liquid_string(value, False)

    def print_html(value: object) -> str:
        if type(value) is str:
            return value if value.isalnum() else escape_markup(value)
        return "" if value is None else to_liquid_string(value, True)

    return print_html if autoescape else print_text


def _escaping_printer(environment: Environment) -> _Convert:
    escape = environment.filters[_ESCAPE]
    autoescape = environment.autoescape

    def print_escaped(value: object) -> str:
        if value is None:
            return ""
        if type(value) is str and not autoescape:
            return html.escape(value)
        return to_liquid_string(escape(value, environment=environment), autoescape)

    return print_escaped


def _printer_with_default(environment: Environment, fallback: object) -> _Convert:
    default = environment.filters[_DEFAULT]
    autoescape = environment.autoescape
    printer = _printer(environment)
    default_text = to_liquid_string(fallback, autoescape)

    def print_or_default(value: object) -> str:
        if value is None or value == "":
            return default_text
        if type(value) is str:
            return printer(value)
        return to_liquid_string(default(value, fallback), autoescape)

    return print_or_default
