"""The pictures of a report: rates with their intervals, rates over time, the lead and its boundary,
balance of the assignment, funnel. Each takes figures and gives SVG.
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
_LETTER = 6.6  # what a letter of an axis takes, in the widest of the fonts


@dataclass(frozen=True, slots=True)
class BarStyle:
    """How a variant is drawn, the same in every picture."""

    name: str
    color: str
    dash: str


@dataclass(frozen=True, slots=True)
class RateBar:
    """A rate in percent with its always-valid interval, None where there is none."""

    look: BarStyle
    value_pct: float | None
    interval: tuple[float, float] | None
    contacts: int
    is_winner: bool


@dataclass(frozen=True, slots=True)
class AllocationBar:
    """How many people a variant got, and the share it was promised (percent, None if unknown)."""

    look: BarStyle
    assigned: int
    promised_pct: float | None


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the funnel: its name, and per variant (people, percent of its base)."""

    name: str
    counts: Sequence[tuple[BarStyle, int, float | None]]


def look(position: int, name: str, *, is_holdout: bool) -> BarStyle:
    """How the variant at this position is drawn."""
    if is_holdout:
        return BarStyle(name, HOLDOUT, "2 2")
    return BarStyle(name, COLORS[position % len(COLORS)], DASHES[position % len(DASHES)])


def rates(bars: Sequence[RateBar], noun: str) -> str:
    """Each variant's rate as a point with its interval."""
    picture = SvgCanvas(len(bars) * ROW + 38, f"{noun} per variant with its interval")
    known = [v for b in bars for v in (b.value_pct, *(b.interval or ())) if v is not None]
    low, high = _padded(min(known, default=0.0), max(known, default=1.0))
    x = Scale(low, high, MARGIN, WIDTH - MARGIN)
    bottom = len(bars) * ROW + 12
    marks = ticks(low, high)
    step = marks[1] - marks[0] if len(marks) > 1 else 1.0
    for mark in marks:
        picture.line([(x(mark), 8), (x(mark), bottom)], RULE, width=1)
        picture.text(
            x(mark), bottom + 16, percent(mark, step), color=FAINT_INK, anchor=_side(x(mark))
        )
    for number, bar in enumerate(bars):
        middle = number * ROW + 34
        told = "no rate yet" if bar.value_pct is None else f"{bar.value_pct:.2f} %"
        of = f" of {bar.contacts:,}"
        picture.text(MARGIN, middle - 14, shorten(bar.look.name, 30), is_bold=bar.is_winner)
        picture.text(WIDTH - MARGIN, middle - 14, told + of, anchor="end", color=INK)
        if bar.interval is not None:
            picture.line(
                [(x(bar.interval[0]), middle), (x(bar.interval[1]), middle)],
                bar.look.color,
                width=3,
            )
            for end in bar.interval:
                picture.line([(x(end), middle - 5), (x(end), middle + 5)], bar.look.color, width=2)
        if bar.value_pct is not None:
            picture.dot(x(bar.value_pct), middle, bar.look.color, 5.5)
    return picture.svg()


def over_time(history: EvaluationHistory, looks: dict[str, BarStyle], noun: str) -> str:
    """The cumulative rates."""
    shown = {name: [(m.at, m.rates_pct.get(name)) for m in history.moments] for name in looks}
    values = [v for points in shown.values() for _, v in points if v is not None]
    low, high = _padded(min(values, default=0.0), max(values, default=1.0))
    key_height = _key_height(len(looks))
    picture = SvgCanvas(196 + key_height, f"{noun} of all so far, over time")
    x, y = _axes(picture, history, low, high, top=10 + key_height, bottom=166 + key_height)
    _key(picture, list(looks.values()))
    for name, points in shown.items():
        drawn = looks[name]
        line = [(x(at.timestamp()), y(v)) for at, v in points if v is not None]
        if line:
            picture.line(line, drawn.color, dash=drawn.dash)
            picture.dot(*line[-1], drawn.color)
    return picture.svg()


