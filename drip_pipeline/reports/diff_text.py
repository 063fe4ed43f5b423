"""A comparison of two definitions as plain text and as markdown: a heading per step, a line per
change, texts with the words that went in [-…-] and those that came in {+…+}.
"""

from __future__ import annotations

from collections.abc import Sequence

from drip_pipeline.domain.diff.changes import Change, DefinitionDiff
from drip_pipeline.domain.diff.text_diff import Piece

CONTEXT_CHARACTERS = 40
_CANVAS = "Only on the canvas"
_CAMPAIGN = "The campaign"


def grouped(changes: Sequence[Change]) -> list[tuple[str, str | None, list[Change]]]:
    """Changes by step, in their order: (heading, node id, changes); those of the campaign first."""
    groups: dict[str | None, list[Change]] = {}
    for change in changes:
        groups.setdefault(change.node_id, []).append(change)
    return [
        (found[0].step or node_id if node_id else _CAMPAIGN, node_id, found)
        for node_id, found in groups.items()
    ]


def diff_lines(diff: DefinitionDiff) -> list[str]:
    """The comparison for a terminal; without differences one line that says so."""
    if diff.is_empty:
        return ["no difference"]
    lines = [diff.summary()]
    for heading, node_id, changes in grouped(diff.changes):
        lines += ["", heading if node_id in (None, heading) else f"{heading} ({node_id})"]
        for change in changes:
            lines.append(f"  {_SIGNS.get(change.kind, '~')} {change.sentence}")
            if change.pieces:
                lines += [f"      {line}" for line in marked(change.pieces).splitlines()]
    if diff.canvas:
        lines += ["", _CANVAS]
        lines += [f"  ~ {_named(change)}" for change in diff.canvas]
    return lines


def diff_markdown(diff: DefinitionDiff) -> str:
    """The comparison as markdown, for metadata of a run."""
    if diff.is_empty:
        return "*no difference*"
    lines = [f"**{_escaped(diff.summary())}**"]
    for heading, node_id, changes in grouped(diff.changes):
        place = f" `{node_id}`" if node_id not in (None, heading) else ""
        lines += ["", f"**{_escaped(heading)}**{place}", ""]
        for change in changes:
            lines.append(f"- {_escaped(change.sentence)}")
            if change.pieces:
                lines.append(f"  {_pieces_markdown(change.pieces)}")
    if diff.canvas:
        lines += ["", f"**{_CANVAS}**", ""]
        lines += [f"- {_escaped(_named(change))}" for change in diff.canvas]
    return "\n".join(lines)


def marked(pieces: Sequence[Piece]) -> str:
    """A changed text with marks, and of what stayed only the surroundings of changes."""
    marks = {"same": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}
    return "".join(marks[piece.kind].format(piece.text) for piece in shortened(pieces))


def shortened(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces with long stretches of what stayed cut in the middle."""
    found = []
    last = len(pieces) - 1
    for place, piece in enumerate(pieces):
        text = piece.text
        if piece.kind == "same":
            head = "" if place == 0 else _at_a_word(text[:CONTEXT_CHARACTERS])
            tail = "" if place == last else _at_a_word(text[-CONTEXT_CHARACTERS:], is_end=True)
            if len(text) > 2 * CONTEXT_CHARACTERS:
                text = f"{head} … {tail}"
        found.append(Piece(piece.kind, text))
    return found


def _at_a_word(text: str, *, is_end: bool = False) -> str:
    """A cut text without the half word at its edge."""
    words = text.split(maxsplit=1) if is_end else text.rsplit(maxsplit=1)
    if len(words) < 2:
        return text
    return words[1] if is_end else words[0]


_SIGNS = {"step_added": "+", "step_removed": "-", "step_moved": "\N{UP DOWN ARROW}"}


def _named(change: Change) -> str:
    return f"{change.step}: {change.sentence}" if change.step else change.sentence


def _escaped(text: str) -> str:
    for sign in "\\`*_[]<>#|":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", " ")


def _pieces_markdown(pieces: Sequence[Piece]) -> str:
    parts = []
    for piece in shortened(pieces):
        text = _escaped(piece.text.strip())
        if not text:
            continue
        mark = {"same": "", "removed": "~~", "added": "**"}[piece.kind]
        parts.append(f"{mark}{text}{mark}")
    return " ".join(parts)
