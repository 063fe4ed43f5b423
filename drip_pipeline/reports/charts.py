"""The charts of a report as SVG: rates with their intervals, rates over time, the lead and its
boundary, assignment, funnel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drip_pipeline.reports.ab_test_history import EvaluationHistory
from drip_pipeline.reports.svg import (
    BAND,
    COLORS,
    DASHES,
    FAINT_INK,
    GOOD,
    HOLDOUT,
    INK,
    RULE,
    WIDTH,
    Scale,
    SvgCanvas,
    percent,
    shorten,
    ticks,
    time_ticks,
)

MARGIN = 10.0
AXIS = 46.0
ROW = 40.0
_LETTER = 6.6  # width of a letter on an axis, in the widest of the fonts


@dataclass(frozen=True, slots=True)
class BarStyle:
    """The color and dash of a variant, the same in every chart."""

    name: str
    color: str
    dash: str


@dataclass(frozen=True, slots=True)
class RateBar:
    """A rate in percent with its always-valid interval, None if there is none."""

    style: BarStyle
    value_pct: float | None
    interval: tuple[float, float] | None
    contacts: int
    is_winner: bool


@dataclass(frozen=True, slots=True)
class AllocationBar:
    """A variant's assigned contacts and its configured share in percent (None if unknown)."""

    style: BarStyle
    assigned: int
    configured_pct: float | None


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the funnel: its name, and per variant (contacts, percent of its base)."""

    name: str
    counts: Sequence[tuple[BarStyle, int, float | None]]


def bar_style(position: int, name: str, *, is_holdout: bool) -> BarStyle:
    """Return the style of the variant at this position."""
    if is_holdout:
        return BarStyle(name, HOLDOUT, "2 2")
    return BarStyle(name, COLORS[position % len(COLORS)], DASHES[position % len(DASHES)])


def rates(bars: Sequence[RateBar], noun: str) -> str:
    """Draw each variant's rate as a point with its interval."""
    chart = SvgCanvas(len(bars) * ROW + 38, f"{noun} per variant with its interval")
    values = [v for b in bars for v in (b.value_pct, *(b.interval or ())) if v is not None]
    low, high = _padded(min(values, default=0.0), max(values, default=1.0))
    x = Scale(low, high, MARGIN, WIDTH - MARGIN)
    bottom = len(bars) * ROW + 12
    marks = ticks(low, high)
    step = marks[1] - marks[0] if len(marks) > 1 else 1.0
    for mark in marks:
        chart.line([(x(mark), 8), (x(mark), bottom)], RULE, width=1)
        chart.text(
            x(mark), bottom + 16, percent(mark, step), color=FAINT_INK, anchor=_side(x(mark))
        )
    for number, bar in enumerate(bars):
        middle = number * ROW + 34
        rate = "no rate yet" if bar.value_pct is None else f"{bar.value_pct:.2f} %"
        of = f" of {bar.contacts:,}"
        chart.text(MARGIN, middle - 14, shorten(bar.style.name, 30), is_bold=bar.is_winner)
        chart.text(WIDTH - MARGIN, middle - 14, rate + of, anchor="end", color=INK)
        if bar.interval is not None:
            chart.line(
                [(x(bar.interval[0]), middle), (x(bar.interval[1]), middle)],
                bar.style.color,
                width=3,
            )
            for end in bar.interval:
                chart.line([(x(end), middle - 5), (x(end), middle + 5)], bar.style.color, width=2)
        if bar.value_pct is not None:
            chart.dot(x(bar.value_pct), middle, bar.style.color, 5.5)
    return chart.svg()


def over_time(history: EvaluationHistory, styles: dict[str, BarStyle], noun: str) -> str:
    """Draw the cumulative rates."""
    shown = {name: [(m.at, m.rates_pct.get(name)) for m in history.points] for name in styles}
    values = [v for points in shown.values() for _, v in points if v is not None]
    low, high = _padded(min(values, default=0.0), max(values, default=1.0))
    key_height = _key_height(len(styles))
    chart = SvgCanvas(196 + key_height, f"{noun} of all so far, over time")
    x, y = _axes(chart, history, low, high, top=10 + key_height, bottom=166 + key_height)
    _key(chart, list(styles.values()))
    for name, points in shown.items():
        drawn = styles[name]
        line = [(x(at.timestamp()), y(v)) for at, v in points if v is not None]
        if line:
            chart.line(line, drawn.color, dash=drawn.dash)
            chart.dot(*line[-1], drawn.color)
    return chart.svg()


