"""Render a template and record which of its branches were taken and which outputs were empty.

For previews: the branches choose the contacts to show. Delivery renders with templates.py; both use
the same environments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, TextIO

from liquid import BoundTemplate, RenderContext
from liquid.ast import BlockNode, ConditionalBlockNode, Node
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.case_tag import CaseNode, MultiExpressionBlockNode
from liquid.builtin.tags.for_tag import ForNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.unless_tag import UnlessNode
from liquid.expression import Expression
from liquid.token import Token

from drip_pipeline.domain.templates.liquid_environments import (
    HTML_ENVIRONMENT,
    TEXT_ENVIRONMENT,
    apply_rules,
    render_within,
)
from drip_pipeline.domain.templates.render_budget import RenderBudget
from drip_pipeline.domain.templates.templates import parse
from drip_pipeline.errors import TemplateError

_LONGEST_LABEL: Final = 80


@dataclass(frozen=True, slots=True, eq=False)
class TextBranch:
    """A part of a template that is rendered for some contacts only.

    `label` is the tag as it is written, `line` the line of the tag. `decision` is the position of
    the tag that decides, `conditions` what has to hold: expressions, each with the value it needs.
    """

    id: int
    line: int
    label: str
    decision: int
    conditions: tuple[tuple[Expression, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """What one rendering did: the branches that were taken, and the outputs that were empty."""

    branches: frozenset[int]
    empty: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TracedTemplate:
    """A template whose rendering is recorded."""

    branches: tuple[TextBranch, ...]
    expressions: tuple[Expression, ...] = field(repr=False)
    loops: tuple[ForNode, ...] = field(repr=False)
    paths: frozenset[str]
    _template: BoundTemplate = field(repr=False)

    def trace(self, context: Mapping[str, object]) -> Trace:
        """Render for one contact. A rendering that fails is recorded as far as it went."""
        budget = _TracingBudget()
        with suppress(Exception):  # rendering the message reports it
            render_within(self._template, context, budget)
        return Trace(frozenset(budget.taken), tuple(dict.fromkeys(budget.empty)))


@lru_cache(maxsize=512)
def traced(text: str, *, html: bool) -> TracedTemplate:
    """Return a template that records its rendering. Raises TemplateError as `parse` does."""
    paths = parse(text, html=html).paths
    template = (HTML_ENVIRONMENT if html else TEXT_ENVIRONMENT).from_string(text)
    apply_rules(template)
    recorder = _Recorder(text)
    recorder.nodes(template.nodes, ())
    return TracedTemplate(
        tuple(recorder.branches),
        tuple(recorder.expressions),
        tuple(recorder.loops),
        paths,
        template,
    )


def traced_or_none(text: str, *, html: bool) -> TracedTemplate | None:
    """Return a template that records its rendering; None if it cannot be parsed."""
    try:
        return traced(text, html=html)
    except TemplateError:
        return None


class _TracingBudget(RenderBudget):
    __slots__ = ("empty", "taken")

    def __init__(self) -> None:
        super().__init__()
        self.taken: set[int] = set()
        self.empty: list[str] = []


class _Mark(Node):
    """Records that the branch at whose beginning it is was taken."""

    __slots__ = ("branch_id",)

    def __init__(self, token: Token, branch_id: int) -> None:
        super().__init__(token)
        self.branch_id = branch_id

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        del buffer
        budget: Any = context.budget  # type: ignore[attr-defined]
        budget.taken.add(self.branch_id)
        return 0


class _TracedOutput(OutputNode):
    __slots__ = ()

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        written = super().render_to_output(context, buffer)
        if not written:
            budget: Any = context.budget  # type: ignore[attr-defined]
            budget.empty.append(str(self.expression))
        return written


_Conditions = tuple[tuple[Expression, bool], ...]


class _Recorder:
    """Puts marks into a parsed template, and collects its branches."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.branches: list[TextBranch] = []
        self.expressions: list[Expression] = []
        self.loops: list[ForNode] = []
        self._decisions = 0

    def nodes(self, nodes: list[Node], outer: _Conditions) -> None:
        """Mark the branches of these nodes; `outer` are the conditions under which they render."""
        for node in list(nodes):
            self.expressions += _with_children(node.expressions())
            if type(node) is OutputNode:
                node.__class__ = _TracedOutput
            elif isinstance(node, (IfNode, UnlessNode)):
                self._conditional(node, outer)
            elif isinstance(node, CaseNode):
                self._case(node, outer)
            elif isinstance(node, ForNode):
                self._loop(node, outer)
            else:
                for child in _blocks(node):
                    self.nodes(child.nodes, outer)

    def _conditional(self, node: IfNode | UnlessNode, outer: _Conditions) -> None:
        word, needed = ("if", True) if isinstance(node, IfNode) else ("unless", False)
        self._decisions += 1
        label = f"{word} {node.condition}"
        self._branch(node, node.consequence, label, (*outer, (node.condition, needed)))
        failed = (*outer, (node.condition, not needed))
        for alternative in node.alternatives:
            self.expressions += _with_children([alternative.expression])
            condition = alternative.expression
            label = f"elsif {condition}"
            self._branch(alternative, alternative.block, label, (*failed, (condition, True)))
            failed = (*failed, (condition, False))
        if node.default is None:
            node.default = _empty_block(node.token)
            self._branch(node, node.default, f"{word} {node.condition}: no", failed)
        else:
            self._branch(node, node.default, f"else of {word} {node.condition}", failed)

    def _case(self, node: CaseNode, outer: _Conditions) -> None:
        self._decisions += 1
        has_default = False
        failed = outer
        for block in node.blocks:
            if isinstance(block, MultiExpressionBlockNode):
                label = f"case {node.expression} when {block.expression}"
                self._branch(block, block.block, label, (*failed, (block.expression, True)))
                self.expressions += _with_children([block.expression])
                failed = (*failed, (block.expression, False))
            else:
                has_default = True
                self._branch(block, block, f"else of case {node.expression}", failed)
        if not has_default:
            block = _empty_block(node.token)
            node.blocks.append(block)
            self._branch(node, block, f"case {node.expression}: none of them", failed)

    def _loop(self, node: ForNode, outer: _Conditions) -> None:
        self._decisions += 1
        self.loops.append(node)
        items = node.expression.iterable
        self._branch(node, node.block, f"for {node.expression}", (*outer, (items, True)))
        if node.default is None:
            node.default = _empty_block(node.token)
        self._branch(
            node, node.default, f"for {node.expression}: no items", (*outer, (items, False))
        )

    def _branch(self, at: Node, block: BlockNode, label: str, conditions: _Conditions) -> None:
        branch_id = len(self.branches)
        line = self._text.count("\n", 0, max(at.token.start_index, 0)) + 1
        if len(label) > _LONGEST_LABEL:
            label = f"{label[:_LONGEST_LABEL]}…"
        self.branches.append(TextBranch(branch_id, line, label, self._decisions, conditions))
        self.nodes(block.nodes, conditions)
        block.nodes.insert(0, _Mark(at.token, branch_id))


def _empty_block(token: Token) -> BlockNode:
    return BlockNode(token, [])


def _blocks(node: Node) -> Iterator[BlockNode]:
    for child in node.children(_NO_CONTEXT):
        if isinstance(child, BlockNode):
            yield child
        elif isinstance(child, ConditionalBlockNode):
            yield child.block


def _with_children(expressions: Any) -> list[Expression]:
    result: list[Expression] = []
    todo = list(expressions)
    while todo:
        expression = todo.pop(0)
        result.append(expression)
        todo += expression.children()
    return result


_NO_CONTEXT: Final = RenderContext(TEXT_ENVIRONMENT.from_string(""))
