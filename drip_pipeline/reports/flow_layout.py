"""Where the boxes of a flow stand when it is drawn from top to bottom: ranks by the longest way
from the start, few crossings, boxes above what follows them. Only numbers; the drawing itself is in
canvas_drawing.py.

A canvas drawn by hand runs off to the right for thousands of points; on a phone, or beside another
one, nothing could be read. Its positions decide which of several branches stands further left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

MOST_BENDS: Final = 4_000
"""Beyond so many places where lines pass a rank, lines run straight and may cross boxes."""
_ROUNDS: Final = 6
_BEND_SPACE: Final = 0.35
"""The room a passing line takes, in boxes."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Places in boxes: `columns` is the middle of a box from 0 on, `ranks` the row from 0 on.

    `bends`: for an edge (its place in the list of edges) that passes ranks, the columns at which it
    passes them, in walking order. `back`: edges that lead upwards. `width` is in boxes.
    """

    columns: Mapping[str, float]
    ranks: Mapping[str, int]
    bends: Mapping[int, Sequence[float]]
    back: frozenset[int]
    width: float


def laid_out(
    node_ids: Sequence[str], edges: Sequence[tuple[str, str]], hints: Mapping[str, float]
) -> Layout:
    """Lay nodes out, the start first; `edges` are between known nodes. `hints` say which of two
    nodes of a rank belongs further left.
    """
    outgoing: dict[str, list[int]] = {node: [] for node in node_ids}
    for number, (source, _) in enumerate(edges):
        outgoing[source].append(number)
    back = _back_edges(node_ids, edges, outgoing)
    forward = [n for n in range(len(edges)) if n not in back]
    ranks = _ranks(node_ids, edges, forward)
    grid = _Grid(node_ids, edges, forward, ranks, hints)
    grid.uncross()
    columns = grid.columns()
    left = min((x - grid.space[key] / 2 for key, x in columns.items()), default=0.0)
    right = max((x + grid.space[key] / 2 for key, x in columns.items()), default=1.0)
    return Layout(
        columns={node: columns[node] - left for node in node_ids},
        ranks=ranks,
        bends={
            number: [columns[key] - left for key in keys] for number, keys in grid.bends.items()
        },
        back=frozenset(back),
        width=max(1.0, right - left),
    )


def _back_edges(
    node_ids: Sequence[str],
    edges: Sequence[tuple[str, str]],
    outgoing: Mapping[str, Sequence[int]],
) -> set[int]:
    """Edges that close a circle, as a walk from the start meets them."""
    back: set[int] = set()
    open_now: set[str] = set()
    done: set[str] = set()
    for start in node_ids:
        if start in done:
            continue
        todo = [(start, iter(outgoing[start]))]
        open_now.add(start)
        while todo:
            node, ways = todo[-1]
            for number in ways:
                target = edges[number][1]
                if target in open_now:
                    back.add(number)
                elif target not in done:
                    open_now.add(target)
                    todo.append((target, iter(outgoing[target])))
                    break
            else:
                todo.pop()
                open_now.discard(node)
                done.add(node)
    return back


def _ranks(
    node_ids: Sequence[str], edges: Sequence[tuple[str, str]], forward: Sequence[int]
) -> dict[str, int]:
    """The longest way from a start, in steps."""
    after: dict[str, list[str]] = {node: [] for node in node_ids}
    missing = dict.fromkeys(node_ids, 0)
    for number in forward:
        source, target = edges[number]
        after[source].append(target)
        missing[target] += 1
    ranks = dict.fromkeys(node_ids, 0)
    ready = [node for node in node_ids if not missing[node]]
    for node in ready:  # grows while it is walked
        for target in after[node]:
            ranks[target] = max(ranks[target], ranks[node] + 1)
            missing[target] -= 1
            if not missing[target]:
                ready.append(target)
    return ranks


class _Grid:
    """Ranks of boxes, and of bends where lines pass; a bend is `(edge, rank)`."""

    def __init__(
        self,
        node_ids: Sequence[str],
        edges: Sequence[tuple[str, str]],
        forward: Sequence[int],
        ranks: Mapping[str, int],
        hints: Mapping[str, float],
    ) -> None:
        self.bends: dict[int, list[object]] = {}
        self.space: dict[object, float] = dict.fromkeys(node_ids, 1.0)
        self._rows: list[list[object]] = [[] for _ in range(max(ranks.values(), default=0) + 1)]
        self._above: dict[object, list[object]] = {}
        self._below: dict[object, list[object]] = {}
        for node in sorted(node_ids, key=lambda node: hints.get(node, 0.0)):
            self._rows[ranks[node]].append(node)
        passing = sum(ranks[edges[n][1]] - ranks[edges[n][0]] - 1 for n in forward)
        for number in forward:
            source, target = edges[number]
            chain: list[object] = [source]
            if passing <= MOST_BENDS:
                for rank in range(ranks[source] + 1, ranks[target]):
                    bend = (number, rank)
                    self.space[bend] = _BEND_SPACE
                    self._rows[rank].append(bend)
                    self.bends.setdefault(number, []).append(bend)
                    chain.append(bend)
            chain.append(target)
            for upper, lower in pairwise(chain):
                self._below.setdefault(upper, []).append(lower)
                self._above.setdefault(lower, []).append(upper)

    def uncross(self) -> None:
        """Order each row by the middle of what it hangs on, downwards and upwards in turn."""
        place = {key: float(n) for row in self._rows for n, key in enumerate(row)}
        for turn in range(_ROUNDS):
            down = turn % 2 == 0
            near = self._above if down else self._below
            for row in self._rows if down else reversed(self._rows):
                middle = {
                    key: sum(place[other] for other in near[key]) / len(near[key])
                    if near.get(key)
                    else place[key]
                    for key in row
                }
                row.sort(key=middle.__getitem__)
                place |= {key: float(n) for n, key in enumerate(row)}

    def columns(self) -> dict[object, float]:
        """Every key as near to the middle of its neighbors as its row allows."""
        at: dict[object, float] = {}
        for row in self._rows:
            at |= self._spread(row, dict.fromkeys(row, 0.0))
        for turn in range(_ROUNDS):
            down = turn % 2 == 0
            near = self._above if down else self._below
            for row in self._rows if down else reversed(self._rows):
                wish = {
                    key: sum(at[other] for other in near[key]) / len(near[key])
                    if near.get(key)
                    else at[key]
                    for key in row
                }
                at |= self._spread(row, wish)
        return at

    def _spread(self, row: Sequence[object], wish: Mapping[object, float]) -> dict[object, float]:
        places = spread([wish[key] for key in row], [self.space[key] for key in row])
        return dict(zip(row, places, strict=True))


def spread(wishes: Sequence[float], spaces: Sequence[float]) -> list[float]:
    """The nearest places to the wishes that keep their order and give each the space it takes.

    Without the distances to the first one the order alone remains to be kept: neighbors that would
    change places share the mean of their wishes (pooled adjacent violators).
    """
    if not wishes:
        return []
    offsets = [0.0]
    for left, right in pairwise(spaces):
        offsets.append(offsets[-1] + (left + right) / 2)
    pools: list[tuple[float, int]] = []
    for wish, offset in zip(wishes, offsets, strict=True):
        total, count = wish - offset, 1
        while pools and pools[-1][0] / pools[-1][1] >= total / count:
            before, many = pools.pop()
            total, count = total + before, count + many
        pools.append((total, count))
    places: list[float] = []
    for total, count in pools:
        places += [total / count] * count
    return [place + offset for place, offset in zip(places, offsets, strict=True)]
