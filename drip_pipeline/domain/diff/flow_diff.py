"""Which steps stand elsewhere in the flow, and which ways lead elsewhere though no step explains
it.

A step that comes or goes changes the ways of its neighbors, and so does one that moves; telling
all of them would bury the one thing that happened. So both flows are looked at without the steps
that came, went or moved, and only what still differs then is a changed way.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Ways = Mapping[str, Mapping[str, str]]
"""Node → way out → where it leads."""
_MOST_TRIED: Final = 60
_WORTH_A_MOVE: Final = 3
"""A step counts as moved if that explains at least so many changed ways at once."""


@dataclass(frozen=True, slots=True)
class Route:
    """A way out of a step that leads elsewhere; empty is nowhere, several pass through removed or
    added steps."""

    node_id: str
    port: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FlowDiff:
    """`moved`: steps that are in both, elsewhere in the flow. `routes`: what is still different."""

    moved: tuple[str, ...]
    routes: tuple[Route, ...]


def compare_flows(before: Ways, after: Ways) -> FlowDiff:
    """Compare two flows whose steps are the keys, in the order in which they are to be told."""
    common = [node for node in before if node in after]
    order = in_order(before)
    place = {node: n for n, node in enumerate(order)}
    walked = [node for node in _walk(after, place) if node in place]
    kept = _longest_rise([place[node] for node in walked])
    moved = {node for n, node in enumerate(walked) if n not in kept}
    routes = _routes(before, after, [node for node in common if node not in moved])
    while 0 < len(routes) <= _MOST_TRIED:
        tried = {node for route in routes for node in (route.node_id, *route.before, *route.after)}
        best, fewest = None, _weight(routes) - _WORTH_A_MOVE
        for node in common:
            if node in tried and node not in moved:
                rest = [other for other in common if other not in moved and other != node]
                left = _weight(_routes(before, after, rest))
                if left <= fewest:
                    best, fewest = node, left - 1
        if best is None:
            break
        moved.add(best)
        routes = _routes(before, after, [node for node in common if node not in moved])
    return FlowDiff(tuple(node for node in common if node in moved), tuple(routes))


def in_order(ways: Ways) -> list[str]:
    """The steps, each after those that lead to it, otherwise in the order of the keys."""
    return _walk(ways, {node: number for number, node in enumerate(ways)})


def comes_after(ways: Ways, node_id: str, known: Iterable[str]) -> list[tuple[str, str]]:
    """The nearest steps of `known` from which a way leads to a step, with the way out taken."""
    wanted = set(known)
    before: dict[str, list[tuple[str, str]]] = {}
    for source, ports in ways.items():
        for port, target in ports.items():
            before.setdefault(target, []).append((source, port))
    found: dict[tuple[str, str], None] = {}
    todo, seen = [node_id], {node_id}
    while todo:
        for source, port in before.get(todo.pop(), ()):
            if source in wanted:
                found[source, port] = None
            elif source not in seen:
                seen.add(source)
                todo.append(source)
    return list(found)


def _weight(routes: Sequence[Route]) -> int:
    return sum(len(set(route.before) ^ set(route.after)) or 1 for route in routes)


def _routes(before: Ways, after: Ways, kept: Sequence[str]) -> list[Route]:
    """Ways between kept steps that lead elsewhere, seen through all steps that are not kept."""
    stay = frozenset(kept)
    routes = []
    for node in kept:
        for port in dict.fromkeys([*before[node], *after[node]]):
            old = _reached(before, node, port, stay)
            new = _reached(after, node, port, stay)
            if old != new:
                routes.append(Route(node, port, old, new))
    return routes


def _reached(ways: Ways, node: str, port: str, stay: frozenset[str]) -> tuple[str, ...]:
    first = ways[node].get(port)
    if first is None:
        return ()
    found: set[str] = set()
    todo, seen = [first], {first}
    while todo:
        target = todo.pop()
        if target in stay:
            found.add(target)
            continue
        for further in ways.get(target, {}).values():
            if further not in seen:
                seen.add(further)
                todo.append(further)
    return tuple(sorted(found))


def _walk(ways: Ways, preference: Mapping[str, int]) -> list[str]:
    """The steps, each after those that lead to it (circles cut where they close); of several that
    could come next the preferred one, and steps without a preference as soon as they can.
    """
    forward = {node: [t for t in dict.fromkeys(ports.values()) if t in ways]
               for node, ports in ways.items()}  # fmt: skip
    _cut_circles(forward)
    missing = dict.fromkeys(ways, 0)
    for targets in forward.values():
        for target in targets:
            missing[target] += 1
    ready = [(preference.get(node, -1), node) for node in ways if not missing[node]]
    heapq.heapify(ready)
    order = []
    while ready:
        _, node = heapq.heappop(ready)
        order.append(node)
        for target in forward[node]:
            missing[target] -= 1
            if not missing[target]:
                heapq.heappush(ready, (preference.get(target, -1), target))
    return order


def _cut_circles(forward: dict[str, list[str]]) -> None:
    """Take out the edges that close a circle, as a walk from the first step meets them."""
    state: dict[str, int] = {}
    for start in forward:
        if start in state:
            continue
        state[start] = 1
        todo = [(start, iter(tuple(forward[start])))]
        while todo:
            node, targets = todo[-1]
            for target in targets:
                if state.get(target) == 1:
                    forward[node].remove(target)
                elif target not in state:
                    state[target] = 1
                    todo.append((target, iter(tuple(forward[target]))))
                    break
            else:
                state[node] = 2
                todo.pop()


def _longest_rise(places: Sequence[int]) -> set[int]:
    """Indices of a longest rising subsequence: what kept its order."""
    tails: list[int] = []
    ends: list[int] = []
    previous: list[int] = []
    for index, place in enumerate(places):
        at = bisect_left(tails, place)
        previous.append(ends[at - 1] if at else -1)
        if at == len(tails):
            tails.append(place)
            ends.append(index)
        else:
            tails[at], ends[at] = place, index
    kept: set[int] = set()
    index = ends[-1] if ends else -1
    while index >= 0:
        kept.add(index)
        index = previous[index]
    return kept
