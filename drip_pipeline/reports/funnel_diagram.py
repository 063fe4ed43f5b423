"""The funnel of a campaign as a picture: the canvas with its people, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from drip_pipeline.domain.graph.graph import NodeType
from drip_pipeline.engine.metrics.funnel import Funnel, FunnelEdge, FunnelNode, Goal
from drip_pipeline.reports.flow_diagram import STRIPES, smooth
from drip_pipeline.reports.flow_layout import Layout, laid_out, spread
from drip_pipeline.reports.svg import (
    BAND,
    FAINT_INK,
    GOOD,
    INK,
    PAPER,
    RULE,
    Picture,
    shortened,
)

Point = tuple[float, float]

BOX_WIDTH: Final = 176.0
BAD: Final = "#b3261e"
LINE: Final = "#9fb0c0"
_NAMES: Final = {NodeType.EMAIL: "email", NodeType.TRIGGER: "entry", NodeType.EXIT: "end"}
_GAP_X: Final = 26.0
_GAP_Y: Final = 54.0
_LANE: Final = 14.0
_MARGIN: Final = 16.0
_LABEL_SIZE: Final = 12.0
_LINE_HEIGHT: Final = 15.0
_MOST_LINES: Final = 3
_MOST_LETTERS: Final = 24
_ROW: Final = 24.0
_ALWAYS_TOLD: Final = 1
_HEAD_WIDTH: Final = 344.0
_MILLION: Final = 1_000_000
# Widths of letters in parts of the size, a little more than those of the fonts: what is thought too
# wide is broken, what is thought too narrow would stand out of its box.
_NARROW, _WIDE, _USUAL, _BOLDER = 0.33, 0.9, 0.58, 1.17


def funnel_diagram(funnel: Funnel) -> str:
    """The picture. It is as wide as it needs to be, and a few kilobytes."""
    place = _Places(funnel)
    told = [
        *_broken(funnel.describe(), 58),
        *(_broken(funnel.goal.describe(), 58) if funnel.goal else []),
    ]
    head = 40 + 15 * len(told) + (26 if _has_bar(funnel.goal) else 0)
    width = max(place.width, _HEAD_WIDTH) + 2 * _MARGIN
    picture = Picture(
        height=head + place.height + 2 * _MARGIN,
        label=f"{_plain(funnel.campaign)}, version {funnel.version}. {funnel.describe()}",
        width=width,
        stands_alone=True,
    )
    _draw_head(picture, funnel, told)
    place.move(((width - place.width) / 2, head + _MARGIN))
    for nth, edge in enumerate(funnel.edges):
        _draw_edge(picture, place.way(nth), edge, funnel)
    _draw_edge_labels(picture, funnel.edges, place)
    for node in funnel.nodes.values():
        _draw_node(picture, node, place, funnel)
    return picture.svg()


class _Places:
    """Where boxes stand and ways lead, in points."""

    def __init__(self, funnel: Funnel) -> None:
        nodes = sorted(funnel.nodes, key=lambda node_id: node_id != funnel.entry_node_id)
        self._edges = [(edge.source, edge.target) for edge in funnel.edges]
        self._layout: Layout = laid_out(nodes, self._edges, _hints(funnel))
        self.lines = {node.node_id: _wrapped(node.label) for node in funnel.nodes.values()}
        self._shift: Point = (0.0, 0.0)
        rows = [0.0] * (max(self._layout.ranks.values()) + 1)
        for node_id, rank in self._layout.ranks.items():
            rows[rank] = max(rows[rank], self.box_height(node_id))
        self._tops = [sum(rows[:rank]) + rank * _GAP_Y for rank in range(len(rows))]
        self._ends = [top + row for top, row in zip(self._tops, rows, strict=True)]
        self._back = sorted(self._layout.back)
        self._right = self._x(self._layout.width) - _GAP_X
        self.width = self._right + 2 * _LANE * len(self._back)
        self.height = self._ends[-1] + (_LANE * 2 if self._back else 0)
        self._out: dict[str, list[int]] = {}
        for nth, (source, _) in enumerate(self._edges):
            self._out.setdefault(source, []).append(nth)
        for numbers in self._out.values():
            numbers.sort(key=self._heading)

    def move(self, by: Point) -> None:
        """Put everything elsewhere."""
        self._shift = by

    def box_height(self, node_id: str) -> float:
        """How high a node's box is."""
        return 60 + _LINE_HEIGHT * len(self.lines[node_id])

    def corner(self, node_id: str) -> Point:
        """The upper left corner of a box."""
        x = self._x(self._layout.columns[node_id]) - (_GAP_X + BOX_WIDTH) / 2
        return x + self._shift[0], self._tops[self._layout.ranks[node_id]] + self._shift[1]

    def way(self, nth: int) -> list[Point]:
        """The stops of an edge; it arrives from above."""
        return [(x + self._shift[0], y + self._shift[1]) for x, y in self._stops(nth)]

    def _stops(self, nth: int) -> list[Point]:
        source, target = self._edges[nth]
        rank = self._layout.ranks[source]
        out = self._out[source]
        share = (out.index(nth) + 1) / (len(out) + 1)
        x = self._middle(source) + (share - 0.5) * BOX_WIDTH
        stops = [(x, self._tops[rank] + self.box_height(source)), (x, self._ends[rank])]
        end, top = self._middle(target), self._tops[self._layout.ranks[target]]
        if nth in self._layout.back:
            # Round the right-hand side, in the gaps between the rows.
            place = self._back.index(nth)
            side, low = self._right + 2 * _LANE * (place + 1), self._ends[rank] + _LANE
            arrives = end + BOX_WIDTH / 4
            high = top - _GAP_Y / 2
            return [*stops, (x, low), (side, low), (side, high), (arrives, high), (arrives, top)]
        for step, bend in enumerate(self._layout.bends.get(nth, ()), start=rank + 1):
            lane = self._x(bend) - _GAP_X / 2
            stops += [(lane, self._tops[step]), (lane, self._ends[step])]
        stops.append((end, top))
        return [stops[0], *(b for a, b in pairwise(stops) if a != b)]

    def _x(self, column: float) -> float:
        return column * (BOX_WIDTH + _GAP_X)

    def _middle(self, node_id: str) -> float:
        return self._x(self._layout.columns[node_id]) - _GAP_X / 2

    def _heading(self, nth: int) -> float:
        if nth in self._layout.back:
            return float("inf")
        bends = self._layout.bends.get(nth)
        return bends[0] if bends else self._layout.columns[self._edges[nth][1]]


