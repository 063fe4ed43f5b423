"""Parse Liquid templates once, list the variables they read, and render them for many contacts.

contact_fields.py builds the context of a contact; liquid_environments.py has the limits and the
Liquid dialect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from liquid import BoundTemplate, Environment
from liquid.builtin.output import OutputNode
from liquid.exceptions import LiquidError, ResourceLimitError

from drip_pipeline.domain.templates.fast_path import Render, compile_segments
from drip_pipeline.domain.templates.json_values import json_value
from drip_pipeline.domain.templates.liquid_environments import (
    HTML_ENVIRONMENT,
    MAX_OUTPUT_BYTES,
    TEXT_ENVIRONMENT,
    apply_rules,
    check_filters,
    context_within,
    global_paths,
    render_within,
)
from drip_pipeline.domain.templates.render_budget import RenderBudget
from drip_pipeline.domain.templates.unclosed import LIQUID_PAIRS, refuse_unclosed
from drip_pipeline.errors import TemplateBudgetExceeded, TemplateError

RenderWithin = Callable[[Mapping[str, object], RenderBudget], str]
EvaluateWithin = Callable[[Mapping[str, object], RenderBudget], object]

MAX_TEMPLATE_CHARACTERS: Final = 1_000_000
MAX_MARKS: Final = 10_000
"""Outputs and tags of a template: Liquid needs 30 µs to parse one."""
_MAX_LINES_TO_SEARCH: Final = 300
_WIDEST_CHARACTER_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class CompiledTemplate:
    """A parsed template. `variables` are the root names it reads, `paths` the complete ones;
    `is_plain`: it consists of text and plain outputs and renders without the Liquid interpreter.
    """

    text: str
    html: bool
    variables: frozenset[str]
    paths: frozenset[str]
    is_plain: bool
    _plain: Render | None = field(repr=False, compare=False)
    _render: RenderWithin = field(repr=False, compare=False)
    _evaluate: EvaluateWithin | None = field(repr=False, compare=False)

    def render(self, context: Mapping[str, object], budget: RenderBudget | None = None) -> str:
        """Render the template for one contact; variables missing in the context render empty.

        `budget` is shared by the texts of a message; without one the text has its own. Raises
        TemplateError with the line, but without values, if a filter does not accept a value, and
        TemplateBudgetExceeded if a limit (time, loops, memory, output) is reached.
        """
        rendered = (
            self._render(context, budget or RenderBudget())
            if self._plain is None
            else self._plain(context)
        )
        if len(rendered) * _WIDEST_CHARACTER_BYTES > MAX_OUTPUT_BYTES:
            _check_output(rendered)
        return rendered

    def value(self, context: Mapping[str, object], budget: RenderBudget | None = None) -> object:
        """Return the value as JSON has it if the template is one output and nothing else, otherwise
        the rendered text. A missing variable is None. Raises TemplateError as `render` does.
        """
        if self._evaluate is None:
            return self.render(context, budget)
        return self._evaluate(context, budget or RenderBudget())


def parse(text: str, *, html: bool) -> CompiledTemplate:
    """Compile a template; with `html`, values are escaped on output.

    Raises TemplateError with the line and the fault: syntax, unknown tag or filter, a filter with
    the wrong number of arguments, a computed variable name, a text beyond 1,000,000 characters
    or 10,000 outputs and tags.
    Unknown variables are no error: the caller compares `variables` with KNOWN_VARIABLES.
    """
    if len(text) > MAX_TEMPLATE_CHARACTERS:
        raise TemplateError(f"a template may have {MAX_TEMPLATE_CHARACTERS:,} characters at most")
    environment = HTML_ENVIRONMENT if html else TEXT_ENVIRONMENT
    refuse_unclosed(text, LIQUID_PAIRS)
    if text.count("{{") + text.count("{%") > MAX_MARKS:
        raise TemplateError(f"a template may have {MAX_MARKS:,} outputs and tags at most")
    try:
        template = environment.from_string(text)
        apply_rules(template)
        check_filters(template)
        paths = global_paths(template)
    except LiquidError as error:
        line = _line_of(error) or _line_by_search(text, error, environment)
        where = f"line {line}: " if line else ""
        raise TemplateError(f"{where}{error.message}") from None
    except RecursionError:
        raise TemplateError("the template is nested too deep") from None
    fast = compile_segments(template)
    return CompiledTemplate(
        text,
        html,
        frozenset(path.partition(".")[0] for path in paths),
        paths,
        fast is not None,
        fast,
        _interpreter(template, text),
        _evaluator(template, text),
    )


def _evaluator(template: BoundTemplate, text: str) -> EvaluateWithin | None:
    """Return the function that evaluates a template of one output; None for another template."""
    if len(template.nodes) != 1 or not isinstance(template.nodes[0], OutputNode):
        return None
    expression = template.nodes[0].expression

    def evaluate(context: Mapping[str, object], budget: RenderBudget) -> object:
        try:
            return json_value(expression.evaluate(context_within(template, context, budget)))
        except TemplateBudgetExceeded:
            raise
        except Exception as error:  # noqa: BLE001 – as in `_interpreter`
            raise TemplateError(_fault_without_values(error, text)) from None

    return evaluate


def _interpreter(template: BoundTemplate, text: str) -> RenderWithin:
    def render(context: Mapping[str, object], budget: RenderBudget) -> str:
        try:
            return render_within(template, context, budget)
        except TemplateBudgetExceeded:
            raise
        except (ResourceLimitError, RecursionError, MemoryError) as error:
            raise TemplateBudgetExceeded(_fault_without_values(error, text)) from None
        except Exception as error:  # noqa: BLE001 – see below; nothing is swallowed
            # Filters also raise exceptions of other libraries. Their texts may quote a contact's
            # data, so the message has only the type of the error and the template's line.
            raise TemplateError(_fault_without_values(error, text)) from None

    return render


def _fault_without_values(error: Exception, text: str) -> str:
    line = _line_of(error) if isinstance(error, LiquidError) else None
    kind = type(error).__name__
    if line is None:
        return f"rendering failed with {kind}"
    return f"line {line}: rendering failed with {kind} in {text.splitlines()[line - 1].strip()!r}"


def _check_output(rendered: str) -> None:
    if len(rendered.encode("utf-8", "surrogatepass")) > MAX_OUTPUT_BYTES:
        raise TemplateBudgetExceeded(f"the rendered text exceeds {MAX_OUTPUT_BYTES:,} bytes")


def _line_of(error: LiquidError) -> int | None:
    context = error.context()
    return context[0] if context else None


def _line_by_search(text: str, error: LiquidError, environment: Environment) -> int | None:
    """Return the first line up to which parsing raises the error; Liquid does not always say."""
    lines = text.splitlines(keepends=True)
    if len(lines) > _MAX_LINES_TO_SEARCH:
        return None
    for number in range(1, len(lines) + 1):
        try:
            environment.from_string("".join(lines[:number]))
        except LiquidError as same:
            if same.message == error.message:
                return number
    return None
