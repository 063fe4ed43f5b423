"""Lay out a flow from top to bottom: ranks by the longest path, few crossings, short edges.

The result has ranks and columns only; flow_diagram.py converts them to points. The positions of the
canvas are not used, because a canvas drawn by hand can be thousands of points wide and would be
unreadable on a phone or beside another one. They only decide the order of branches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

MAX_BENDS: Final = 4_000
"""With more bends, edges run straight and may cross boxes."""
_ROUNDS: Final = 6
_BEND_SPACE: Final = 0.35
"""The space of an edge that passes a rank, in boxes."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions in units of boxes: `columns` are the middles of boxes, `ranks` their rows from 0.

    `bends`: the columns at which an edge passes ranks, from top to bottom, by the edge's index.
    `back`: indexes of edges that lead upwards. `width` is in boxes.
    """

    columns: Mapping[str, float]
    ranks: Mapping[str, int]
    bends: Mapping[int, Sequence[float]]
    back: frozenset[int]
    width: float


def lay_out(
    node_ids: Sequence[str], edges: Sequence[tuple[str, str]], hints: Mapping[str, float]
) -> Layout:
    """Lay out the nodes, the start first; `edges` are between existing nodes.

    `hints`: a node with a smaller hint is further left in its rank.
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
    """Return the edges that close a cycle in a depth-first traversal from the start."""
    back: set[int] = set()
    open_now: set[str] = set()
    done: set[str] = set()
    for start in node_ids:
        if start in done:
            continue
        todo = [(start, iter(outgoing[start]))]
        open_now.add(start)
        while todo:
            node, numbers = todo[-1]
            for number in numbers:
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
    """Return the length of the longest path from a start to each node."""
    after: dict[str, list[str]] = {node: [] for node in node_ids}
    missing = dict.fromkeys(node_ids, 0)
    for number in forward:
        source, target = edges[number]
        after[source].append(target)
        missing[target] += 1
    ranks = dict.fromkeys(node_ids, 0)
    ready = [node for node in node_ids if not missing[node]]
    for node in ready:  # the loop appends to it
        for target in after[node]:
            ranks[target] = max(ranks[target], ranks[node] + 1)
            missing[target] -= 1
            if not missing[target]:
                ready.append(target)
    return ranks


class _Grid:
    """Rows of boxes and bends; a bend is `(edge, rank)`."""

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
            if passing <= MAX_BENDS:
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
        """Order each row by the mean position of its neighbors, downwards and upwards in turn."""
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
        """Return each key as near to the mean of its neighbors as its row allows."""
        at: dict[object, float] = {}
        for row in self._rows:
            at |= self._spread(row, dict.fromkeys(row, 0.0))
        for turn in range(_ROUNDS):
            down = turn % 2 == 0
            near = self._above if down else self._below
            for row in self._rows if down else reversed(self._rows):
                target = {
                    key: sum(at[other] for other in near[key]) / len(near[key])
                    if near.get(key)
                    else at[key]
                    for key in row
                }
                at |= self._spread(row, target)
        return at

    def _spread(self, row: Sequence[object], target: Mapping[object, float]) -> dict[object, float]:
        places = spread([target[key] for key in row], [self.space[key] for key in row])
        return dict(zip(row, places, strict=True))


def spread(targets: Sequence[float], spaces: Sequence[float]) -> list[float]:
    """Return the positions nearest to the targets that keep the order and the spaces.

    After subtracting the distances to the first position only the order has to be kept: neighbors
    in the wrong order share the mean of their targets (pool adjacent violators).
    """
    if not targets:
        return []
    offsets = [0.0]
    for left, right in pairwise(spaces):
        offsets.append(offsets[-1] + (left + right) / 2)
    pools: list[tuple[float, int]] = []
    for target, offset in zip(targets, offsets, strict=True):
        total, count = target - offset, 1
        while pools and pools[-1][0] / pools[-1][1] >= total / count:
            before, many = pools.pop()
            total, count = total + before, count + many
        pools.append((total, count))
    places: list[float] = []
    for total, count in pools:
        places += [total / count] * count
    return [place + offset for place, offset in zip(places, offsets, strict=True)]