def lead_over_time(history: EvaluationHistory, looks: dict[str, BarStyle]) -> str:
    """The lead of the leader over its closest rival. The band is what chance may do however often
    one looks: a lead outside it decides.
    """
    known = [
        (m.at, m.lead_points, m.needed_points)
        for m in history.moments
        if m.lead_points is not None and m.needed_points is not None
    ]
    picture = SvgCanvas(196, "lead over time with the boundary of a decision")
    # The first few people leave so wide a band that nothing else could be seen.
    last_needed = known[-1][2] if known else 1.0
    largest = max([abs(lead) for _, lead, _ in known[len(known) // 4 :]] + [2.2 * last_needed])
    high = 1.1 * largest
    x, y = _axes(picture, history, -high, high, top=10, bottom=166, is_signed=True)
    upper = [(x(at.timestamp()), y(min(high, needed))) for at, _, needed in known]
    lower = [(x(at.timestamp()), y(max(-high, -needed))) for at, _, needed in known]
    if len(known) > 1:
        picture.area([*upper, *reversed(lower)], BAND)
        picture.line(upper, FAINT_INK, width=1, dash="4 3")
        picture.line(lower, FAINT_INK, width=1, dash="4 3")
    picture.line([(AXIS, y(0)), (WIDTH - MARGIN, y(0))], FAINT_INK, width=1)
    if known:
        color = looks[history.leader].color if history.leader in looks else INK
        line = [(x(at.timestamp()), y(max(-high, min(high, lead)))) for at, lead, _ in known]
        picture.line(line, color)
        decided = abs(known[-1][1]) > known[-1][2]
        picture.dot(*line[-1], GOOD if decided else color, 5 if decided else 4)
    return picture.svg()


def balance(shares: Sequence[AllocationBar]) -> str:
    """How many people each variant got, beside what it was promised."""
    total = sum(share.assigned for share in shares)
    picture = SvgCanvas(len(shares) * ROW + 8, "people per variant against the promised shares")
    largest = max(
        [100 * s.assigned / total if total else 0.0 for s in shares]
        + [s.promised_pct or 0.0 for s in shares]
    )
    x = Scale(0, max(largest, 1.0) * 1.05, MARGIN, WIDTH - MARGIN)
    for number, share in enumerate(shares):
        top = number * ROW + 20
        got = 100 * share.assigned / total if total else 0.0
        told = f"{share.assigned:,} ({got:.2f} %)"
        if share.promised_pct is not None:
            told += f", promised {share.promised_pct:.2f} %"
        picture.text(MARGIN, top - 5, shorten(share.look.name, 18))
        picture.text(WIDTH - MARGIN, top - 5, told, anchor="end", color=FAINT_INK, size=11)
        picture.box(MARGIN, top, x(got) - MARGIN, 12, share.look.color)
        if share.promised_pct is not None:
            at = x(share.promised_pct)
            picture.line([(at, top - 1), (at, top + 16)], INK, width=2)
    return picture.svg()


def funnel(stages: Sequence[Stage], looks: Sequence[BarStyle]) -> str:
    """People at each stage, a bar per variant, over the base of its rates."""
    bar = 18.0
    heights = [22 + bar * len(stage.counts) for stage in stages]
    top = _key_height(len(looks))
    picture = SvgCanvas(top + sum(heights) + 8, "people at each stage per variant")
    _key(picture, looks, is_line=False)
    x = Scale(0, 100, MARGIN, WIDTH - 132)
    for stage, height in zip(stages, heights, strict=True):
        picture.text(MARGIN, top + 16, stage.name, is_bold=True)
        for number, (drawn, people, share) in enumerate(stage.counts):
            base = top + 22 + number * bar
            picture.box(MARGIN, base, x(100) - MARGIN, bar - 6, BAND)
            picture.box(MARGIN, base, max(1.0, x(share or 0) - MARGIN), bar - 6, drawn.color)
            told = f"{people:,}" if share is None else f"{people:,} ({share:.2f} %)"
            picture.text(x(100) + 6, base + bar - 7.5, told, size=11)
        top += height
    return picture.svg()


def _key_height(count: int) -> float:
    return 18.0 * -(-count // 2)


def _key(picture: SvgCanvas, looks: Sequence[BarStyle], *, is_line: bool = True) -> None:
    """What is drawn how, two beside each other."""
    for number, drawn in enumerate(looks):
        left, base = MARGIN + (number % 2) * WIDTH / 2, 14 + 18.0 * (number // 2)
        if is_line:
            picture.line([(left, base - 4), (left + 22, base - 4)], drawn.color, dash=drawn.dash)
        else:
            picture.box(left, base - 10, 22, 11, drawn.color)
        picture.text(left + 28, base, shorten(drawn.name, 21))


def _axes(
    picture: SvgCanvas,
    history: EvaluationHistory,
    low: float,
    high: float,
    *,
    top: float,
    bottom: float,
    is_signed: bool = False,
) -> tuple[Scale, Scale]:
    """Rules and figures of a picture over time."""
    y = Scale(low, high, bottom, top)
    start, end = history.moments[0].at, history.moments[-1].at
    x = Scale(start.timestamp(), end.timestamp(), AXIS + 4, WIDTH - MARGIN - 6)
    marks = ticks(low, high)
    step = marks[1] - marks[0] if len(marks) > 1 else 1.0
    for mark in marks:
        picture.line([(AXIS, y(mark)), (WIDTH - MARGIN, y(mark))], RULE, width=1)
        figure = percent(mark, step)
        if is_signed:
            figure = f"{'+' if mark > step / 2 else ''}{figure.removesuffix(' %')}"
        picture.text(AXIS - 6, y(mark) + 4, figure, color=FAINT_INK, anchor="end")
    room = float(WIDTH)
    for moment, told in reversed(time_ticks(start, end)):
        at, wide = x(moment.timestamp()), _LETTER * len(told)
        left = {"start": at, "middle": at - wide / 2, "end": at - wide}[_side(at)]
        picture.line([(at, bottom), (at, bottom + 4)], FAINT_INK, width=1)
        if left + wide <= room:  # where two would overlap, the later one is told
            picture.text(at, bottom + 18, told, color=FAINT_INK, anchor=_side(at))
            room = left - _LETTER
    return x, y


def _padded(low: float, high: float) -> tuple[float, float]:
    """Bounds of an axis of percentages around figures, with some air, never under 0."""
    air = 0.08 * (high - low) or 0.05 * high or 0.5
    return max(0.0, low - air), min(100.0, high + air) if high <= 100 else high + air


def _side(x: float) -> str:
    """How to anchor a text at x so that it stays in the picture."""
    if x < AXIS:
        return "start"
    return "end" if x > WIDTH - 30 else "middle"
