"""Replace Liquid constructs by placeholders for HTML tools, and restore them.

An HTML parser rewrites `{% if a > b %}`, moves `{% for %}` out of a table and sorts attributes. So
every construct becomes a comment where text is allowed, and a plain word inside tags, styles and
comments; attributes inside a Liquid block become one word together.
"""

from __future__ import annotations

import re
from typing import Final

from drip_pipeline.domain.templates.unclosed import (
    HTML_PAIRS,
    LIQUID_PAIRS,
    refuse_unclosed,
)
from drip_pipeline.errors import TemplateError

_LIQUID: Final = re.compile(
    r"\{%-?\s*raw\s*-?%\}.*?\{%-?\s*endraw\s*-?%\}|\{\{.*?\}\}|\{%.*?%\}", re.DOTALL
)
LIQUID_WORD: Final = re.compile(r"liquidx*\d+z")
"""The placeholder of a construct."""
# Parts of HTML inside which a comment is not a comment.
_NOT_TEXT: Final = re.compile(
    r"<!--.*?-->|<!\[.*?\]>|<(style|script|title|textarea)\b.*?</\1\s*>|</?[a-zA-Z][^>]*>|<![^>]*>",
    re.DOTALL | re.IGNORECASE,
)
_START_TAG: Final = re.compile(r"<[a-zA-Z][^\s/>]*")
_ATTRIBUTE: Final = re.compile(
    r"""(?P<name>[^\s"'>/=]+)(?:\s*=\s*(?P<value>"[^"]*"|'[^']*'|[^\s>"']+))?"""
)
_VALUE_OR_NAME: Final = re.compile(r"""=\s*[^\s>"']+|[^\s>"'=]+|"[^"]*"|'[^']*'""")
_TAG_NAME: Final = re.compile(r"\{%-?\s*(\w+)")
_WORDS_AT_END: Final = re.compile(r"(?:\s|liquidx*\d+z)*$")
_BLOCKS: Final = frozenset(
    {"if", "unless", "case", "for", "tablerow", "capture", "comment", "ifchanged", "partial"}
)
_CONTROLS: Final = (
    frozenset({"else", "elsif", "when"}) | _BLOCKS | {f"end{name}" for name in _BLOCKS}
)
STYLE: Final = "style"