def _hints(funnel: Funnel) -> dict[str, float]:
    """What stands side by side in the order of the canvas, turned where it runs to the right."""
    across = [x for x, _ in funnel.positions.values()]
    down = [y for _, y in funnel.positions.values()]
    runs_right = bool(across) and max(across) - min(across) > max(down) - min(down)
    return {node: (y if runs_right else x) for node, (x, y) in funnel.positions.items()}


# --- the head -------------------------------------------------------------------------------------


def _draw_head(picture: Picture, funnel: Funnel, told: Sequence[str]) -> None:
    name = shortened(_plain(funnel.campaign), 34)
    picture.text(_MARGIN, 28, name, size=16, is_bold=True)
    at = f"version {funnel.version}, {funnel.as_of:%-d %b %Y %H:%M %Z}"
    y = 47.0
    for line in told:
        picture.text(_MARGIN, y, line, size=11.5)
        y += 15
    picture.text(_MARGIN, y, at, size=10, color=FAINT_INK)
    if funnel.goal is not None and _has_bar(funnel.goal):
        _draw_goal(picture, funnel.goal, y + 10)


def _has_bar(goal: Goal | None) -> bool:
    return goal is not None and bool(goal.target_pct) and goal.reached_pct is not None


def _draw_goal(picture: Picture, goal: Goal, y: float) -> None:
    """A bar of what was reached, with a mark at what is aimed for."""
    reached, target = goal.reached_pct or 0.0, goal.target_pct or 0.0
    whole = min(100.0, max(target * 1.5, reached * 1.1, 1.0))
    width = _HEAD_WIDTH
    picture.box(_MARGIN, y, width, 10, BAND)
    color = GOOD if goal.is_reached else "#d1650f"
    picture.box(_MARGIN, y, width * min(1.0, reached / whole), 10, color)
    mark = _MARGIN + width * target / whole
    picture.line([(mark, y - 3), (mark, y + 13)], INK)


# --- nodes ----------------------------------------------------------------------------------------


def _draw_node(picture: Picture, node: FunnelNode, place: _Places, funnel: Funnel) -> None:
    x, y = place.corner(node.node_id)
    lines, height = place.lines[node.node_id], place.box_height(node.node_id)
    color = STRIPES[node.node_type.value]
    picture.frame(x, y, BOX_WIDTH, height, RULE if node.reached == 0 else LINE)
    picture.box(x, y + 4, 4, height - 8, color)
    name = _NAMES.get(node.node_type, node.node_type.value)
    picture.text(x + 12, y + 15, name, size=10, color=color, is_bold=True)
    share = node.reached / funnel.entered if funnel.entered else 0.0
    picture.text(
        x + BOX_WIDTH - 8, y + 15, f"{100 * share:.0f} %", size=10, color=FAINT_INK, anchor="end"
    )
    for at, line in enumerate(lines):
        picture.text(
            x + 12, y + 31 + _LINE_HEIGHT * at, line, size=_LABEL_SIZE, is_bold=True,
            color=INK if node.reached else FAINT_INK,
        )  # fmt: skip
    below = y + 24 + _LINE_HEIGHT * len(lines)
    for nth, (figure, caption, tone) in enumerate(_figures(node)):
        if not figure and nth != _ALWAYS_TOLD:
            continue
        middle = x + 12 + (BOX_WIDTH - 20) * (2 * nth + 1) / 6
        shade = tone if figure else FAINT_INK
        picture.text(middle, below + 15, _short(figure), size=12, color=shade, anchor="middle")
        picture.text(middle, below + 27, caption, size=9, color=FAINT_INK, anchor="middle")
    picture.box(x + 5, y + height - 3, BOX_WIDTH - 10, 2, BAND)
    picture.box(x + 5, y + height - 3, (BOX_WIDTH - 10) * min(1.0, share), 2, color)


