"""Write the text of an HTML template as a reader sees the page: tables as rows, lists with their
numbers, quotations, preformatted text, alternative texts, and the URLs of links.

Liquid blocks stay at their places, and line breaks are written inside the block they belong to, so
that a block that is left out leaves no blank line. Elements are in html_elements.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from drip_pipeline.channels.email.html_elements import (
    APART,
    LINES,
    PARAGRAPHS,
    VOID,
    Token,
    ended_by,
    is_hidden,
    is_same_target,
    list_number,
    table_kinds,
    target,
    tokenize,
    whole_number,
)
from drip_pipeline.channels.email.liquid_placeholders import (
    LIQUID_WORD,
    LiquidPlaceholders,
    is_output,
    tag_name,
)

# Gaps between two texts: none, a space, a line break, a blank line.
_SPACE: Final = 1
_LINE: Final = 2
_PARAGRAPH: Final = 3
_RULE: Final = "-" * 20
_SEPARATOR: Final = " | "
_WHITE_SPACE: Final = re.compile(r"\s+")
_INVISIBLE: Final = re.compile(r"[\s\u00ad\u034f\u200b-\u200f\u2060\ufeff]*")


def text_of(hidden: LiquidPlaceholders) -> str:
    """Return the text of the HTML in `hidden.text`; it still has the placeholders of Liquid."""
    tokens = tokenize(hidden.text)
    writer = _Writer(hidden, table_kinds(tokens))
    for token in tokens:
        writer.take(token)
    lines = [line.rstrip() for line in "".join(writer.pieces).split("\n")]
    return "\n".join(lines).strip("\n") + "\n"


@dataclass(slots=True)
class _Prefix:
    """The beginning of an element's lines: of the first, and of the others."""

    first: str
    rest: str
    is_used: bool = False


@dataclass(slots=True)
class _TextTable:
    kind: str
    row_has_text: bool = False
    separators: int = 0
    is_in_cell: bool = False


@dataclass(slots=True)
class _Element:
    name: str
    is_hidden: bool = False
    prefix: _Prefix | None = None
    table: _TextTable | None = None
    link: tuple[int, str] | None = None
    """Of an anchor: the place of its text, and its target."""
    kind: str | None = None
    next_number: int = 1
    blocks_outside: int = 0
    """Of a list: the number of Liquid blocks around it."""


@dataclass(slots=True)
class _Block:
    """An open Liquid block: the gap before it, and those at the ends of its branches."""

    name: str
    before: tuple[int, bool]
    ends: list[tuple[int, bool]] = field(default_factory=list)
    has_else: bool = False
    has_text: bool = False
    leading_gap: int = 0
    begins_lines: bool = False
    numbers: dict[int, int] = field(default_factory=dict)