class LiquidPlaceholders:
    """Replaces the Liquid of a text; `text` is the result, `restore` reverses it. For one use.

    Each attribute that `merged` names gets one value: `{% if a %}style="x"{% endif %}` becomes
    `style="{% if a %}x;{% endif %}"`. A style with Liquid becomes one declaration, so that an
    inliner adds rules before it and never inside a block. Raises TemplateError for a text with many
    openings that have no end.
    """

    def __init__(self, text: str, *, merged: tuple[str, ...] = ()) -> None:
        refuse_unclosed(text, (*LIQUID_PAIRS, *HTML_PAIRS))
        self._mark = "liquid"
        while self._mark in text:
            self._mark += "x"
        self._merged = merged
        self._hidden: list[str] = []
        self._parts: set[int] = set()  # constructs that are a part of another placeholder
        self._declarations: set[int] = set()
        marked = _LIQUID.sub(lambda construct: self._hide(construct.group()), text)
        self._word = re.compile(rf"{self._mark}(\d+)z")
        pieces: list[str] = []
        end = 0
        for match in _NOT_TEXT.finditer(marked):
            pieces.append(self._word.sub(r"<!--\g<0>-->", marked[end : match.start()]))
            pieces.append(self._shielded(match.group()))
            end = match.end()
        pieces.append(self._word.sub(r"<!--\g<0>-->", marked[end:]))
        self.text = "".join(pieces)

    def construct(self, word: str) -> str:
        """Return the construct of a placeholder that `self.text` contains."""
        return self._hidden[int(word[len(self._mark) : -1])]

    def restore(self, text: str, *, may_lose: bool = False) -> str:
        """Restore every construct in a text derived from `self.text`.

        Raises TemplateError with a construct that the tool has dropped, unless `may_lose`.
        """
        restored = set(self._parts)

        def put_back(match: re.Match[str]) -> str:
            number = int(match[1] or match[2])
            restored.add(number)
            kept = match[3] if match[3] and number not in self._declarations else ""
            return self._hidden[number] + kept

        number = rf"{self._mark}(\d+)z"
        text = re.sub(rf'<!--{number}-->|{number}(?:(:\s*0;?)|="")?', put_back, text)
        for place, construct in enumerate(self._hidden):
            if place not in restored and not may_lose:
                raise TemplateError(
                    f"HTML cannot keep {construct!r} at its position",
                    hint="Move it into the text of an element or into the value of an attribute.",
                )
        return text

    def _hide(self, construct: str) -> str:
        self._hidden.append(construct)
        return f"{self._mark}{len(self._hidden) - 1}z"

    def _shown(self, text: str) -> str:
        """Return a part of a tag with its constructs, which belong to another placeholder then."""

        def show(match: re.Match[str]) -> str:
            self._parts.add(int(match[1]))
            return self._hidden[int(match[1])]

        return self._word.sub(show, text)

    def _shielded(self, markup: str) -> str:
        """Return a tag with its conditional attributes as one placeholder, and merged attributes
        with one value; other markup unchanged.
        """
        name = _START_TAG.match(markup)
        if name is None or markup.count(">") != 1 or not self._word.search(markup):
            return markup
        runs = self._runs(markup[name.end() :])
        if runs is None or not any(self._needs_change(run) for run in runs):
            return markup
        kept, merged = [name.group()], dict[str, list[str]]()
        for run in runs:
            self._keep(run, kept, merged)
        for attribute, values in merged.items():
            value = "".join(values)
            hidden = self._word.search(value) is not None
            if hidden:
                value = self._hide(self._shown(value).replace("\0", "&quot;"))
            if hidden and attribute == STYLE:
                self._declarations.add(len(self._hidden) - 1)
                value += ":0"
            kept.append(f'{attribute}="{value.replace(chr(0), "&quot;")}"')
        return " ".join(kept) + ("/>" if markup.endswith("/>") else ">")

    def _runs(self, attributes: str) -> list[list[re.Match[str]]] | None:
        """Group the attributes of a tag: one alone, or all of a Liquid block. Return None if a
        block begins or ends outside the tag.
        """
        runs: list[list[re.Match[str]]] = []
        depth = 0
        for token in _ATTRIBUTE.finditer(_VALUE_OR_NAME.sub(self._separated, attributes)):
            if depth == 0:
                runs.append([])
            runs[-1].append(token)
            if token["value"] is None:
                for word in self._word.finditer(token["name"]):
                    depth += _nesting(self._hidden[int(word[1])])
            if depth < 0:
                return None
        return None if depth else runs

    def _separated(self, piece: re.Match[str]) -> str:
        """Put space around the block tags of a name, or of a bare value that one ends."""
        text = piece.group()
        if text[0] in "\"'":
            return text
        words = list(self._word.finditer(text))
        if text[0] == "=" and sum(_nesting(self._hidden[int(word[1])]) for word in words) == 0:
            return text
        return self._word.sub(
            lambda word: f" {word[0]} " if self._controls(word[0]) else word[0], text
        )

    def _needs_change(self, run: list[re.Match[str]]) -> bool:
        first = run[0]
        return len(run) > 1 or (
            first["name"].lower() in self._merged
            and STYLE in self._merged
            and self._word.search(first["value"] or "") is not None
        )

    def _keep(
        self, run: list[re.Match[str]], kept: list[str], merged: dict[str, list[str]]
    ) -> None:
        """Add a run to the attributes that are kept, and its merged attributes to their values."""
        if len(run) == 1:
            attribute = run[0]["name"].lower()
            if attribute in self._merged:
                merged.setdefault(attribute, []).append(_ended(attribute, _value(run[0])))
            else:
                kept.append(run[0].group())
            return
        for attribute in self._merged:
            if any(token["name"].lower() == attribute for token in run):
                values = merged.setdefault(attribute, [])
                for token in run:
                    if token["name"].lower() == attribute:
                        values.append(_ended(attribute, _value(token)))
                    elif token["value"] is None and self._controls(token["name"]):
                        values.append(token["name"])
        rest = [token for token in run if token["name"].lower() not in self._merged]
        if any(token["value"] or not self._controls(token["name"]) for token in rest):
            kept.append(self._hide(self._shown(" ".join(token.group() for token in rest))))

    def _controls(self, words: str) -> bool:
        names = [tag_name(self._hidden[int(word[1])]) for word in self._word.finditer(words)]
        return any(name in _CONTROLS for name in names)


def tag_name(construct: str) -> str:
    """Return the name of a Liquid tag; empty for an output."""
    match = _TAG_NAME.match(construct)
    return match[1] if match else ""


def is_output(construct: str) -> bool:
    """Return whether a construct writes text at its place, as `{{ x }}` and `{% raw %}` do."""
    return tag_name(construct) in ("", "raw", "cycle", "increment", "decrement", "echo")


def _nesting(construct: str) -> int:
    name = tag_name(construct)
    return (name in _BLOCKS) - (name.startswith("end") and name[3:] in _BLOCKS)


def _value(token: re.Match[str]) -> str:
    """Return an attribute's value; a quotation mark inside it is written as a NUL character."""
    value = token["value"] or ""
    return value[1:-1].replace('"', "\0") if value[:1] in ("'", '"') else value


def _ended(attribute: str, value: str) -> str:
    """Return a value that another can follow."""
    end = _WORDS_AT_END.sub("", value)
    return value + ";" if attribute == STYLE and not end.endswith(";") else value
