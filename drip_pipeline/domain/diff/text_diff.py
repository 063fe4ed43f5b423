"""Compare two texts word by word: pieces that are the same, removed or added, in reading order.

A Liquid tag counts as one word, because half of a tag has no meaning.
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
"""Words times words: a larger passage counts as rewritten."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text that is the same, removed or added."""

    kind: PieceKind
    text: str


def compare_texts(before: str, after: str) -> tuple[Piece, ...]:
    """Return the pieces that make up both texts.

    Lines are compared first, then the words of different lines, because this is fast for long
    pages.
    """
    pieces: list[Piece] = []
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    for same, left, right in _matched(old, new):
        if same:
            pieces += _pieces("same", "".join(left))
        else:
            pieces += _words("".join(left), "".join(right))
    return _joined(pieces)


def _words(before: str, after: str) -> list[Piece]:
    pieces: list[Piece] = []
    for same, left, right in _matched(_WORDS.findall(before), _WORDS.findall(after)):
        if same:
            pieces += _pieces("same", "".join(left))
        else:
            pieces += [*_pieces("removed", "".join(left)), *_pieces("added", "".join(right))]
    return pieces


def _matched(
    old: Sequence[str], new: Sequence[str]
) -> Iterator[tuple[bool, Sequence[str], Sequence[str]]]:
    if len(old) * len(new) > _MOST_COMPARISONS:
        yield False, old, new
        return
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        yield tag == "equal", old[a:b], new[c:d]


def _pieces(kind: PieceKind, text: str) -> list[Piece]:
    return [Piece(kind, text)] if text else []


def _joined(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """Join neighbors of one kind; a single space or comma between two changes belongs to them."""
    joined: list[Piece] = []
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
            joined += [*_pieces("removed", removed), *_pieces("added", added)]
            removed = added = ""
            if joined and joined[-1].kind == "same":
                joined[-1] = Piece("same", joined[-1].text + piece.text)
            else:
                joined.append(piece)
    return (*joined, *_pieces("removed", removed), *_pieces("added", added))
