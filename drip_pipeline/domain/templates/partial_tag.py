"""The tag `partial`, which publishing writes in place of `render`: the text of the partial itself,
in a scope of its own.

    {% partial 'button', url: link %}<a href="{{ url }}">…</a>{% endpartial %}

As with Liquid's `render`, the text reads contact data and the arguments, and no variable that the
message assigned. It is rendered with the message's budget.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, TextIO

from liquid import BoundTemplate, RenderContext
from liquid.ast import BlockNode, Node
from liquid.builtin.drops import IterableDrop
from liquid.builtin.expressions import StringLiteral
from liquid.builtin.tags.for_tag import ForLoop
from liquid.builtin.tags.render_tag import RenderNode, RenderTag
from liquid.expression import Expression
from liquid.parser import get_parser
from liquid.stream import TokenStream
from liquid.token import TOKEN_TAG
from liquid.utils import ReadOnlyChainMap

PARTIAL: Final = "partial"
_END: Final = f"end{PARTIAL}"
_LOOP: Final = "forloop"


class PartialNode(Node):
    """The text of a partial with the arguments of its `render`."""

    __slots__ = ("block", "call")

    def __init__(self, call: RenderNode, block: BlockNode) -> None:
        super().__init__(call.token)
        self.call = call
        self.block = block
        self.blank = False

    @property
    def bound_names(self) -> frozenset[str]:
        """The names that the arguments give to values."""
        names = {str(argument.name) for argument in self.call.args}
        if self.call.var is not None:
            names |= {self._key, _LOOP}
        return frozenset(names)

    @property
    def _key(self) -> str:
        name = self.call.name
        return str(self.call.alias or (name.value if isinstance(name, StringLiteral) else name))

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """Render the text in a scope of its own."""
        call = self.call
        arguments: dict[str, Any] = {each.name: each.value.evaluate(context) for each in call.args}
        scope = context.copy(
            ReadOnlyChainMap(arguments), carry_loop_iterations=True, template=context.template
        )
        scope.budget = context.budget  # type: ignore[attr-defined]
        if call.var is None:
            return self.block.render(scope, buffer)
        value = call.var.evaluate(context)
        if not call.loop or not isinstance(value, (tuple, list, IterableDrop)):
            arguments[self._key] = value
            return self.block.render(scope, buffer)
        scope.raise_for_loop_limit(len(value))
        loop = ForLoop(
            name=self._key,
            it=iter(value),
            length=len(value),
            parentloop=context.env.undefined("parentloop", token=self.token),
        )
        arguments[_LOOP] = loop
        written = 0
        for item in loop:
            arguments[self._key] = item
            written += self.block.render(scope, buffer)
        return written

    def children(
        self, _static_context: RenderContext, *, include_partials: bool = True
    ) -> Iterable[Node]:
        """Return the text of the partial. Liquid's analysis leaves partials out, because it would
        take their variables for those of the message, and the other way round."""
        return [self.block] if include_partials else []

    def expressions(self) -> Iterable[Expression]:
        """Return the values of the arguments."""
        return self.call.expressions()


class PartialTag(RenderTag):
    """Parses the tag with its text."""

    name = PARTIAL
    block = True
    end = _END

    def parse(self, stream: TokenStream) -> Node:
        """Parse the arguments as those of `render`, then the text up to the end."""
        call = super().parse(stream)
        assert isinstance(call, RenderNode)
        next(stream)
        block = get_parser(self.env).parse_block(stream, (_END,))
        stream.expect(TOKEN_TAG, value=_END)
        return PartialNode(call, block)


class PartialText(NamedTuple):
    """The text of a partial as a template, and the names that arguments give to values in it."""

    template: BoundTemplate
    bound_names: frozenset[str]


def partial_texts(template: BoundTemplate) -> Iterator[PartialText]:
    """Yield the texts of all partials of a template. Arguments are seen by inner partials too."""
    context = RenderContext(template)
    todo: list[tuple[Node, frozenset[str]]] = [(node, frozenset()) for node in template.nodes]
    while todo:
        node, names = todo.pop()
        if isinstance(node, PartialNode):
            names |= node.bound_names
            yield PartialText(type(template)(template.env, node.block.nodes), names)
        todo += [(child, names) for child in node.children(context)]
