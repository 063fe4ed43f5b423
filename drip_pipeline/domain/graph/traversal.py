"""Traverse a directed graph: reachable nodes, reversed edges, cycles.

The functions take plain adjacency mappings and know nothing about campaigns. All traversals are
iterative, so that chains of thousands of nodes do not exceed the recursion limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

Successors = Mapping[str, Iterable[str]]


def reachable(
    starts: Iterable[str], successors: Successors, *, without: str | None = None
) -> set[str]:
    """Return all nodes on paths from `starts`, including these, that do not pass `without`."""
    visited: set[str] = set()
    todo = [start for start in starts if start != without]
    while todo:
        node = todo.pop()
        if node in visited:
            continue
        visited.add(node)
        todo += [
            after for after in successors.get(node, ()) if after not in visited and after != without
        ]
    return visited


def reversed_edges(successors: Successors) -> dict[str, list[str]]:
    """Return the predecessors of each node."""
    before: dict[str, list[str]] = {}
    for node, after in successors.items():
        for target in after:
            before.setdefault(target, []).append(node)
    return before


def cycles(successors: Successors, *, limit: int = 20) -> list[list[str]]:
    """Return at most `limit` cycles, each as its nodes in the order of the edges.

    One edge of each returned cycle is removed before the search continues. Cycles that share this
    edge are therefore not returned together.
    """
    edges = {node: list(dict.fromkeys(after)) for node, after in successors.items()}
    result: list[list[str]] = []
    while len(result) < limit:
        try:
            TopologicalSorter(edges).prepare()
        except CycleError as error:
            # graphlib takes predecessors; given successors, the cycle is in reverse order.
            cycle = list(reversed(error.args[1]))[:-1]
            start = cycle.index(min(cycle))
            cycle = cycle[start:] + cycle[:start]
            result.append(cycle)
            last, first = cycle[-1], cycle[0]
            edges[last] = [after for after in edges[last] if after != first]
        else:
            break
    return result
