"""Draw the funnel of a campaign as an SVG diagram: the flow with the contacts of each node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from drip_pipeline.domain.graph.graph import NodeType
from drip_pipeline.engine.metrics.funnel import Funnel, FunnelEdge, FunnelNode, Goal
from drip_pipeline.reports.flow_diagram import (
    BOX_WIDTH,
    LINE_HEIGHT,
    MAX_LABEL_CHARACTERS,
    STRIPES,
    BoxStyle,
    FlowGeometry,
    draw_box,
    draw_edge,
    draw_edge_labels,
    printable,
    wrap,
)
from drip_pipeline.reports.svg import BAND, FAINT_INK, GOOD, INK, PAPER, RULE, SvgCanvas, shorten

BAD: Final = "#b3261e"
LINE: Final = "#9fb0c0"
_KINDS: Final = {NodeType.EMAIL: "email", NodeType.TRIGGER: "entry", NodeType.EXIT: "end"}
_MARGIN: Final = 16.0
_METRICS_HEIGHT: Final = 60.0
_MAX_TITLE_LINES: Final = 3
_MAX_SUMMARY_CHARACTERS: Final = 58
_ALWAYS_SHOWN: Final = 1
_HEAD_WIDTH: Final = 344.0
_MILLION: Final = 1_000_000


def funnel_diagram(funnel: Funnel) -> str:
    """Return the diagram as SVG, a few kilobytes; its width depends on the flow."""
    titles = {
        node.node_id: wrap(node.label, _MAX_TITLE_LINES)
        for node in sorted(
            funnel.nodes.values(), key=lambda node: node.node_id != funnel.entry_node_id
        )
    }
    geometry = FlowGeometry(
        {node_id: _METRICS_HEIGHT + LINE_HEIGHT * len(lines) for node_id, lines in titles.items()},
        [(edge.source, edge.target) for edge in funnel.edges],
        _hints(funnel),
    )
    sentences = [funnel.describe(), *([funnel.goal.describe()] if funnel.goal else [])]
    summary = [line for sentence in sentences for line in _break(sentence)]
    head = 40 + 15 * len(summary) + (26 if _has_bar(funnel.goal) else 0)
    width = max(geometry.width, _HEAD_WIDTH) + 2 * _MARGIN
    canvas = SvgCanvas(
        height=head + geometry.height + 2 * _MARGIN,
        label=f"{printable(funnel.campaign)}, version {funnel.version}. {funnel.describe()}",
        width=width,
        stands_alone=True,
    )
    _draw_head(canvas, funnel, summary)
    geometry.move(((width - geometry.width) / 2, head + _MARGIN))
    for number, edge in enumerate(funnel.edges):
        share = edge.enrollments / funnel.entered if funnel.entered else 0.0
        color = LINE if edge.enrollments else RULE
        draw_edge(canvas, geometry.stops(number), color, width=1.3 + 5 * min(1.0, share))
    draw_edge_labels(
        canvas,
        [(geometry.stops(number), _edge_label(edge)) for number, edge in enumerate(funnel.edges)],
    )
    for node in funnel.nodes.values():
        _draw_node(canvas, node, geometry, titles[node.node_id], funnel.entered)
    return canvas.svg()


def _hints(funnel: Funnel) -> dict[str, float]:
    """Return the order of the canvas; a canvas that runs to the right is turned downwards."""
    across = [x for x, _ in funnel.positions.values()]
    down = [y for _, y in funnel.positions.values()]
    runs_right = bool(across) and max(across) - min(across) > max(down) - min(down)
    return {node: (y if runs_right else x) for node, (x, y) in funnel.positions.items()}


def _draw_head(canvas: SvgCanvas, funnel: Funnel, summary: Sequence[str]) -> None:
    name = shorten(printable(funnel.campaign), 34)
    canvas.text(_MARGIN, 28, name, size=16, is_bold=True)
    at = f"version {funnel.version}, {funnel.as_of:%-d %b %Y %H:%M %Z}"
    y = 47.0
    for line in summary:
        canvas.text(_MARGIN, y, line, size=11.5)
        y += 15
    canvas.text(_MARGIN, y, at, size=10, color=FAINT_INK)
    if funnel.goal is not None and _has_bar(funnel.goal):
        _draw_goal(canvas, funnel.goal, y + 10)


def _has_bar(goal: Goal | None) -> bool:
    return goal is not None and bool(goal.target_pct) and goal.reached_pct is not None


def _draw_goal(canvas: SvgCanvas, goal: Goal, y: float) -> None:
    """Draw a bar of the reached percentage, with a mark at the target."""
    reached, target = goal.reached_pct or 0.0, goal.target_pct or 0.0
    whole = min(100.0, max(target * 1.5, reached * 1.1, 1.0))
    canvas.box(_MARGIN, y, _HEAD_WIDTH, 10, BAND)
    color = GOOD if goal.is_reached else "#d1650f"
    canvas.box(_MARGIN, y, _HEAD_WIDTH * min(1.0, reached / whole), 10, color)
    mark = _MARGIN + _HEAD_WIDTH * target / whole
    canvas.line([(mark, y - 3), (mark, y + 13)], INK)


def _draw_node(
    canvas: SvgCanvas,
    node: FunnelNode,
    geometry: FlowGeometry,
    title: Sequence[str],
    entered: int,
) -> None:
    x, y = geometry.corner(node.node_id)
    height = geometry.heights[node.node_id]
    color = STRIPES[node.node_type.value]
    style = (
        BoxStyle(LINE, PAPER, width=1)
        if node.reached
        else BoxStyle(RULE, PAPER, width=1, title_color=FAINT_INK)
    )
    kind = _KINDS.get(node.node_type, node.node_type.value)
    draw_box(canvas, (x, y), height, style=style, stripe=color, kind=kind, title=title)
    share = node.reached / entered if entered else 0.0
    right = x + BOX_WIDTH - 8
    canvas.text(right, y + 15, f"{100 * share:.0f} %", size=10, color=FAINT_INK, anchor="end")
    below = y + 24 + LINE_HEIGHT * len(title)
    for number, (count, caption, count_color) in enumerate(_counts(node)):
        if not count and number != _ALWAYS_SHOWN:
            continue
        middle = x + 12 + (BOX_WIDTH - 20) * (2 * number + 1) / 6
        shade = count_color if count else FAINT_INK
        canvas.text(middle, below + 15, _count_text(count), size=12, color=shade, anchor="middle")
        canvas.text(middle, below + 27, caption, size=9, color=FAINT_INK, anchor="middle")
    canvas.box(x + 5, y + height - 3, BOX_WIDTH - 10, 2, BAND)
    canvas.box(x + 5, y + height - 3, (BOX_WIDTH - 10) * min(1.0, share), 2, color)


def _counts(node: FunnelNode) -> tuple[tuple[int, str, str], ...]:
    """Return three counts with captions and colors: here now, passed or ended, lost."""
    if node.node_type is NodeType.EXIT or (node.ended and not node.passed):
        middle = (node.ended, "ended", INK)
    else:
        middle = (node.passed + node.ended, "passed", INK)
    return (node.now, "here now", GOOD), middle, (node.lost_total, "lost here", BAD)


def _edge_label(edge: FunnelEdge) -> list[tuple[str, str]]:
    ports = printable(" / ".join(edge.ports))
    lines = [(shorten(ports, MAX_LABEL_CHARACTERS), FAINT_INK)] if ports else []
    return [*lines, (f"{edge.enrollments:,}", INK if edge.enrollments else FAINT_INK)]


def _break(text: str) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) + 1 > _MAX_SUMMARY_CHARACTERS:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _count_text(count: int) -> str:
    return f"{count:,}" if count < _MILLION else f"{count / _MILLION:,.2f} M"
