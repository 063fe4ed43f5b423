"""The two Liquid environments, for text and for HTML, with their limits.

Nothing can be loaded: publishing writes partials into the texts. No clock, because the context has
`now`. Limits on loops, memory, output and time. Values compare as in conditions. templates.py
parses and renders.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time
from io import StringIO
from itertools import takewhile
from typing import Any, Final, TextIO

from liquid import BoundTemplate, Environment, Markup, RenderContext, Undefined
from liquid.ast import Node
from liquid.builtin.expressions import FilteredExpression
from liquid.builtin.expressions.primitive import StringLiteral
from liquid.builtin.filters.array import uniq as liquid_uniq
from liquid.exceptions import LiquidSyntaxError, LiquidTypeError, UnknownFilterError
from liquid.expression import Expression
from liquid.filter import sequence_filter, with_context, with_environment
from liquid.output import LimitedStringIO
from liquid.token import Token
from liquid.undefined import is_undefined
from liquid.utils import ReadOnlyChainMap

from drip_pipeline.domain.conditions.comparisons import as_instant
from drip_pipeline.domain.templates.json_values import to_json
from drip_pipeline.domain.templates.liquid_comparisons import replace_comparison
from drip_pipeline.domain.templates.partial_tag import (
    PARTIAL,
    PartialTag,
    partial_texts,
)
from drip_pipeline.domain.templates.render_budget import (
    MAX_TEXT,
    RenderBudget,
    filter_within_limits,
    unique,
)

MAX_LOOP_ITERATIONS: Final = 10_000
MAX_LOCALS_BYTES: Final = 1_000_000
MAX_OUTPUT_BYTES: Final = MAX_TEXT
_CURRENT_TIME_NAMES: Final = ("now", "today")
_UNIX_DIGITS: Final = (9, 11)


class _Context(RenderContext):
    """A context with a budget, and without Liquid's `now` and `today`, which read the machine's
    clock."""

    budget: RenderBudget

    def __init__(self, template: BoundTemplate, **kwargs: Any) -> None:
        super().__init__(template, **kwargs)
        self.scope = ReadOnlyChainMap(self.locals, self.globals, self.counters)

    @property
    def disabled_tags(self) -> list[str]:
        """Return nothing. Every node reads this first, so that the budget sees every node."""
        self.budget.visit()
        return []

    @disabled_tags.setter
    def disabled_tags(self, tags: list[str]) -> None:
        """No tag is disabled: `render`, which disables some, is none of this dialect."""

    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        """Return a filter with the limits of the budget."""
        self.budget.check()
        return filter_within_limits(name, super().filter(name, token))

    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        """Return a limited buffer that, unlike Liquid's, keeps carriage returns."""
        written = buf.size if isinstance(buf, LimitedStringIO) else 0
        return LimitedStringIO(MAX_OUTPUT_BYTES - written, newline="")


class _Template(BoundTemplate):
    context_class = _Context

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
        self.tags[PARTIAL] = PartialTag(self)
        self.add_filter("date", _date)
        self.add_filter("json", to_json)
        self.add_filter("uniq", _uniq)


@with_context
@with_environment
def _date(value: object, pattern: object, *, context: _Context, environment: Environment) -> object:
    """Print a date, an ISO text or a Unix time (UTC). Other values stay as they are, because
    guessing would read the machine's clock for what is missing."""
    if isinstance(value, str) and value in _CURRENT_TIME_NAMES:
        value = context.resolve("now", default=None)
    if value is None or is_undefined(value):
        return ""
    if pattern is None or is_undefined(pattern):
        return str(value)
    instant = _as_datetime(value)
    try:
        printed = None if instant is None else instant.strftime(str(pattern))
    except (ValueError, UnicodeError):
        printed = None
    if printed is None:
        context.budget.has_unreadable_dates = True
        return value if isinstance(value, str) else str(value)
    is_safe = environment.autoescape and isinstance(pattern, Markup)
    return Markup(printed) if is_safe else printed


def _as_datetime(value: object) -> datetime | None:
    if isinstance(value, str):
        instant: object = int(value) if _is_unix_time(value) else as_instant(value)
    else:
        instant = value
    if isinstance(instant, datetime):
        return instant
    if isinstance(instant, date):
        return datetime.combine(instant, time.min, UTC)
    if isinstance(instant, (int, float)) and not isinstance(instant, bool):
        try:
            return datetime.fromtimestamp(instant, UTC)
        except (OverflowError, ValueError, OSError):
            return None
    return None


def _is_unix_time(text: str) -> bool:
    # 20260128 is a date without hyphens rather than a day in 1970.
    return text.isascii() and text.isdigit() and _UNIX_DIGITS[0] <= len(text) <= _UNIX_DIGITS[1]


@sequence_filter
def _uniq(values: Any, key: object = None) -> list[object]:
    return unique(values) if key is None else liquid_uniq(values, key)


TEXT_ENVIRONMENT: Final = _Environment(undefined=Undefined, autoescape=False)
HTML_ENVIRONMENT: Final = _Environment(undefined=Undefined, autoescape=True)


def context_within(
    template: BoundTemplate, variables: Mapping[str, object], budget: RenderBudget
) -> RenderContext:
    """Return a context with these variables and this budget."""
    context = _Context(template, globals=variables)
    context.budget = budget
    return context


def render_within(
    template: BoundTemplate, variables: Mapping[str, object], budget: RenderBudget
) -> str:
    """Render a template with what is left of the budget."""
    context = context_within(template, variables, budget)
    buffer = LimitedStringIO(MAX_OUTPUT_BYTES, newline="")
    template.render_with_context(context, buffer)
    return buffer.getvalue()


def apply_rules(template: BoundTemplate) -> None:
    """Make the comparisons of a parsed template follow the rules of conditions."""
    for expression in _expressions(template):
        replace_comparison(expression)


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


def global_paths(template: BoundTemplate) -> frozenset[str]:
    """Return the paths that the template reads, such as `entry.order_id`, as far as they are
    written out; `"now" | date` reads `now`."""
    paths = _written_paths(template)
    for text, bound_names in partial_texts(template):
        # The variables that the message assigns are not those of the partial.
        own = _written_paths(text)
        paths |= {path for path in own if path.partition(".")[0] not in bound_names}
    if any(_is_current_time(expression) for expression in _filtered(template)):
        paths.add("now")
    return frozenset(paths)


def _written_paths(template: BoundTemplate) -> set[str]:
    paths: set[str] = set()
    for variables in template.analyze(include_partials=False).globals.values():
        for variable in variables:
            segments = variable.segments
            if not isinstance(segments[0], str):
                raise LiquidSyntaxError("the name of a variable cannot be computed", token=None)
            written = takewhile(lambda segment: isinstance(segment, (str, int)), segments)
            paths.add(".".join(map(str, written)))
    return paths


def _is_current_time(expression: FilteredExpression) -> bool:
    literal = expression.left
    return isinstance(literal, StringLiteral) and literal.value in _CURRENT_TIME_NAMES


def _filtered(template: BoundTemplate) -> Iterator[FilteredExpression]:
    for expression in _expressions(template):
        if isinstance(expression, FilteredExpression):
            yield expression


def _expressions(template: BoundTemplate) -> Iterator[Expression]:
    context = RenderContext(template)
    expressions: list[Expression] = []
    for node in _nodes(template.nodes, context):
        expressions.extend(node.expressions())
    while expressions:
        expression = expressions.pop()
        expressions.extend(expression.children())
        yield expression


def _nodes(nodes: Iterable[Node], context: RenderContext) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _nodes(node.children(context), context)
