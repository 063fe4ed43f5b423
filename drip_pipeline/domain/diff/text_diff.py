"""What changed in a text, word by word. Pure: pieces that stayed, went and came, in reading order.

A Liquid tag is one word: half of one would tell nobody anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final, Literal

PieceKind = Literal["same", "removed", "added"]

_WORDS: Final = re.compile(r"(?:\{\{.*?\}\}|\{%.*?%\}|<[^<>]*>|\w+|[^\w\s])\s*|\s+", re.DOTALL)
_MOST_COMPARISONS: Final = 1_000_000
"""Words times words: beyond it a passage counts as written anew."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text that stayed, went or came."""

    kind: PieceKind
    text: str


def compare_texts(before: str, after: str) -> tuple[Piece, ...]:
    """The pieces that make `before` (without what came) and `after` (without what went).

    Lines first, then the words of lines that differ, so that a long page stays quick.
    """
    pieces: list[Piece] = []
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    for same, left, right in _matched(old, new):
        if same:
            pieces += _told("same", "".join(left))
        else:
            pieces += _words("".join(left), "".join(right))
    return _joined(pieces)


def _words(before: str, after: str) -> list[Piece]:
    pieces: list[Piece] = []
    for same, left, right in _matched(_WORDS.findall(before), _WORDS.findall(after)):
        if same:
            pieces += _told("same", "".join(left))
        else:
            pieces += [*_told("removed", "".join(left)), *_told("added", "".join(right))]
    return pieces


def _matched(
    old: Sequence[str], new: Sequence[str]
) -> Iterator[tuple[bool, Sequence[str], Sequence[str]]]:
    if len(old) * len(new) > _MOST_COMPARISONS:
        yield False, old, new
        return
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        yield tag == "equal", old[a:b], new[c:d]


def _told(kind: PieceKind, text: str) -> list[Piece]:
    return [Piece(kind, text)] if text else []


def _joined(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """Neighbors of a kind as one; a lone blank or comma between two changes belongs to them."""
    found: list[Piece] = []
    removed = added = ""
    for index, piece in enumerate(pieces):
        between = (
            piece.kind == "same"
            and (removed or added)
            and len(piece.text.strip()) <= 1
            and index + 1 < len(pieces)
        )
        if piece.kind == "removed" or between:
            removed += piece.text
        if piece.kind == "added" or between:
            added += piece.text
        if piece.kind == "same" and not between:
            found += [*_told("removed", removed), *_told("added", added)]
            removed = added = ""
            if found and found[-1].kind == "same":
                found[-1] = Piece("same", found[-1].text + piece.text)
            else:
                found.append(piece)
    return (*found, *_told("removed", removed), *_told("added", added))
