"""Refuse texts with many openings that have no end, such as `{% raw %}` or `<style>`.

For each of them a parser reads to the end of the text, which together takes hours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from drip_pipeline.errors import TemplateError

_MOST: Final = 20


class Pair(NamedTuple):
    """The opening and the end of a construct."""

    opening: re.Pattern[str]
    end: re.Pattern[str]


def pair(opening: str, end: str) -> Pair:
    """Return the pair of two regular expressions, in any case of letters."""
    return Pair(re.compile(opening, re.IGNORECASE), re.compile(end, re.IGNORECASE))


LIQUID_PAIRS: Final = (
    pair(r"\{\{", r"\}\}"),
    pair(r"\{%", r"%\}"),
    *(
        pair(rf"\{{%-?\s{{0,9}}{tag}\b", rf"\{{%-?\s{{0,9}}end{tag}\b")
        for tag in ("raw", "comment", "doc")
    ),
)
HTML_PAIRS: Final = (
    pair(r"<!--", r"-->"),
    pair(r"<!\[", r"\]>"),
    pair(r"</?[a-z!]", r">"),
    *(pair(rf"<{tag}\b", rf"</{tag}\b") for tag in ("style", "script", "title", "textarea")),
)


def refuse_unclosed(text: str, pairs: Iterable[Pair]) -> None:
    """Raise TemplateError, with the line of the first one, for more than 20 openings behind the
    last end."""
    for opening, end in pairs:
        behind = max((match.end() for match in end.finditer(text)), default=0)
        count = sum(1 for _ in opening.finditer(text, behind))
        if count > _MOST:
            first = opening.search(text, behind)
            assert first is not None
            line = text.count("\n", 0, first.start()) + 1
            raise TemplateError(
                f"line {line}: {first[0]!r} has no end, nor have {count - 1:,} others"
            )