def _figures(node: FunnelNode) -> tuple[tuple[int, str, str], ...]:
    """Three figures of a node: who is there, who went on or ended, who was lost."""
    if node.node_type is NodeType.EXIT or (node.ended and not node.passed):
        middle = (node.ended, "ended", INK)
    else:
        middle = (node.passed + node.ended, "passed", INK)
    return (node.now, "here now", GOOD), middle, (node.lost_total, "lost here", BAD)


# --- edges ----------------------------------------------------------------------------------------


def _draw_edge(picture: Picture, way: Sequence[Point], edge: FunnelEdge, funnel: Funnel) -> None:
    share = edge.enrollments / funnel.entered if funnel.entered else 0.0
    color = LINE if edge.enrollments else RULE
    width = 1.3 + 5 * min(1.0, share)
    *before, (x, y) = way
    picture.path(smooth([*before, (x, y - 8)]), color, width=width)
    half = 4 + width / 2
    picture.area([(x, y), (x - half, y - 9), (x + half, y - 9)], color)


def _draw_edge_labels(picture: Picture, edges: Sequence[FunnelEdge], place: _Places) -> None:
    """Port and people of each edge, on its way; those at one height make room for each other."""
    rows: dict[int, list[tuple[float, float, list[str], bool]]] = {}
    for nth, edge in enumerate(edges):
        x, y = _place_of_label(place.way(nth))
        ports = _plain(" / ".join(edge.ports))
        listed = [shortened(ports, _MOST_LETTERS)] if ports else []
        row = rows.setdefault(round(y / _ROW), [])
        row.append((x, y, [*listed, f"{edge.enrollments:,}"], edge.enrollments > 0))
    for row in rows.values():
        row.sort(key=lambda label: label[0])
        widths = [max(text_width(line, 10) for line in lines) + 8 for _, _, lines, _ in row]
        middles = spread([x for x, *_ in row], widths)
        for x, wide, (_, y, lines, is_used) in zip(middles, widths, row, strict=True):
            tall = 12.0 * len(lines)
            picture.box(x - wide / 2 + 1, y - tall / 2 - 1, wide - 2, tall + 2, PAPER)
            for at, line in enumerate(lines, start=1):
                shade = INK if is_used and at == len(lines) else FAINT_INK
                base = y - tall / 2 - 3 + 12 * at
                picture.text(x, base, line, size=10, color=shade, anchor="middle")


def _place_of_label(way: Sequence[Point]) -> Point:
    """The middle of the first curve: there an edge is apart from its neighbors."""
    start, end = next(
        (pair for pair in pairwise(way) if pair[0][0] != pair[1][0]), (way[0], way[-1])
    )
    return (start[0] + end[0]) / 2, (start[1] + end[1]) / 2


# --- words ----------------------------------------------------------------------------------------


def text_width(words: str, size: float) -> float:
    """About how wide words are, in pixels."""
    return size * sum(
        _NARROW
        if letter in " .,:;|!'()[]ijlrtfI"
        else _WIDE
        if letter in "mwMW@%—…"
        else _USUAL
        if ord(letter) < 0x2E80
        else 1.05
        for letter in words
    )


def _label_width(words: str) -> float:
    return text_width(words, _LABEL_SIZE) * _BOLDER


def _wrapped(label: str, *, width: float = BOX_WIDTH - 22, most: int = _MOST_LINES) -> list[str]:
    """A label in lines that fit a box; what is too long even for that ends in an ellipsis."""
    lines: list[str] = []
    line = ""
    for word in _plain(label).split(" "):
        tried = f"{line} {word}".strip()
        if _label_width(tried) <= width:
            line = tried
            continue
        if line:
            lines.append(line)
        while _label_width(word) > width:
            cut = next(n for n in range(len(word), 0, -1) if _label_width(word[:n]) <= width)
            lines.append(word[:cut])
            word = word[cut:]
        line = word
    lines.append(line)
    if len(lines) > most:
        last = lines[most - 1]
        while _label_width(f"{last}…") > width:
            last = last[:-1]
        lines = [*lines[: most - 1], f"{last.rstrip()}…"]
    return lines


def _plain(words: str) -> str:
    """Words without line breaks and what no picture can show."""
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())


def _broken(words: str, most: int) -> list[str]:
    lines = [""]
    for word in words.split(" "):
        if len(lines[-1]) + len(word) + 1 > most:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _short(figure: int) -> str:
    return f"{figure:,}" if figure < _MILLION else f"{figure / _MILLION:,.2f} M"