class _Writer:
    """Collects the text in `pieces`."""

    def __init__(self, hidden: LiquidPlaceholders, kinds: list[str]) -> None:
        self.pieces: list[str] = []
        self._hidden = hidden
        self._kinds = iter(kinds)
        self._open: list[_Element] = []
        self._blocks: list[_Block] = []
        self._have = _PARAGRAPH  # the gap that was written last
        self._want = 0  # the gap that the next text needs
        self._is_prefixed = False
        self._last_prefix = ""

    def take(self, token: Token) -> None:
        """Write one token of the page."""
        match token.kind:
            case "start":
                self._start(token)
            case "end":
                self._end(token.name)
            case "text" if not self._is_hidden():
                self._text(token.text)
            case "comment" if LIQUID_WORD.fullmatch(token.text) and not self._is_hidden():
                self._liquid(token.text)

    # --- elements ---------------------------------------------------------------------------------

    def _start(self, token: Token) -> None:
        name, attributes = token.name, token.attributes
        for _ in range(ended_by(name, [element.name for element in self._open])):
            self._close(self._open.pop())
        element = _Element(name, is_hidden(name, attributes) or self._is_hidden())
        kind = next(self._kinds, "data") if name == "table" else ""
        if name not in VOID:
            self._open.append(element)
        if element.is_hidden:
            return
        self._gap_of(name)
        match name:
            case "br":
                self._break()
            case "hr":
                self._write(_RULE)
                self._gap(_PARAGRAPH)
            case "img":
                self._text(attributes.get("alt") or "")
                self._gap(_SPACE)
            case "a":
                element.link = (len(self.pieces), target(attributes.get("href")))
            case "q":
                self._write("\N{LEFT DOUBLE QUOTATION MARK}")
            case "blockquote":
                element.prefix = _Prefix("> ", "> ")
            case "dd":
                element.prefix = _Prefix("  ", "  ")
            case "ul" | "ol":
                first = whole_number(attributes.get("start"))
                element.next_number = 1 if first is None else first
                element.kind = attributes.get("type")
                element.blocks_outside = len(self._blocks)
            case "li":
                element.prefix = self._marker(whole_number(attributes.get("value")))
            case "table":
                element.table = _TextTable(kind)
            case "tr" | "td" | "th":
                self._start_in_table(name)

    def _end(self, name: str) -> None:
        if name == "br":
            self._break()
        names = [element.name for element in self._open]
        if name in names:
            while self._open[-1].name != name:
                self._close(self._open.pop())
            self._close(self._open.pop())

    def _close(self, element: _Element) -> None:
        if element.is_hidden:
            return
        if element.link is not None:
            self._write_target(*element.link)
        if element.name == "q":
            self._write("\N{RIGHT DOUBLE QUOTATION MARK}")
        table = self._table()
        if element.name in ("td", "th") and table is not None:
            table.is_in_cell = False
        self._gap_of(element.name)

    def _gap_of(self, name: str) -> None:
        if name in PARAGRAPHS:
            in_item = any(element.name in ("li", "dd") for element in self._open)
            self._gap(_LINE if in_item and name != "hr" else _PARAGRAPH)
        elif name in LINES:
            self._gap(_LINE)
        elif name in APART:
            table = self._table()
            is_block = name in ("td", "th") and table is not None and table.kind == "layout"
            self._gap(_LINE if is_block else _SPACE)

    def _marker(self, value: int | None) -> _Prefix:
        of_list = next((e for e in reversed(self._open) if e.name in ("ul", "ol")), None)
        if of_list is None or of_list.name == "ul":
            return _Prefix("- ", "  ")
        if value is not None:
            of_list.next_number = value
        number = list_number(of_list.next_number, of_list.kind)
        if any(block.name == "for" for block in self._blocks[of_list.blocks_outside :]):
            before = of_list.next_number - 1
            number = "{{ forloop.index" + (f" | plus: {before}" if before else "") + " }}"
            return _Prefix(f"{number}. ", "   ")
        of_list.next_number += 1
        return _Prefix(f"{number}. ", " " * (len(number) + 2))

    def _start_in_table(self, name: str) -> None:
        table = self._table()
        if table is None:
            return
        if name == "tr":
            table.row_has_text, table.separators, table.is_in_cell = False, -1, False
            return
        table.is_in_cell = True
        if table.kind == "header":
            table.separators += 1
        elif table.kind == "data":
            table.separators = int(table.row_has_text)

    def _write_target(self, place: int, url: str) -> None:
        if not url:
            return
        text = "".join(self.pieces[place:]).strip()
        shown = re.sub(r"<!--(\w+)-->", r"\1", text)
        if not text:
            self._text(url)
        elif not is_same_target(shown, url):
            want, self._want = self._want, _SPACE
            self._write(f"({url})")
            self._want = want

    def _is_hidden(self) -> bool:
        return bool(self._open) and self._open[-1].is_hidden

    def _table(self) -> _TextTable | None:
        return next((e.table for e in reversed(self._open) if e.table is not None), None)

    def _is_inline(self) -> bool:
        """Whether the place is a cell of a table of data, which is one line."""
        table = self._table()
        return table is not None and table.kind != "layout" and table.is_in_cell

    # --- texts ------------------------------------------------------------------------------------

    def _text(self, text: str) -> None:
        if any(element.name == "pre" for element in self._open):
            self._write_preformatted(text)
            return
        if _INVISIBLE.fullmatch(text):
            self._gap(_SPACE if text else 0)
            return
        if text[0].isspace():
            self._gap(_SPACE)
        self._write(_WHITE_SPACE.sub(" ", text.strip()))
        if text[-1].isspace():
            self._gap(_SPACE)

    def _write_preformatted(self, text: str) -> None:
        if self._have >= _LINE or self._want >= _LINE:
            text = text.removeprefix("\n")
        for number, line in enumerate(text.split("\n")):
            if number:
                self._break()
            if line:
                self._write(line)

    def _gap(self, gap: int) -> None:
        self._want = max(self._want, min(gap, _SPACE) if self._is_inline() else gap)

    def _break(self) -> None:
        if self._is_inline():
            self._gap(_SPACE)
        else:
            self._want = _LINE if max(self._want, self._have) < _LINE else _PARAGRAPH

    def _write(self, text: str) -> None:
        for block in self._blocks:
            if not block.has_text:
                block.has_text = True
                block.leading_gap = self._want if self._want <= self._have else 0
                block.begins_lines = self._have < _LINE <= self._want
        self._write_gap()
        self._write_beginning()
        self.pieces.append(text)
        self._have = 0
        self._is_prefixed = False
        for element in self._open:
            if element.table is not None:
                element.table.row_has_text = True

    def _write_gap(self) -> None:
        want, self._want = self._want, 0
        table = self._table()
        if want == _SPACE and table is not None and table.is_in_cell and table.separators > 0:
            return  # the separator has its own spaces
        if want <= self._have:
            return
        if want == _SPACE:
            self.pieces.append(" ")
        else:
            blank = _common(self._last_prefix, self._prefix(is_rest=True))
            count = want - max(self._have, _SPACE)
            self.pieces.append(f"\n{blank}" * (count - 1) + "\n")
            self._is_prefixed = False
        self._have = want

    def _write_beginning(self) -> None:
        """Write the prefix of a line, and the separators before a cell."""
        if self._have >= _LINE and not self._is_prefixed:
            self.pieces.append(self._prefix())
            self._last_prefix = self._prefix(is_rest=True)
            self._is_prefixed = True
        table = self._table()
        if table is not None and table.separators > 0:
            self.pieces.append(_SEPARATOR * table.separators)
            self._have, table.separators = _SPACE, 0

    def _prefix(self, *, is_rest: bool = False) -> str:
        parts = []
        for element in self._open:
            if element.prefix is not None:
                is_first = not is_rest and not element.prefix.is_used
                parts.append(element.prefix.first if is_first else element.prefix.rest)
                element.prefix.is_used |= not is_rest
        return "".join(parts)

    # --- Liquid -----------------------------------------------------------------------------------

    def _liquid(self, word: str) -> None:
        construct = self._hidden.construct(word)
        if is_output(construct):
            self._write(f"<!--{word}-->")
            return
        name = tag_name(construct)
        ends_loop = name in ("endfor", "endtablerow") and bool(self._blocks)
        if ends_loop:
            self._want = max(self._want, self._blocks[-1].leading_gap)
        if not (ends_loop and self._blocks[-1].begins_lines):
            self._write_gap()
        table = self._table()
        has_marker = any(e.prefix and not e.prefix.is_used for e in self._open)
        if has_marker or (table is not None and table.is_in_cell and table.separators > 0):
            self._write_beginning()
        self.pieces.append(f"<!--{word}-->")
        state = (self._have, self._is_prefixed)
        if name in ("if", "unless", "case", "for", "tablerow"):
            numbers = {id(element): element.next_number for element in self._open}
            self._blocks.append(_Block(name.replace("tablerow", "for"), state, numbers=numbers))
        elif name in ("else", "elsif", "when") and self._blocks:
            self._next_branch(self._blocks[-1], name, state)
        elif name in ("endif", "endunless", "endcase", "endfor", "endtablerow") and self._blocks:
            block = self._blocks.pop()
            ends = [*block.ends, state] if block.has_else else [*block.ends, state, block.before]
            self._have = min(have for have, _ in ends)
            self._is_prefixed = all(is_prefixed for _, is_prefixed in ends)

    def _next_branch(self, block: _Block, name: str, state: tuple[int, bool]) -> None:
        if block.name != "case" or block.has_text:
            block.ends.append(state)
        block.has_else |= name == "else"
        self._have, self._is_prefixed = block.before
        for element in self._open:
            element.next_number = block.numbers.get(id(element), element.next_number)


def _common(one: str, other: str) -> str:
    """Return the beginning that both have: of a blank line between two elements."""
    count = 0
    while count < min(len(one), len(other)) and one[count] == other[count]:
        count += 1
    return one[:count]
