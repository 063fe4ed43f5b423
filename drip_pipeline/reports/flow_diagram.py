"""Draw a flow as an SVG diagram: boxes from top to bottom, with the edges between them.

`draw_flow` draws a whole diagram for version comparisons. The funnel (funnel_diagram.py) uses the
same geometry, boxes, edges and edge labels, and adds its metrics. Positions in ranks and columns
come from flow_layout.py. A tone is shown by a sign and the kind of frame as well as by color.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from drip_pipeline.reports.flow_layout import lay_out, spread
from drip_pipeline.reports.svg import FAINT_INK, INK, PAPER, SvgCanvas, number_text, shorten

MAX_BOXES: Final = 400
"""A larger diagram takes longer to open than the text takes to read."""
BOX_WIDTH: Final = 176.0
LINE_HEIGHT: Final = 15.0
MAX_LABEL_CHARACTERS: Final = 24

Tone = Literal["plain", "added", "removed", "changed", "moved", "faint"]
Point = tuple[float, float]

_GAP_X: Final = 26.0
_GAP_Y: Final = 54.0
_BACK_EDGE_GAP: Final = 14.0
_MARGIN: Final = 2.0
_HEAD_HEIGHT: Final = 20.0
_TITLE_SIZE: Final = 12.0
_LABEL_ROW: Final = 24.0
_MAX_TITLE_LINES: Final = 2
# Letter widths as fractions of the font size, a little more than in the real fonts: an overestimate
# only breaks a line early, an underestimate would let the text leave its box.
_NARROW, _WIDE, _USUAL, _CJK, _BOLD = 0.33, 0.9, 0.58, 1.05, 1.17


@dataclass(frozen=True, slots=True)
class BoxStyle:
    """Frame and fill colors of a box, the sign of its tone, dashes and line width."""

    frame: str
    fill: str
    sign: str = ""
    dash: str = ""
    width: float = 1.2
    title_color: str = INK


STYLES: Final[Mapping[Tone, BoxStyle]] = {
    "plain": BoxStyle("#9aa7b4", "#ffffff"),
    "added": BoxStyle("#00694a", "#e3f4ec", "+", width=2.2),
    "removed": BoxStyle("#b3261e", "#fbe9e7", "\N{MINUS SIGN}", "6 3", 2.2),
    "changed": BoxStyle("#9a6700", "#fff4d6", "~", width=2.2),
    "moved": BoxStyle("#0067a5", "#e5f1f9", "\N{UP DOWN ARROW}", width=2.2),
    "faint": BoxStyle("#c9d1d9", "#f6f8fa"),
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
    """A node: its type as a small heading, a title, and detail lines below it."""

    node_id: str
    node_type: str
    title: str
    lines: Sequence[str] = ()
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class FlowEdge:
    """An edge from box to box; `label` is the name of its port."""

    source: str
    target: str
    label: str = ""


def draw_flow(
    boxes: Sequence[Box],
    edges: Sequence[FlowEdge],
    *,
    label: str,
    hints: Mapping[str, float] | None = None,
) -> str:
    """Return the diagram as SVG; `label` is its text for screen readers.

    The first box is the start. `hints` order boxes of one rank from left to right, ascending. Edges
    to missing boxes are left out.
    """
    ids = {box.node_id for box in boxes}
    drawn = [edge for edge in edges if edge.source in ids and edge.target in ids]
    titles = {box.node_id: wrap(box.title or box.node_id, _MAX_TITLE_LINES) for box in boxes}
    heights = {
        box.node_id: _HEAD_HEIGHT
        + LINE_HEIGHT * (len(titles[box.node_id]) + len(box.lines))
        + LINE_HEIGHT
        for box in boxes
    }
    geometry = FlowGeometry(heights, [(edge.source, edge.target) for edge in drawn], hints or {})
    geometry.move((_MARGIN, _MARGIN))
    canvas = SvgCanvas(
        height=geometry.height + 2 * _MARGIN,
        label=label,
        width=geometry.width + 2 * _MARGIN,
        has_size=True,
    )
    for number in range(len(drawn)):
        draw_edge(canvas, geometry.stops(number), STYLES["plain"].frame, width=1.4)
    for box in boxes:
        _draw_flow_box(canvas, box, geometry, titles[box.node_id])
    draw_edge_labels(
        canvas,
        [
            (geometry.stops(number), [(shorten(edge.label, MAX_LABEL_CHARACTERS), INK)])
            for number, edge in enumerate(drawn)
            if edge.label
        ],
    )
    return canvas.svg()


def _draw_flow_box(
    canvas: SvgCanvas, box: Box, geometry: FlowGeometry, title: Sequence[str]
) -> None:
    x, y = geometry.corner(box.node_id)
    style = STYLES[box.tone]
    description = f"{box.node_type} {box.node_id}: {box.title}"
    if box.lines:
        description += f" ({'; '.join(box.lines)})"
    canvas.begin_group(description)
    stripe = STRIPES.get(box.node_type, FAINT_INK)
    height = geometry.heights[box.node_id]
    draw_box(canvas, (x, y), height, style=style, stripe=stripe, kind=box.node_type, title=title)
    if style.sign:
        right = x + BOX_WIDTH - 14
        canvas.text(
            right, y + 18, style.sign, size=15, color=style.frame, anchor="middle", is_bold=True
        )
    for number, line in enumerate(box.lines, start=len(title)):
        base = y + 31 + LINE_HEIGHT * number
        canvas.text(x + 12, base, shorten(line, MAX_LABEL_CHARACTERS), size=11, color=FAINT_INK)
    canvas.end_group()


def draw_box(
    canvas: SvgCanvas,
    corner: Point,
    height: float,
    *,
    style: BoxStyle,
    stripe: str,
    kind: str,
    title: Sequence[str],
) -> None:
    """Draw the frame of a box, its stripe, its kind and the lines of its title."""
    x, y = corner
    canvas.frame(
        corner,
        (BOX_WIDTH, height),
        style.frame,
        fill=style.fill,
        width=style.width,
        dash=style.dash,
    )
    canvas.box(x, y + 4, 4, height - 8, stripe)
    canvas.text(x + 12, y + 15, kind, size=10, color=stripe, is_bold=True)
    for number, line in enumerate(title):
        base = y + 31 + LINE_HEIGHT * number
        canvas.text(x + 12, base, line, size=_TITLE_SIZE, color=style.title_color, is_bold=True)


def draw_edge(canvas: SvgCanvas, stops: Sequence[Point], color: str, *, width: float) -> None:
    """Draw an edge through its stops, with an arrow at the end."""
    *before, (x, y) = stops
    canvas.path(_smooth_path([*before, (x, y - 8)]), color, width=width)
    half = 4 + width / 2
    canvas.area([(x, y), (x - half, y - 9), (x + half, y - 9)], color)


def draw_edge_labels(
    canvas: SvgCanvas, labels: Sequence[tuple[Sequence[Point], Sequence[tuple[str, str]]]]
) -> None:
    """Draw the labels of edges, given as (stops, lines of text and color).

    Labels at the same height are moved apart.
    """
    rows: dict[int, list[tuple[float, float, Sequence[tuple[str, str]]]]] = {}
    for stops, lines in labels:
        x, y = _label_position(stops)
        rows.setdefault(round(y / _LABEL_ROW), []).append((x, y, lines))
    for row in rows.values():
        row.sort(key=lambda label: label[0])
        widths = [max(text_width(text, 10) for text, _ in lines) + 8 for _, _, lines in row]
        middles = spread([x for x, _, _ in row], widths)
        for x, width, (_, y, lines) in zip(middles, widths, row, strict=True):
            height = 12.0 * len(lines)
            canvas.box(x - width / 2 + 1, y - height / 2 - 1, width - 2, height + 2, PAPER)
            for number, (text, color) in enumerate(lines, start=1):
                base = y - height / 2 - 3 + 12 * number
                canvas.text(x, base, text, size=10, color=color, anchor="middle")


def _label_position(stops: Sequence[Point]) -> Point:
    """Return the middle of the first curve, where an edge is apart from its neighbors."""
    start, end = next(
        (pair for pair in pairwise(stops) if pair[0][0] != pair[1][0]), (stops[0], stops[-1])
    )
    return (start[0] + end[0]) / 2, (start[1] + end[1]) / 2


class FlowGeometry:
    """Positions of boxes and stops of edges, in points.

    `heights`: the height of each box, the start first. `width` and `height` are those of the flow.
    """

    def __init__(
        self,
        heights: Mapping[str, float],
        edges: Sequence[tuple[str, str]],
        hints: Mapping[str, float],
    ) -> None:
        self.heights = heights
        self._edges = edges
        self._layout = lay_out(list(heights), edges, hints)
        self._shift: Point = (0.0, 0.0)
        rows = [0.0] * (max(self._layout.ranks.values(), default=0) + 1)
        for node_id, rank in self._layout.ranks.items():
            rows[rank] = max(rows[rank], heights[node_id])
        self._tops = [sum(rows[:rank]) + rank * _GAP_Y for rank in range(len(rows))]
        self._bottoms = [top + row for top, row in zip(self._tops, rows, strict=True)]
        self._back = sorted(self._layout.back)
        self._right = self._x(self._layout.width) - _GAP_X
        self.width = self._right + 2 * _BACK_EDGE_GAP * len(self._back)
        self.height = self._bottoms[-1] + (_BACK_EDGE_GAP * 2 if self._back else 0)
        self._outgoing: dict[str, list[int]] = {}
        for number, (source, _) in enumerate(edges):
            self._outgoing.setdefault(source, []).append(number)
        for numbers in self._outgoing.values():
            numbers.sort(key=self._direction)

    def move(self, offset: Point) -> None:
        """Set the position of the upper left corner of the flow."""
        self._shift = offset

    def corner(self, node_id: str) -> Point:
        """Return the upper left corner of a box."""
        x = self._middle(node_id) - BOX_WIDTH / 2
        return x + self._shift[0], self._tops[self._layout.ranks[node_id]] + self._shift[1]

    def stops(self, number: int) -> list[Point]:
        """Return the points that an edge passes; it reaches its target from above."""
        return [(x + self._shift[0], y + self._shift[1]) for x, y in self._stops(number)]

    def _stops(self, number: int) -> list[Point]:
        source, target = self._edges[number]
        rank = self._layout.ranks[source]
        outgoing = self._outgoing[source]
        fraction = (outgoing.index(number) + 1) / (len(outgoing) + 1)
        x = self._middle(source) + (fraction - 0.5) * BOX_WIDTH
        stops = [(x, self._tops[rank] + self.heights[source]), (x, self._bottoms[rank])]
        end, top = self._middle(target), self._tops[self._layout.ranks[target]]
        if number in self._layout.back:
            # Around the right-hand side, in the gaps between the rows.
            distance = 2 * _BACK_EDGE_GAP * (self._back.index(number) + 1)
            side, low = self._right + distance, self._bottoms[rank] + _BACK_EDGE_GAP
            arrival, high = end + BOX_WIDTH / 4, top - _GAP_Y / 2
            return [*stops, (x, low), (side, low), (side, high), (arrival, high), (arrival, top)]
        for step, bend in enumerate(self._layout.bends.get(number, ()), start=rank + 1):
            column = self._x(bend) - _GAP_X / 2
            stops += [(column, self._tops[step]), (column, self._bottoms[step])]
        stops.append((end, top))
        return [stops[0], *(after for before, after in pairwise(stops) if before != after)]

    def _x(self, column: float) -> float:
        return column * (BOX_WIDTH + _GAP_X)

    def _middle(self, node_id: str) -> float:
        return self._x(self._layout.columns[node_id]) - _GAP_X / 2

    def _direction(self, number: int) -> float:
        """Return the column that an edge leads to first; edges upwards come last."""
        if number in self._layout.back:
            return float("inf")
        bends = self._layout.bends.get(number)
        return bends[0] if bends else self._layout.columns[self._edges[number][1]]


def _smooth_path(stops: Sequence[Point]) -> str:
    """Return an SVG path through the stops that is vertical at each of them."""
    n = number_text
    x, y = stops[0]
    path = [f"M{n(x)} {n(y)}"]
    for next_x, next_y in stops[1:]:
        if abs(next_x - x) < 0.5:
            path.append(f"V{n(next_y)}")
        else:
            half = (y + next_y) / 2
            path.append(f"C{n(x)} {n(half)} {n(next_x)} {n(half)} {n(next_x)} {n(next_y)}")
        x, y = next_x, next_y
    return "".join(path)


# --- text -----------------------------------------------------------------------------------------


def text_width(text: str, size: float) -> float:
    """Return the estimated width of a text, in points."""
    return size * sum(
        _NARROW
        if letter in " .,:;|!'()[]ijlrtfI"
        else _WIDE
        if letter in "mwMW@%—…"
        else _USUAL
        if ord(letter) < 0x2E80
        else _CJK
        for letter in text
    )


def _title_width(text: str) -> float:
    return text_width(text, _TITLE_SIZE) * _BOLD


def wrap(title: str, max_lines: int, *, width: float = BOX_WIDTH - 22) -> list[str]:
    """Break a title into at most `max_lines` lines that fit a box; the last may be shortened."""
    lines: list[str] = []
    line = ""
    for word in printable(title).split(" "):
        longer = f"{line} {word}".strip()
        if _title_width(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        while _title_width(word) > width:
            cut = next(n for n in range(len(word), 0, -1) if _title_width(word[:n]) <= width)
            lines.append(word[:cut])
            word = word[cut:]
        line = word
    lines.append(line)
    if len(lines) > max_lines:
        last = lines[max_lines - 1]
        while _title_width(f"{last}…") > width:
            last = last[:-1]
        lines = [*lines[: max_lines - 1], f"{last.rstrip()}…"]
    return lines


def printable(text: str) -> str:
    """Return the text without line breaks and unprintable characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
