"""Count the segments of an SMS, which determine its price (GSM 03.38 and UCS-2).

One character outside the GSM alphabet (a typographic quote, an emoji) halves the capacity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

# 3GPP TS 23.038, 6.2.1 and 6.2.1.1.
_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED: Final = frozenset("^{}\\[~]|€\f")
_GSM_SINGLE: Final = 160
_GSM_EACH: Final = 153
_UCS2_SINGLE: Final = 70
_UCS2_EACH: Final = 67
MAX_SEGMENTS: Final = 10
"""The most that providers accept: 1,600 characters of the GSM alphabet."""


@dataclass(frozen=True, slots=True)
class Segments:
    """`units` are septets (GSM-7) or UTF-16 units (UCS-2); `non_gsm` are the characters that need
    UCS-2, each once, in order."""

    encoding: Literal["GSM-7", "UCS-2"]
    units: int
    segments: int
    non_gsm: str = ""


def count_segments(text: str) -> Segments:
    """Count segments as a phone network does: a character of two units is never split."""
    non_gsm = "".join(dict.fromkeys(c for c in text if c not in _BASIC and c not in _EXTENDED))
    if non_gsm:
        sizes = [2 if ord(character) > 0xFFFF else 1 for character in text]
        single, each = _UCS2_SINGLE, _UCS2_EACH
    else:
        sizes = [2 if character in _EXTENDED else 1 for character in text]
        single, each = _GSM_SINGLE, _GSM_EACH
    units = sum(sizes)
    segments = 1 if units <= single else _filled(sizes, each)
    return Segments("UCS-2" if non_gsm else "GSM-7", units, segments if text else 0, non_gsm)


def _filled(sizes: list[int], each: int) -> int:
    segments, used = 1, 0
    for size in sizes:
        if used + size > each:
            segments, used = segments + 1, 0
        used += size
    return segments