def lead_over_time(history: EvaluationHistory, styles: dict[str, BarStyle]) -> str:
    """Draw the lead of the leader over its closest rival. The band contains leads that may be
    chance at any number of looks: a lead outside it decides.
    """
    leads = [
        (m.at, m.lead_points, m.needed_points)
        for m in history.points
        if m.lead_points is not None and m.needed_points is not None
    ]
    chart = SvgCanvas(196, "lead over time with the boundary of a decision")
    # The band of the first few contacts is so wide that it would hide everything else.
    last_needed = leads[-1][2] if leads else 1.0
    largest = max([abs(lead) for _, lead, _ in leads[len(leads) // 4 :]] + [2.2 * last_needed])
    high = 1.1 * largest
    x, y = _axes(chart, history, -high, high, top=10, bottom=166, is_signed=True)
    upper = [(x(at.timestamp()), y(min(high, needed))) for at, _, needed in leads]
    lower = [(x(at.timestamp()), y(max(-high, -needed))) for at, _, needed in leads]
    if len(leads) > 1:
        chart.area([*upper, *reversed(lower)], BAND)
        chart.line(upper, FAINT_INK, width=1, dash="4 3")
        chart.line(lower, FAINT_INK, width=1, dash="4 3")
    chart.line([(AXIS, y(0)), (WIDTH - MARGIN, y(0))], FAINT_INK, width=1)
    if leads:
        color = styles[history.leader].color if history.leader in styles else INK
        line = [(x(at.timestamp()), y(max(-high, min(high, lead)))) for at, lead, _ in leads]
        chart.line(line, color)
        decided = abs(leads[-1][1]) > leads[-1][2]
        chart.dot(*line[-1], GOOD if decided else color, 5 if decided else 4)
    return chart.svg()


def balance(shares: Sequence[AllocationBar]) -> str:
    """Draw the assigned contacts of each variant and its configured share."""
    total = sum(share.assigned for share in shares)
    chart = SvgCanvas(len(shares) * ROW + 8, "contacts per variant and configured shares")
    largest = max(
        [100 * s.assigned / total if total else 0.0 for s in shares]
        + [s.configured_pct or 0.0 for s in shares]
    )
    x = Scale(0, max(largest, 1.0) * 1.05, MARGIN, WIDTH - MARGIN)
    for number, share in enumerate(shares):
        top = number * ROW + 20
        got = 100 * share.assigned / total if total else 0.0
        text = f"{share.assigned:,} ({got:.2f} %)"
        if share.configured_pct is not None:
            text += f", configured {share.configured_pct:.2f} %"
        chart.text(MARGIN, top - 5, shorten(share.style.name, 18))
        chart.text(WIDTH - MARGIN, top - 5, text, anchor="end", color=FAINT_INK, size=11)
        chart.box(MARGIN, top, x(got) - MARGIN, 12, share.style.color)
        if share.configured_pct is not None:
            at = x(share.configured_pct)
            chart.line([(at, top - 1), (at, top + 16)], INK, width=2)
    return chart.svg()


def funnel(stages: Sequence[Stage], styles: Sequence[BarStyle]) -> str:
    """Draw the contacts at each stage, a bar per variant, over the base of its rates."""
    bar = 18.0
    heights = [22 + bar * len(stage.counts) for stage in stages]
    top = _key_height(len(styles))
    chart = SvgCanvas(top + sum(heights) + 8, "contacts at each stage per variant")
    _key(chart, styles, is_line=False)
    x = Scale(0, 100, MARGIN, WIDTH - 132)
    for stage, height in zip(stages, heights, strict=True):
        chart.text(MARGIN, top + 16, stage.name, is_bold=True)
        for number, (drawn, contacts, share) in enumerate(stage.counts):
            base = top + 22 + number * bar
            chart.box(MARGIN, base, x(100) - MARGIN, bar - 6, BAND)
            chart.box(MARGIN, base, max(1.0, x(share or 0) - MARGIN), bar - 6, drawn.color)
            text = f"{contacts:,}" if share is None else f"{contacts:,} ({share:.2f} %)"
            chart.text(x(100) + 6, base + bar - 7.5, text, size=11)
        top += height
    return chart.svg()


def _key_height(count: int) -> float:
    return 18.0 * -(-count // 2)


def _key(chart: SvgCanvas, styles: Sequence[BarStyle], *, is_line: bool = True) -> None:
    """Draw the legend in two columns."""
    for number, drawn in enumerate(styles):
        left, base = MARGIN + (number % 2) * WIDTH / 2, 14 + 18.0 * (number // 2)
        if is_line:
            chart.line([(left, base - 4), (left + 22, base - 4)], drawn.color, dash=drawn.dash)
        else:
            chart.box(left, base - 10, 22, 11, drawn.color)
        chart.text(left + 28, base, shorten(drawn.name, 21))


def _axes(
    chart: SvgCanvas,
    history: EvaluationHistory,
    low: float,
    high: float,
    *,
    top: float,
    bottom: float,
    is_signed: bool = False,
) -> tuple[Scale, Scale]:
    """Draw the grid and labels of a chart over time; return its scales."""
    y = Scale(low, high, bottom, top)
    start, end = history.points[0].at, history.points[-1].at
    x = Scale(start.timestamp(), end.timestamp(), AXIS + 4, WIDTH - MARGIN - 6)
    marks = ticks(low, high)
    step = marks[1] - marks[0] if len(marks) > 1 else 1.0
    for mark in marks:
        chart.line([(AXIS, y(mark)), (WIDTH - MARGIN, y(mark))], RULE, width=1)
        label = percent(mark, step)
        if is_signed:
            label = f"{'+' if mark > step / 2 else ''}{label.removesuffix(' %')}"
        chart.text(AXIS - 6, y(mark) + 4, label, color=FAINT_INK, anchor="end")
    free = float(WIDTH)
    for time, text in reversed(time_ticks(start, end)):
        at, wide = x(time.timestamp()), _LETTER * len(text)
        left = {"start": at, "middle": at - wide / 2, "end": at - wide}[_side(at)]
        chart.line([(at, bottom), (at, bottom + 4)], FAINT_INK, width=1)
        if left + wide <= free:  # if two labels would overlap, the later one is drawn
            chart.text(at, bottom + 18, text, color=FAINT_INK, anchor=_side(at))
            free = left - _LETTER
    return x, y


def _padded(low: float, high: float) -> tuple[float, float]:
    """Return the bounds of a percentage axis with a margin, never under 0."""
    air = 0.08 * (high - low) or 0.05 * high or 0.5
    return max(0.0, low - air), min(100.0, high + air) if high <= 100 else high + air


def _side(x: float) -> str:
    """Return the anchor that keeps a text at x inside the chart."""
    if x < AXIS:
        return "start"
    return "end" if x > WIDTH - 30 else "middle"
