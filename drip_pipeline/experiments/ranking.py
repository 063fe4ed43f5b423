"""The leader of a test: the strictly highest rate, found by integer cross-multiplication, never by
a rounded column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Ranking:
    """Positions in the given order. `leader` is None if the highest rate is shared or no group has
    a rate; `runners_up`: all groups that share the second-highest rate.
    """

    leader: int | None
    runners_up: tuple[int, ...]


def rank_groups(numerators: Sequence[int], contacts: Sequence[int]) -> Ranking:
    """Rank groups by numerator/contacts exactly (successes, or scores in millionths). A group
    without contacts has no rate.
    """
    present = [i for i, n in enumerate(contacts) if n > 0]
    best = _highest(present, numerators, contacts)
    if len(best) != 1:
        return Ranking(None, ())
    rest = [i for i in present if i != best[0]]
    return Ranking(best[0], tuple(_highest(rest, numerators, contacts)))


def _highest(positions: list[int], numerators: Sequence[int], contacts: Sequence[int]) -> list[int]:
    """Return the positions that share the highest ratio."""
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


def score_millionths(score_sum: float | Decimal) -> int:
    """Return a sum of scores as an integer, so that ties are exact. Scores are tenths; the rest of
    a float is summation noise.
    """
    return round(score_sum * 1_000_000)
