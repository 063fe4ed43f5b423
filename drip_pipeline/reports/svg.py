"""An SVG canvas, and the scales, ticks and colors of the charts.

The default width is that of a phone, so that texts stay readable there without a style sheet. A
chart has a few kilobytes, because it is also stored in the metadata of assets.
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
# Distinguishable without red and green, and in gray by their lightness (Okabe and Ito). Lines also
# differ in their dashes.
COLORS = ("#0067a5", "#d1650f", "#00855f", "#a4478a", "#7a5c00", "#3f9bd1")
DASHES = ("", "6 3", "2 3", "9 3 2 3", "1 4", "12 4")


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear scale from values to pixels; a value of an empty range is in the middle."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        fraction = 0.5 if self.high == self.low else (value - self.low) / (self.high - self.low)
        return self.start + fraction * (self.end - self.start)


@dataclass
class SvgCanvas:
    """The elements of an SVG of a fixed size; `label` is its text for screen readers."""

    height: float
    label: str
    width: float = WIDTH
    has_size: bool = False
    """Write width and height, so that a viewer shows the SVG in its real size."""
    stands_alone: bool = False
    """Write size and style sheet for a file of its own. The style sheet halves the length; inside a
    page it would apply to the whole page."""
    _elements: list[str] = field(default_factory=list)
    _styles: dict[str, str] = field(default_factory=dict)

    def text(
        self,
        x: float,
        y: float,
        content: str,
        *,
        size: float = 12,
        color: str = INK,
        anchor: str = "start",
        is_bold: bool = False,
    ) -> None:
        """Add a text on a base line. `anchor`: start, middle or end."""
        if self.stands_alone:
            style = f"font-size:{size:g}px;fill:{color};text-anchor:{anchor}"
            style += ";font-weight:600" if is_bold else ""
            attributes = f'class="{self._styles.setdefault(style, f"t{len(self._styles)}")}"'
        else:
            weight = ' font-weight="600"' if is_bold else ""
            attributes = f'font-size="{size:g}" fill="{color}" text-anchor="{anchor}"{weight}'
        self._elements.append(
            f'<text x="{_n(x)}" y="{_n(y)}" {attributes}>{escape(content)}</text>'
        )

    def line(
        self,
        points: Sequence[tuple[float, float]],
        color: str,
        *,
        width: float = 2,
        dash: str = "",
    ) -> None:
        """Add a line through points."""
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        listed = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        self._elements.append(
            f'<polyline points="{listed}" fill="none" stroke="{color}" stroke-width="{width:g}"'
            f' stroke-linejoin="round"{dashed}/>'
        )

    def area(self, points: Sequence[tuple[float, float]], color: str) -> None:
        """Add a filled polygon."""
        listed = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        self._elements.append(f'<polygon points="{listed}" fill="{color}"/>')

    def box(self, x: float, y: float, width: float, height: float, color: str) -> None:
        """Add a filled rectangle."""
        self._elements.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(max(0.0, width))}" height="{_n(height)}"'
            f' fill="{color}" rx="1.5"/>'
        )

    def frame(
        self,
        corner: tuple[float, float],
        size: tuple[float, float],
        stroke: str,
        *,
        fill: str = PAPER,
        width: float = 1,
        dash: str = "",
    ) -> None:
        """Add a filled rectangle with a border."""
        border = f' stroke-width="{_n(width)}"' if width != 1 else ""
        border += f' stroke-dasharray="{dash}"' if dash else ""
        self._elements.append(
            f'<rect x="{_n(corner[0])}" y="{_n(corner[1])}" width="{_n(size[0])}"'
            f' height="{_n(size[1])}" fill="{fill}" stroke="{stroke}"{border} rx="5"/>'
        )

    def begin_group(self, title: str) -> None:
        """Begin a group of elements with a tooltip."""
        self._elements.append(f"<g><title>{escape(title)}</title>")

    def end_group(self) -> None:
        """End the group."""
        self._elements.append("</g>")

    def path(self, steps: str, color: str, *, width: float = 2) -> None:
        """Add a line along an SVG path."""
        self._elements.append(
            f'<path d="{steps}" fill="none" stroke="{color}" stroke-width="{_n(width)}"/>'
        )

    def dot(self, x: float, y: float, color: str, radius: float = 4) -> None:
        """Add a dot."""
        self._elements.append(
            f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{radius:g}" fill="{color}" stroke="{PAPER}"/>'
        )

    def svg(self) -> str:
        """Return the SVG element."""
        size = sheet = ""
        if self.has_size or self.stands_alone:
            size = f' width="{_n(self.width)}" height="{_n(self.height)}"'
        if self.stands_alone:
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
    """Return an SVG as a markdown image with a data URI, for the metadata of an asset."""
    encoded = base64.b64encode(svg.encode()).decode()
    alternative = title.replace("[", "(").replace("]", ")").replace("\n", " ")
    return f"![{alternative}](data:image/svg+xml;base64,{encoded})"


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Return about `about` round values between low and high."""
    span = high - low
    if not span > 0:
        return [low]
    step = 10 ** math.floor(math.log10(span / about))
    step *= next((m for m in (1, 2, 2.5, 5, 10) if span / (step * m) <= about + 0.5), 10)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def percent(value: float, step: float) -> str:
    """Return a percentage with as many decimal places as a tick step of the axis needs."""
    places = 0 if step >= 1 else min(3, math.ceil(-math.log10(step) - 1e-9))
    if step and round(step * 10**places, 6) % 1:
        places += 1
    return f"{value:.{places}f} %"


def time_ticks(start: datetime, end: datetime, about: int = 3) -> list[tuple[datetime, str]]:
    """Return evenly spaced times with their labels."""
    span = end - start
    pattern = "%H:%M" if span < timedelta(days=2) else "%-d %b"
    if timedelta(days=2) <= span < timedelta(days=4):
        pattern = "%-d %b %H:%M"
    listed = [start + span * k / about for k in range(about + 1)] if span else [start]
    return [(at, at.strftime(pattern)) for at in listed]


def shorten(text: str, length: int) -> str:
    """Return the text cut to a length, with an ellipsis."""
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def number_text(value: float) -> str:
    """Return a number with at most one decimal place."""
    return f"{value:.1f}".rstrip("0").rstrip(".")


_n = number_text
