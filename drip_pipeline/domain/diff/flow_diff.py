"""Compare two flows: steps that moved, and routes that changed for no other reason.

A step that is added, removed or moved changes the edges of its neighbors as well. To report only
the cause, both flows are compared without these steps; an edge that still differs is a changed
route.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

PortTargets = Mapping[str, Mapping[str, str]]
"""Node id → port → target node id."""
_MAX_ROUTES_SEARCHED: Final = 60
"""With more changed routes the search for further moves is skipped."""
_ROUTES_PER_MOVE: Final = 3
"""A step counts as moved if this explains at least this number of changed routes."""


@dataclass(frozen=True, slots=True)
class Route:
    """A port that leads to other steps.

    Removed and added steps are skipped, so there may be several targets; no target means the end.
    """

    node_id: str
    port: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FlowDiff:
    """`moved`: common steps at another position. `routes`: the remaining differences."""

    moved: tuple[str, ...]
    routes: tuple[Route, ...]


def compare_flows(before: PortTargets, after: PortTargets) -> FlowDiff:
    """Compare two flows; the result is in the order of the keys of `before`."""
    common = [node for node in before if node in after]
    place = {node: n for n, node in enumerate(flow_order(before))}
    order = [node for node in _topological_order(after, place) if node in place]
    kept = _longest_increasing([place[node] for node in order])
    moved = {node for n, node in enumerate(order) if n not in kept}
    routes = _routes(before, after, [node for node in common if node not in moved])
    while 0 < len(routes) <= _MAX_ROUTES_SEARCHED:
        candidates = {
            node for route in routes for node in (route.node_id, *route.before, *route.after)
        }
        best, limit = None, _weight(routes) - _ROUTES_PER_MOVE
        for node in common:
            if node in candidates and node not in moved:
                rest = [other for other in common if other not in moved and other != node]
                left = _weight(_routes(before, after, rest))
                if left <= limit:
                    best, limit = node, left - 1
        if best is None:
            break
        moved.add(best)
        routes = _routes(before, after, [node for node in common if node not in moved])
    return FlowDiff(tuple(node for node in common if node in moved), tuple(routes))


def flow_order(targets: PortTargets) -> list[str]:
    """Return the steps in topological order; ties in the order of the keys."""
    return _topological_order(targets, {node: number for number, node in enumerate(targets)})


def nearest_predecessors(
    targets: PortTargets, node_id: str, candidates: Iterable[str]
) -> list[tuple[str, str]]:
    """Return the nearest predecessors of a step among `candidates`, as (node id, port)."""
    allowed = set(candidates)
    incoming: dict[str, list[tuple[str, str]]] = {}
    for source, ports in targets.items():
        for port, target in ports.items():
            incoming.setdefault(target, []).append((source, port))
    nearest: dict[tuple[str, str], None] = {}
    todo, visited = [node_id], {node_id}
    while todo:
        for source, port in incoming.get(todo.pop(), ()):
            if source in allowed:
                nearest[source, port] = None
            elif source not in visited:
                visited.add(source)
                todo.append(source)
    return list(nearest)


def _weight(routes: Sequence[Route]) -> int:
    return sum(len(set(route.before) ^ set(route.after)) or 1 for route in routes)


def _routes(before: PortTargets, after: PortTargets, kept: Sequence[str]) -> list[Route]:
    """Return the changed routes between kept steps; all other steps are skipped."""
    kept_nodes = frozenset(kept)
    routes = []
    for node in kept:
        for port in dict.fromkeys([*before[node], *after[node]]):
            old = _reached(before, node, port, kept_nodes)
            new = _reached(after, node, port, kept_nodes)
            if old != new:
                routes.append(Route(node, port, old, new))
    return routes


def _reached(targets: PortTargets, node: str, port: str, kept: frozenset[str]) -> tuple[str, ...]:
    """Return the first kept steps behind a port."""
    first = targets[node].get(port)
    if first is None:
        return ()
    reached: set[str] = set()
    todo, visited = [first], {first}
    while todo:
        target = todo.pop()
        if target in kept:
            reached.add(target)
            continue
        for successor in targets.get(target, {}).values():
            if successor not in visited:
                visited.add(successor)
                todo.append(successor)
    return tuple(sorted(reached))


def _topological_order(targets: PortTargets, preference: Mapping[str, int]) -> list[str]:
    """Return the steps in topological order; the closing edge of a cycle is ignored.

    Of several possible next steps the one with the lowest preference comes first, and steps without
    a preference before all others.
    """
    forward = {
        node: [target for target in dict.fromkeys(ports.values()) if target in targets]
        for node, ports in targets.items()
    }
    _remove_back_edges(forward)
    missing = dict.fromkeys(targets, 0)
    for successors in forward.values():
        for target in successors:
            missing[target] += 1
    ready = [(preference.get(node, -1), node) for node in targets if not missing[node]]
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


def _remove_back_edges(forward: dict[str, list[str]]) -> None:
    """Remove the edges that close a cycle in a depth-first traversal from the first step."""
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


def _longest_increasing(places: Sequence[int]) -> set[int]:
    """Return the indices of a longest increasing subsequence: the steps that kept their order."""
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
