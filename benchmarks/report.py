"""Results of the benchmarks: ratios of two alternating measurements in one run, with ranges."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True, slots=True)
class Figure:
    """A ratio, ours to theirs: the median of the repeats, the lowest and the highest."""

    name: str
    ratio: float
    low: float
    high: float
    note: str


def figure(name: str, ours: Sequence[float], theirs: Sequence[float], note: str) -> Figure:
    """The figure of paired measurements (rates, higher is better)."""
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    return Figure(name, median(ratios), ratios[0], ratios[-1], note)


def in_turn(repeats: int, *measured: Callable[[], float]) -> list[list[float]]:
    """Each thing measured once per repeat, one after the other, so that a slow minute meets all of
    them."""
    results: list[list[float]] = [[] for _ in measured]
    for repeat in range(repeats):
        # The order alternates: whoever comes second finds warmer caches and a busier disk.
        order = range(len(measured)) if repeat % 2 == 0 else range(len(measured) - 1, -1, -1)
        for index in order:
            results[index].append(measured[index]())
    return results


def table(figures: Sequence[Figure]) -> str:
    """The figures as text."""
    lines = [f"{'':34}{'ratio':>8}{'low':>8}{'high':>8}  note"]
    lines += [f"{f.name:34}{f.ratio:8.2f}{f.low:8.2f}{f.high:8.2f}  {f.note}" for f in figures]
    return "\n".join(lines)


def write(figures: Sequence[Figure]) -> None:
    """The figures as JSON at DRIP_BENCH_OUT, where that is set."""
    target = os.environ.get("DRIP_BENCH_OUT")
    if target:
        Path(target).write_text(json.dumps([asdict(f) for f in figures], indent=2) + "\n")
