"""Who leads: the strictly highest rate, found by integer cross-multiplication, never by a rounded
column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Standing:
    """Positions in the given order. `leader` is None when the highest rate is shared or nobody has
    a rate; `runners_up`: all who share the second-highest rate.
    """

    leader: int | None
    runners_up: tuple[int, ...]


def standing(numerators: Sequence[int], contacts: Sequence[int]) -> Standing:
    """Order groups by numerator/contacts exactly (successes, or scores in millionths). A group
    without contacts has no rate.
    """
    present = [i for i, n in enumerate(contacts) if n > 0]
    best = _highest(present, numerators, contacts)
    if len(best) != 1:
        return Standing(None, ())
    rest = [i for i in present if i != best[0]]
    return Standing(best[0], tuple(_highest(rest, numerators, contacts)))


def _highest(positions: list[int], numerators: Sequence[int], contacts: Sequence[int]) -> list[int]:
    """The positions that share the highest ratio."""
    best: list[int] = []
    for i in positions:
        if not best:
            best = [i]
            continue
        ahead = numerators[i] * contacts[best[0]] - numerators[best[0]] * contacts[i]
        if ahead > 0:
            best = [i]
        elif ahead == 0:
            best.append(i)
    return best
