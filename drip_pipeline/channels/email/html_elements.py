"""What HTML elements mean for a text: blocks, list numbers, hidden parts, tables of data.

`text_from_html.py` writes the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final

PARAGRAPHS: Final = frozenset(
    {"p", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "dl", "blockquote", "pre", "hr"}
)
LINES: Final = frozenset({
    "div", "tr", "section", "header", "footer", "article", "aside", "main", "nav", "figure",
    "figcaption", "address", "form", "fieldset", "legend", "center", "details", "summary",
    "caption", "dt", "dd", "li", "option", "select", "body",
})  # fmt: skip
APART: Final = frozenset({"img", "button", "td", "th"})
"""Inline elements that a page shows with space around them."""
VOID: Final = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
    "track", "wbr",
})  # fmt: skip
_SILENT: Final = frozenset(
    {
        "head",
        "title",
        "style",
        "script",
        "template",
        "svg",
        "iframe",
        "object",
        "audio",
        "video",
    }
)
_HIDDEN: Final = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)\b", re.I)
# The elements that a start tag ends, and those beyond which it ends nothing.
_ENDS: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = {
    "li": (frozenset({"li"}), frozenset({"ul", "ol"})),
    "td": (frozenset({"td", "th"}), frozenset({"tr", "table"})),
    "th": (frozenset({"td", "th"}), frozenset({"tr", "table"})),
    "tr": (frozenset({"tr"}), frozenset({"table"})),
    "dt": (frozenset({"dt", "dd"}), frozenset({"dl"})),
    "dd": (frozenset({"dt", "dd"}), frozenset({"dl"})),
    "option": (frozenset({"option"}), frozenset({"select"})),
}
_NOT_IN_CELLS: Final = (PARAGRAPHS | LINES | {"br"}) - {"tr", "caption", "body"}
Attributes = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Token:
    """A start tag, an end tag, a text or a comment; `name` is a tag's name."""

    kind: str
    name: str = ""
    attributes: Attributes = field(default_factory=dict)
    text: str = ""


class _Tokenizer(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tokens: list[Token] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # Of repeated attributes the first counts, as in browsers.
        self.tokens.append(Token("start", tag, dict(reversed(attrs))))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        self.tokens.append(Token("end", tag))

    def handle_data(self, data: str) -> None:
        self.tokens.append(Token("text", text=data))

    def handle_comment(self, data: str) -> None:
        self.tokens.append(Token("comment", text=data))


def tokenize(html: str) -> list[Token]:
    """Return the tokens of an HTML text, entities decoded."""
    tokenizer = _Tokenizer()
    tokenizer.feed(html)
    tokenizer.close()
    return tokenizer.tokens


def is_hidden(name: str, attributes: Attributes) -> bool:
    """Return whether a page shows nothing of this element."""
    return (
        name in _SILENT
        or "hidden" in attributes
        or _HIDDEN.search(attributes.get("style") or "") is not None
    )


def ended_by(name: str, open_names: list[str]) -> int:
    """Return how many of the open elements, innermost last, a start tag ends without end tags."""
    if name in _ENDS:
        ended, limits = _ENDS[name]
        for depth, open_name in enumerate(reversed(open_names), start=1):
            if open_name in ended:
                return depth
            if open_name in limits:
                break
        return 0
    is_block = name in PARAGRAPHS or name in LINES
    return int(is_block and bool(open_names) and open_names[-1] == "p")


@dataclass(slots=True)
class _ElementTable:
    is_layout: bool
    has_header: bool = False
    has_blocks: bool = False
    cells: int = 0


def table_kinds(tokens: Iterable[Token]) -> list[str]:
    """Return for each table of a page, in the order of their start tags: `header` for data with
    header cells, `data`, or `layout` if cells only place blocks.
    """
    tables: list[_ElementTable] = []
    open_tables: list[_ElementTable] = []
    for token in tokens:
        if token.kind == "end" and token.name == "table" and open_tables:
            open_tables.pop()
        if token.kind != "start":
            continue
        if open_tables:
            open_tables[-1].has_header |= token.name == "th"
            open_tables[-1].has_blocks |= token.name in _NOT_IN_CELLS
        if token.name == "table":
            role = (token.attributes.get("role") or "").strip().lower()
            table = _ElementTable(role in ("presentation", "none"))
            tables.append(table)
            open_tables.append(table)
    return [
        "layout"
        if table.is_layout or (table.has_blocks and not table.has_header)
        else "header"
        if table.has_header
        else "data"
        for table in tables
    ]


def list_number(number: int, kind: str | None) -> str:
    """Return the number of a list item as its list's `type` shows it: 1, a, A, i or I."""
    if kind in ("a", "A") and number > 0:
        letters = ""
        while number > 0:
            number, letter = divmod(number - 1, 26)
            letters = chr(ord(kind) + letter) + letters
        return letters
    if kind in ("i", "I") and 0 < number < 4_000:
        roman = ""
        for value, numeral in _ROMAN:
            count, number = divmod(number, value)
            roman += numeral * count
        return roman if kind == "I" else roman.lower()
    return str(number)


_ROMAN: Final = (
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"),
    (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
)  # fmt: skip


def whole_number(text: str | None) -> int | None:
    """Return the number of an attribute, None if it has none."""
    try:
        return None if text is None else int(text.strip())
    except ValueError:
        return None


def target(href: str | None) -> str:
    """Return what a reader needs of a link's URL: the address of mailto and tel, nothing of a
    fragment or a script.
    """
    url = (href or "").strip()
    scheme, _, rest = url.partition(":")
    match scheme.lower():
        case "mailto":
            return rest.partition("?")[0]
        case "tel" | "sms":
            return rest
        case "javascript":
            return ""
    return "" if url.startswith("#") else url


def is_same_target(text: str, url: str) -> bool:
    """Return whether the text of a link shows its URL already."""

    def plain(value: str) -> str:
        return "".join(value.split()).rstrip("/").casefold()

    return plain(text) == plain(url)
