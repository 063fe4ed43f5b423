"""A flow as a picture: boxes from top to bottom with the ways between them, for comparing versions
and for funnels. What a box says and which tone it has, the callers decide; where it stands is
canvas_layout.py's business.

A tone is told by a sign and by the kind of frame as well as by its color.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, Literal

from drip_pipeline.reports.flow_layout import Layout, laid_out
from drip_pipeline.reports.svg import FAINT_INK, FONT, INK, PAPER, shortened

MOST_BOXES: Final = 400
"""A picture of more would be slower to open than to read as text."""

Tone = Literal["plain", "added", "removed", "changed", "moved", "faint"]

_BOX_WIDTH: Final = 176
_GAP_X: Final = 24
_GAP_Y: Final = 44
_PAD: Final = 10
_LINE: Final = 15
_TITLE_CHARACTERS: Final = 20
_DETAIL_CHARACTERS: Final = 25
_MOST_TITLE_LINES: Final = 2
_MOST_NAMED_BELOW: Final = 2


@dataclass(frozen=True, slots=True)
class _Look:
    frame: str
    fill: str
    sign: str = ""
    dash: str = ""
    width: float = 1.2


_LOOKS: Final[Mapping[Tone, _Look]] = {
    "plain": _Look("#9aa7b4", "#ffffff"),
    "added": _Look("#00694a", "#e3f4ec", "+", width=2.2),
    "removed": _Look("#b3261e", "#fbe9e7", "\N{MINUS SIGN}", "6 3", 2.2),
    "changed": _Look("#9a6700", "#fff4d6", "~", width=2.2),
    "moved": _Look("#0067a5", "#e5f1f9", "\N{UP DOWN ARROW}", width=2.2),
    "faint": _Look("#c9d1d9", "#f6f8fa"),
}
STRIPES: Final[Mapping[str, str]] = {
    "trigger": "#0067a5",
    "email": "#00855f",
    "wait": "#7a8794",
    "condition": "#a4478a",
    "split": "#d1650f",
    "action": "#7a5c00",
    "exit": "#1d2733",
}


@dataclass(frozen=True, slots=True)
class Box:
    """A node to be drawn: its type as a small heading, a title, and lines of detail below it."""

    node_id: str
    node_type: str
    title: str
    lines: Sequence[str] = ()
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Way:
    """A line from box to box. `label` says which way out it is; `width` is in points."""

    source: str
    target: str
    label: str = ""
    tone: Tone = "plain"
    width: float = 1.4


def draw(
    boxes: Sequence[Box],
    ways: Sequence[Way],
    *,
    label: str,
    hints: Mapping[str, float] | None = None,
) -> str:
    """The picture as SVG; `label` is what a screen reader says. The first box is the start; `hints`
    order what stands side by side, smaller further left. Ways to boxes that are not there are left
    out.
    """
    ids = {box.node_id for box in boxes}
    drawn = [way for way in ways if way.source in ids and way.target in ids]
    layout = laid_out(
        [box.node_id for box in boxes], [(way.source, way.target) for way in drawn], hints or {}
    )
    return _Drawing(boxes, drawn, layout).svg(label)


class _Drawing:
    """Boxes and ways in points."""

    def __init__(self, boxes: Sequence[Box], ways: Sequence[Way], layout: Layout) -> None:
        self._boxes = boxes
        self._ways = ways
        self._layout = layout
        self._titles = {
            box.node_id: _wrapped(box.title or box.node_id, _TITLE_CHARACTERS, _MOST_TITLE_LINES)
            for box in boxes
        }
        self._heights = {box.node_id: self._height(box) for box in boxes}
        self._tops, self._bottom = self._rows()
        self._out: dict[str, list[int]] = {}
        for number, way in enumerate(ways):
            self._out.setdefault(way.source, []).append(number)
        for numbers in self._out.values():
            numbers.sort(key=self._heading)
        self._width = layout.width * (_BOX_WIDTH + _GAP_X) + 2

    def svg(self, label: str) -> str:
        """Lines first, so that boxes and words lie on top of them."""
        lines = [self._way(number, way) for number, way in enumerate(self._ways)]
        words = [self._words(number, way) for number, way in enumerate(self._ways)]
        boxes = [self._box(box) for box in self._boxes]
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(self._width)}'
            f' {_n(self._bottom)}" width="{_n(self._width)}" height="{_n(self._bottom)}" role="img"'
            f' aria-label="{escape(label, quote=True)}" font-family="{FONT}">'
            f"{''.join(lines)}{''.join(boxes)}{''.join(words)}</svg>"
        )

    def _height(self, box: Box) -> float:
        lines = len(self._titles[box.node_id]) + len(box.lines)
        return 2 * _PAD + 12 + lines * _LINE

    def _rows(self) -> tuple[list[float], float]:
        rows = max(self._layout.ranks.values(), default=0) + 1
        heights = [0.0] * rows
        for box in self._boxes:
            rank = self._layout.ranks[box.node_id]
            heights[rank] = max(heights[rank], self._heights[box.node_id])
        tops, y = [], 2.0
        for height in heights:
            tops.append(y)
            y += height + _GAP_Y
        return tops, y - _GAP_Y + 2

    def _x(self, column: float) -> float:
        return column * (_BOX_WIDTH + _GAP_X)

    def _middle(self, node_id: str) -> float:
        return self._x(self._layout.columns[node_id])

    def _top(self, node_id: str) -> float:
        return self._tops[self._layout.ranks[node_id]]

    def _start(self, number: int, way: Way) -> tuple[float, float]:
        """Several ways out of a box leave it side by side."""
        out = self._out[way.source]
        share = (out.index(number) + 0.5) / len(out)
        x = self._middle(way.source) + (share - 0.5) * _BOX_WIDTH
        return x, self._top(way.source) + self._heights[way.source]

    def _heading(self, number: int) -> float:
        if number in self._layout.back:
            return float("inf")
        bends = self._layout.bends.get(number)
        return bends[0] if bends else self._layout.columns[self._ways[number].target]

    def _way(self, number: int, way: Way) -> str:
        look = _LOOKS[way.tone]
        x, y = self._start(number, way)
        end_x, end_y = self._middle(way.target), self._top(way.target) - 1
        if number in self._layout.back:
            path = self._upwards(way, x, y)
            tip = _arrow(self._middle(way.target) + _BOX_WIDTH / 2 + 1, end_y + 18, is_left=True)
        else:
            rank = self._layout.ranks[way.source]
            stops = [(x, y)]
            for step, bend in enumerate(self._layout.bends.get(number, ()), start=1):
                top = self._tops[rank + step]
                bottom = self._tops[rank + step + 1] - _GAP_Y
                stops += [(self._x(bend), top), (self._x(bend), bottom)]
            stops.append((end_x, end_y - 6))
            path = smooth(stops)
            tip = _arrow(end_x, end_y)
        dash = f' stroke-dasharray="{look.dash}"' if look.dash else ""
        width = max(way.width, look.width if way.tone != "plain" else way.width)
        return (
            f'<path d="{path}" fill="none" stroke="{look.frame}" stroke-width="{width:g}"{dash}/>'
            f'<path d="{tip}" fill="{look.frame}"/>'
        )

    def _upwards(self, way: Way, x: float, y: float) -> str:
        """Back to an earlier box, up beside the boxes on the right."""
        side = max(self._middle(way.source), self._middle(way.target)) + (_BOX_WIDTH + _GAP_X) / 2
        high = self._top(way.target) + 17
        end = self._middle(way.target) + _BOX_WIDTH / 2 + 6
        return f"M{_n(x)} {_n(y)}V{_n(y + 20)}H{_n(side)}V{_n(high)}H{_n(end)}"

    def _words(self, number: int, way: Way) -> str:
        """What a way is called: below the box, or, of more than two ways, where each has room,
        above what it leads to first."""
        if not way.label:
            return ""
        x, y = self._start(number, way)
        y += 14
        ways = len(self._out[way.source])
        if ways > _MOST_NAMED_BELOW and number not in self._layout.back:
            bends = self._layout.bends.get(number)
            x = self._x(bends[0]) if bends else self._middle(way.target)
            y = self._tops[self._layout.ranks[way.source] + 1] - 14
            ways = 1 if not bends else 2
        room = max(8, _DETAIL_CHARACTERS // ways)
        color = INK if way.tone == "plain" else _LOOKS[way.tone].frame
        return (
            f'<text x="{_n(x)}" y="{_n(y)}" font-size="10.5" fill="{color}"'
            f' text-anchor="middle" stroke="{PAPER}" stroke-width="4" paint-order="stroke">'
            f"{escape(shortened(way.label, room))}</text>"
        )

    def _box(self, box: Box) -> str:
        look = _LOOKS[box.tone]
        left, top = self._middle(box.node_id) - _BOX_WIDTH / 2, self._top(box.node_id)
        height = self._heights[box.node_id]
        dash = f' stroke-dasharray="{look.dash}"' if look.dash else ""
        frame = (
            f'<rect x="{_n(left)}" y="{_n(top)}" width="{_BOX_WIDTH}" height="{_n(height)}" rx="6"'
            f' fill="{look.fill}" stroke="{look.frame}" stroke-width="{look.width:g}"{dash}/>'
        )
        stripe = (
            f'<rect x="{_n(left + 1.5)}" y="{_n(top + 6)}" width="4" height="{_n(height - 12)}"'
            f' rx="2" fill="{STRIPES.get(box.node_type, FAINT_INK)}"/>'
        )
        kind = _text(left + 14, top + _PAD + 6, box.node_type, size=10, color=FAINT_INK)
        parts = [frame, stripe, kind]
        if look.sign:
            parts.append(
                _text(left + _BOX_WIDTH - 14, top + 18, look.sign, size=15, color=look.frame,
                      anchor="middle", is_bold=True)
            )  # fmt: skip
        y = top + _PAD + 8
        for words in self._titles[box.node_id]:
            y += _LINE
            parts.append(_text(left + 14, y, words, size=12.5, is_bold=True))
        for words in box.lines:
            y += _LINE
            said = shortened(words, _DETAIL_CHARACTERS)
            parts.append(_text(left + 14, y, said, size=11, color=FAINT_INK))
        told = f"{box.node_type} {box.node_id}: {box.title}"
        if box.lines:
            told += f" ({'; '.join(box.lines)})"
        return f"<g><title>{escape(told)}</title>{''.join(parts)}</g>"


def _wrapped(words: str, width: int, most: int) -> list[str]:
    """Words in at most so many lines of at most so many letters."""
    lines = textwrap.wrap(words, width, break_on_hyphens=False) or [words[:width]]
    if len(lines) > most:
        lines = [*lines[: most - 1], shortened(" ".join(lines[most - 1 :]), width)]
    return lines


def smooth(stops: Sequence[tuple[float, float]]) -> str:
    """A line through stops that leaves and reaches each of them vertically."""
    x, y = stops[0]
    path = [f"M{_n(x)} {_n(y)}"]
    for next_x, next_y in stops[1:]:
        if abs(next_x - x) < 0.5:
            path.append(f"V{_n(next_y)}")
        else:
            half = (y + next_y) / 2
            path.append(f"C{_n(x)} {_n(half)} {_n(next_x)} {_n(half)} {_n(next_x)} {_n(next_y)}")
        x, y = next_x, next_y
    return "".join(path)


def _arrow(x: float, y: float, *, is_left: bool = False) -> str:
    if is_left:
        return f"M{_n(x)} {_n(y)}l7 -4v8z"
    return f"M{_n(x)} {_n(y)}l-4 -7h8z"


def _text(
    x: float,
    y: float,
    words: str,
    *,
    size: float,
    color: str = INK,
    anchor: str = "start",
    is_bold: bool = False,
) -> str:
    weight = ' font-weight="600"' if is_bold else ""
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" font-size="{size:g}" fill="{color}"'
        f' text-anchor="{anchor}"{weight}>{escape(words)}</text>'
    )


def _n(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
