"""A picture as SVG, element by element, with what the charts share: scales, ticks, colors.

Drawn for the width of a phone, so that texts stay readable there and need no style sheet; the
pictures are a few kilobytes and also serve as metadata of assets.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html import escape

WIDTH = 360
FONT = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
INK = "#1d2733"
FAINT_INK = "#5b6875"
RULE = "#dfe4ea"
PAPER = "#ffffff"
GOOD = "#1b7f4d"
BAND = "#eef1f5"
HOLDOUT = "#7a8794"
# Distinguishable without red and green, and in gray by their lightness (Okabe and Ito); lines
# differ in their dashes as well.
COLOURS = ("#0067a5", "#d1650f", "#00855f", "#a4478a", "#7a5c00", "#3f9bd1")
DASHES = ("", "6 3", "2 3", "9 3 2 3", "1 4", "12 4")


@dataclass(frozen=True, slots=True)
class Scale:
    """From figures to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = 0.5 if self.high == self.low else (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


@dataclass
class Picture:
    """Elements of one picture of a fixed size; `label` is what a screen reader says."""

    height: float
    label: str
    width: float = WIDTH
    stands_alone: bool = False
    """A picture with a file of its own: it says its size, so that it is shown as large as it is,
    and has a style sheet, which makes it half as long. In a page that would be the page's."""
    _elements: list[str] = field(default_factory=list)
    _styles: dict[str, str] = field(default_factory=dict)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = 12,
        color: str = INK,
        anchor: str = "start",
        is_bold: bool = False,
    ) -> None:
        """Words on a base line. `anchor`: start, middle or end."""
        if self.stands_alone:
            style = f"font-size:{size:g}px;fill:{color};text-anchor:{anchor}"
            style += ";font-weight:600" if is_bold else ""
            look = f'class="{self._styles.setdefault(style, f"t{len(self._styles)}")}"'
        else:
            weight = ' font-weight="600"' if is_bold else ""
            look = f'font-size="{size:g}" fill="{color}" text-anchor="{anchor}"{weight}'
        self._elements.append(f'<text x="{_n(x)}" y="{_n(y)}" {look}>{escape(words)}</text>')

    def line(
        self,
        points: Sequence[tuple[float, float]],
        color: str,
        *,
        width: float = 2,
        dash: str = "",
    ) -> None:
        """A line through points."""
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        listed = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        self._elements.append(
            f'<polyline points="{listed}" fill="none" stroke="{color}" stroke-width="{width:g}"'
            f' stroke-linejoin="round"{dashed}/>'
        )

    def area(self, points: Sequence[tuple[float, float]], color: str) -> None:
        """A filled outline."""
        listed = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        self._elements.append(f'<polygon points="{listed}" fill="{color}"/>')

    def box(self, x: float, y: float, width: float, height: float, color: str) -> None:
        """A filled rectangle."""
        self._elements.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(max(0.0, width))}" height="{_n(height)}"'
            f' fill="{color}" rx="1.5"/>'
        )

    def frame(
        self, x: float, y: float, width: float, height: float, stroke: str, *, fill: str = PAPER
    ) -> None:
        """A rectangle with a line around it."""
        self._elements.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"'
            f' fill="{fill}" stroke="{stroke}" rx="5"/>'
        )

    def path(self, steps: str, color: str, *, width: float = 2) -> None:
        """A line along an SVG path."""
        self._elements.append(
            f'<path d="{steps}" fill="none" stroke="{color}" stroke-width="{_n(width)}"/>'
        )

    def dot(self, x: float, y: float, color: str, radius: float = 4) -> None:
        """A point."""
        self._elements.append(
            f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{radius:g}" fill="{color}" stroke="{PAPER}"/>'
        )

    def svg(self) -> str:
        """The picture, to be put into a page or a file."""
        size = sheet = ""
        if self.stands_alone:
            size = f' width="{_n(self.width)}" height="{_n(self.height)}"'
            rules = "".join(f".{name}{{{style}}}" for style, name in self._styles.items())
            sheet = f"<style>{rules}</style>"
        return (
            '<svg xmlns="http://www.w3.org/2000/svg"'
            f' viewBox="0 0 {_n(self.width)} {_n(self.height)}"{size}'
            f' role="img" aria-label="{escape(self.label, quote=True)}" font-family="{FONT}">'
            f'<rect width="{_n(self.width)}" height="{_n(self.height)}" fill="{PAPER}"/>'
            f"{sheet}{''.join(self._elements)}</svg>"
        )


def as_markdown(svg: str, title: str) -> str:
    """A picture as markdown that carries it, for the metadata of an asset."""
    encoded = base64.b64encode(svg.encode()).decode()
    words = title.replace("[", "(").replace("]", ")").replace("\n", " ")
    return f"![{words}](data:image/svg+xml;base64,{encoded})"


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round figures between low and high, about so many."""
    span = high - low
    if not span > 0:
        return [low]
    step = 10 ** math.floor(math.log10(span / about))
    step *= next((m for m in (1, 2, 2.5, 5, 10) if span / (step * m) <= about + 0.5), 10)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def percent(value: float, step: float) -> str:
    """A percentage with as many places as its neighbors on an axis differ by."""
    places = 0 if step >= 1 else min(3, math.ceil(-math.log10(step) - 1e-9))
    if step and round(step * 10**places, 6) % 1:
        places += 1
    return f"{value:.{places}f} %"


def moments(start: datetime, end: datetime, about: int = 3) -> list[tuple[datetime, str]]:
    """A few moments between two, evenly spread, with what to call them."""
    span = end - start
    shown = "%H:%M" if span < timedelta(days=2) else "%-d %b"
    if timedelta(days=2) <= span < timedelta(days=4):
        shown = "%-d %b %H:%M"
    listed = [start + span * k / about for k in range(about + 1)] if span else [start]
    return [(moment, moment.strftime(shown)) for moment in listed]


def shortened(words: str, most: int) -> str:
    """Words cut to a length."""
    return words if len(words) <= most else f"{words[: most - 1].rstrip()}…"


def _n(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
