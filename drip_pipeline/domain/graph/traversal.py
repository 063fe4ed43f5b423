"""Walking a directed graph: what can be reached, which circles there are.

Works on plain adjacency mappings; nothing here knows what a campaign is. All walks are iterative,
so that a chain of thousands of nodes is no matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

Successors = Mapping[str, Iterable[str]]


def reachable(
    starts: Iterable[str], successors: Successors, *, without: str | None = None
) -> set[str]:
    """Every node on a way from `starts` (these included) that does not pass `without`."""
    found: set[str] = set()
    todo = [start for start in starts if start != without]
    while todo:
        node = todo.pop()
        if node in found:
            continue
        found.add(node)
        todo += [
            after for after in successors.get(node, ()) if after not in found and after != without
        ]
    return found


def reversed_edges(successors: Successors) -> dict[str, list[str]]:
    """Node → its predecessors."""
    before: dict[str, list[str]] = {}
    for node, after in successors.items():
        for target in after:
            before.setdefault(target, []).append(node)
    return before


def cycles(successors: Successors, *, limit: int = 20) -> list[list[str]]:
    """Circles, each as its nodes in walking order, at most `limit`.

    One edge of a circle that was found is cut before the search goes on, so circles that share that
    edge are found one after the other, as a person mends them.
    """
    edges = {node: list(dict.fromkeys(after)) for node, after in successors.items()}
    found: list[list[str]] = []
    while len(found) < limit:
        try:
            TopologicalSorter(edges).prepare()
        except CycleError as error:
            # graphlib takes predecessors; given successors, its circle runs backwards.
            circle = list(reversed(error.args[1]))[:-1]
            start = circle.index(min(circle))
            circle = circle[start:] + circle[:start]
            found.append(circle)
            last, first = circle[-1], circle[0]
            edges[last] = [after for after in edges[last] if after != first]
        else:
            break
    return found
