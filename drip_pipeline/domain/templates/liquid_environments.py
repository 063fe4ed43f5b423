"""The two Liquid environments, for text and for HTML, with their limits.

No partials, because nothing can be loaded; no clock, because the context has `now`; limits on
loops, memory and output. templates.py parses and renders.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from typing import Any, Final, TextIO

from liquid import BoundTemplate, Environment, RenderContext, Undefined
from liquid.ast import Node
from liquid.builtin.expressions import FilteredExpression
from liquid.builtin.expressions.primitive import StringLiteral
from liquid.builtin.filters.misc import date as liquid_date
from liquid.exceptions import LiquidSyntaxError, LiquidTypeError, UnknownFilterError
from liquid.expression import Expression
from liquid.filter import with_context, with_environment
from liquid.output import LimitedStringIO
from liquid.utils import ReadOnlyChainMap

from drip_pipeline.domain.templates.json_values import to_json

MAX_LOOP_ITERATIONS: Final = 10_000
MAX_LOCALS_BYTES: Final = 1_000_000
MAX_OUTPUT_BYTES: Final = 2_000_000
_CURRENT_TIME_NAMES: Final = ("now", "today")


class _ClocklessContext(RenderContext):
    """A context without Liquid's `now` and `today`, which read the machine's clock."""

    def __init__(self, template: BoundTemplate, **kwargs: Any) -> None:
        super().__init__(template, **kwargs)
        self.scope = ReadOnlyChainMap(self.locals, self.globals, self.counters)

    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        """Return a limited buffer that, unlike Liquid's, keeps carriage returns."""
        written = buf.size if isinstance(buf, LimitedStringIO) else 0
        return LimitedStringIO(MAX_OUTPUT_BYTES - written, newline="")


class _Template(BoundTemplate):
    context_class = _ClocklessContext

    def _get_buffer(self) -> StringIO:
        return LimitedStringIO(MAX_OUTPUT_BYTES, newline="")

    def make_partial_namespace(
        self, partial: bool, render_args: Mapping[str, object]
    ) -> Mapping[str, object]:
        """Omit the name `partial`, which would hide a custom field of that name."""
        return render_args


class _Environment(Environment):
    template_class = _Template
    loop_iteration_limit = MAX_LOOP_ITERATIONS
    local_namespace_limit = MAX_LOCALS_BYTES
    output_stream_limit = MAX_OUTPUT_BYTES

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        """Set up Liquid's tags and filters without partials; `date` does not read the clock."""
        super().setup_tags_and_filters(extra=extra)
        for tag in ("include", "render"):
            self.tags.pop(tag)
        self.add_filter("date", _date)
        self.add_filter("json", to_json)


@with_context
@with_environment
def _date(value: object, fmt: object, *, context: RenderContext, environment: Environment) -> str:
    if value in _CURRENT_TIME_NAMES:
        value = context.resolve("now", default=None)
    return "" if value is None else str(liquid_date(value, fmt, environment=environment))


TEXT_ENVIRONMENT: Final = _Environment(undefined=Undefined, autoescape=False)
HTML_ENVIRONMENT: Final = _Environment(undefined=Undefined, autoescape=True)


def check_filters(template: BoundTemplate) -> None:
    """Raise LiquidError for unknown filters and wrong arguments; Liquid checks them late."""
    for expression in _filtered(template):
        for filter_ in expression.filters or ():
            function = template.env.filters.get(filter_.name)
            if function is None:
                raise UnknownFilterError(f"unknown filter '{filter_.name}'", token=filter_.token)
            # The number of arguments is known before rendering, their values are not.
            named = {arg.name: None for arg in filter_.args if hasattr(arg, "name")}
            positional = [None] * (len(filter_.args) - len(named))
            for extra in ("context", "environment"):
                if getattr(function, f"with_{extra}", False):
                    named[extra] = None
            try:
                inspect.signature(function).bind(None, *positional, **named)
            except TypeError as error:
                raise LiquidTypeError(f"{filter_.name}: {error}", token=filter_.token) from error


def global_variables(template: BoundTemplate) -> frozenset[str]:
    """Return the root names that the template reads; `"now" | date` reads `now`."""
    names: set[str] = set()
    for variables in template.analyze(include_partials=False).globals.values():
        for variable in variables:
            root = variable.segments[0]
            if not isinstance(root, str):
                raise LiquidSyntaxError("the name of a variable cannot be computed", token=None)
            names.add(root)
    if any(_is_current_time(expression) for expression in _filtered(template)):
        names.add("now")
    return frozenset(names)


def _is_current_time(expression: FilteredExpression) -> bool:
    literal = expression.left
    return isinstance(literal, StringLiteral) and literal.value in _CURRENT_TIME_NAMES


def _filtered(template: BoundTemplate) -> Iterator[FilteredExpression]:
    expressions: list[Expression] = []
    for node in _nodes(template.nodes, RenderContext(template)):
        expressions.extend(node.expressions())
    while expressions:
        expression = expressions.pop()
        expressions.extend(expression.children())
        if isinstance(expression, FilteredExpression):
            yield expression


def _nodes(nodes: Iterable[Node], context: RenderContext) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _nodes(node.children(context, include_partials=False), context)
