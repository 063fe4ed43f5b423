"""Sharing out a number of messages among places that all want some."""

from __future__ import annotations

from collections.abc import Sequence


def fair_quotas(wanted: Sequence[int], total: int, *, first: int = 0) -> list[int]:
    """So many for each that nobody who wants more gets less than another, and no more than wanted.

    What does not divide goes to the places from `first` on, round the circle: with a number that
    moves on, everybody has a turn, however many there are.
    """
    quotas = [0] * len(wanted)
    order = [(first + step) % len(wanted) for step in range(len(wanted))] if wanted else []
    hungry = [place for place in order if wanted[place] > 0]
    while total > 0 and hungry:
        each = total // len(hungry)
        if each == 0:
            for place in hungry[:total]:
                quotas[place] += 1
            break
        for place in hungry:
            given = min(each, wanted[place] - quotas[place])
            quotas[place] += given
            total -= given
        hungry = [place for place in hungry if quotas[place] < wanted[place]]
    return quotas
