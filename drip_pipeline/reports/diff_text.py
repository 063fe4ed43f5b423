"""A comparison of two definitions as plain text and as markdown.

Each step has a heading and each change a line. In texts, removed words are in [-…-] and added words
in {+…+}.
"""

from __future__ import annotations

from collections.abc import Sequence

from drip_pipeline.domain.diff.changes import Change, DefinitionDiff
from drip_pipeline.domain.diff.text_diff import Piece

CONTEXT_CHARACTERS = 40
_LAYOUT = "Layout"
_CAMPAIGN = "The campaign"


def group_by_step(changes: Sequence[Change]) -> list[tuple[str, str | None, list[Change]]]:
    """Return (heading, node id, changes) by step; changes of the campaign come first."""
    groups: dict[str | None, list[Change]] = {}
    for change in changes:
        groups.setdefault(change.node_id, []).append(change)
    return [
        (group[0].step or node_id if node_id else _CAMPAIGN, node_id, group)
        for node_id, group in groups.items()
    ]


def diff_lines(diff: DefinitionDiff) -> list[str]:
    """Return the lines for a terminal."""
    if diff.is_empty:
        return ["no difference"]
    lines = [diff.summary()]
    for heading, node_id, changes in group_by_step(diff.changes):
        lines += ["", heading if node_id in (None, heading) else f"{heading} ({node_id})"]
        for change in changes:
            lines.append(f"  {_SIGNS.get(change.kind, '~')} {change.sentence}")
            if change.pieces:
                lines += [f"      {line}" for line in marked(change.pieces).splitlines()]
    if diff.canvas:
        lines += ["", _LAYOUT]
        lines += [f"  ~ {_named(change)}" for change in diff.canvas]
    return lines


def diff_markdown(diff: DefinitionDiff) -> str:
    """Return the comparison as markdown, for the metadata of a run."""
    if diff.is_empty:
        return "*no difference*"
    lines = [f"**{_escaped(diff.summary())}**"]
    for heading, node_id, changes in group_by_step(diff.changes):
        place = f" `{node_id}`" if node_id not in (None, heading) else ""
        lines += ["", f"**{_escaped(heading)}**{place}", ""]
        for change in changes:
            lines.append(f"- {_escaped(change.sentence)}")
            if change.pieces:
                lines.append(f"  {_pieces_markdown(change.pieces)}")
    if diff.canvas:
        lines += ["", f"**{_LAYOUT}**", ""]
        lines += [f"- {_escaped(_named(change))}" for change in diff.canvas]
    return "\n".join(lines)


def marked(pieces: Sequence[Piece]) -> str:
    """Return a changed text with marks; of unchanged parts only the context of changes."""
    marks = {"same": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}
    return "".join(marks[piece.kind].format(piece.text) for piece in with_context(pieces))


def with_context(pieces: Sequence[Piece]) -> list[Piece]:
    """Return the pieces; long unchanged ones are cut in the middle."""
    cut = []
    last = len(pieces) - 1
    for place, piece in enumerate(pieces):
        text = piece.text
        if piece.kind == "same":
            head = "" if place == 0 else _at_a_word(text[:CONTEXT_CHARACTERS])
            tail = "" if place == last else _at_a_word(text[-CONTEXT_CHARACTERS:], is_end=True)
            if len(text) > 2 * CONTEXT_CHARACTERS:
                text = f"{head} … {tail}"
        cut.append(Piece(piece.kind, text))
    return cut


def _at_a_word(text: str, *, is_end: bool = False) -> str:
    """Return a cut text without the partial word at its edge."""
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
    for piece in with_context(pieces):
        text = _escaped(piece.text.strip())
        if not text:
            continue
        mark = {"same": "", "removed": "~~", "added": "**"}[piece.kind]
        parts.append(f"{mark}{text}{mark}")
    return " ".join(parts)
