"""Replace Liquid constructs by placeholders for HTML tools, and restore them.

An HTML parser rewrites `{% if a > b %}` and moves `{% for %}` out of a table. So every construct
becomes a comment where text is allowed, and a plain word inside tags, styles and comments.
"""

from __future__ import annotations

import re
from typing import Final

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


class LiquidPlaceholders:
    """Replaces the Liquid of a text; `text` is the result, `restore` reverses it. For one use."""

    def __init__(self, text: str) -> None:
        self._mark = "liquid"
        while self._mark in text:
            self._mark += "x"
        self._hidden: list[str] = []
        marked = _LIQUID.sub(self._hide, text)
        word = self._word()
        pieces: list[str] = []
        end = 0
        for match in _NOT_TEXT.finditer(marked):
            pieces.append(word.sub(r"<!--\g<0>-->", marked[end : match.start()]))
            pieces.append(match.group())
            end = match.end()
        pieces.append(word.sub(r"<!--\g<0>-->", marked[end:]))
        self.text = "".join(pieces)

    def restore(self, text: str, *, may_lose: bool = False) -> str:
        """Restore every construct in a text derived from `self.text`.

        Raises TemplateError with a construct that the tool has dropped, unless `may_lose`.
        """
        restored: set[int] = set()

        def put_back(match: re.Match[str]) -> str:
            number = int(match["number"])
            restored.add(number)
            return self._hidden[number]

        number = rf"{self._mark}(?P<number>\d+)z"
        for pattern in (rf"<!--{number}-->", rf'{number}(?:="")?'):
            text = re.sub(pattern, put_back, text)
        for place, construct in enumerate(self._hidden):
            if place not in restored and not may_lose:
                raise TemplateError(
                    f"HTML cannot keep {construct!r} at its position",
                    hint="Move it into the text of an element or into the value of an attribute.",
                )
        return text

    def _hide(self, match: re.Match[str]) -> str:
        self._hidden.append(match.group())
        return f"{self._mark}{len(self._hidden) - 1}z"

    def _word(self) -> re.Pattern[str]:
        return re.compile(rf"{self._mark}\d+z")
