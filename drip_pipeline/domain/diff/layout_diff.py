"""Compare the layout of two canvases: positions, viewport, labels, and other data of the builder.

Layout changes do not affect the execution and are therefore reported separately.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from drip_pipeline.domain.diff import describe
from drip_pipeline.domain.diff.changes import Change
from drip_pipeline.domain.diff.step_diff import leaf_changes

Canvas = Mapping[str, Any]
_EdgeKey = tuple[str, str, str | None, int]
"""Source, target, port, and a number for edges that have all three in common."""


def canvas_changes(
    before: Canvas,
    after: Canvas,
    *,
    name_of: Callable[[str], str],
    reconfigured: frozenset[str],
    renamed: Mapping[str, tuple[object, object]],
    rewired: frozenset[tuple[str, str]],
) -> Iterator[Change]:
    """Yield the layout changes between the canvases of two completed definitions.

    `reconfigured`: nodes with a changed configuration; a change of its copy on the canvas is not
    reported again. `renamed`: step names before and after, by node. `rewired`: (source, target) of
    edges that only one definition has.
    """
    old, new = _by_id(before), _by_id(after)
    for node_id in (name for name in new if name in old):
        for change in _node_changes(
            old[node_id], new[node_id], node_id in reconfigured, renamed.get(node_id)
        ):
            yield replace(change, node_id=node_id, step=name_of(node_id))
    yield from _edge_layout_changes(before, after, name_of, rewired)
    if before.get("viewport") != after.get("viewport"):
        yield Change(
            "canvas", "viewport", key="viewport",
            before=before.get("viewport"), after=after.get("viewport"),
        )  # fmt: skip
    kept = [name for name in old if name in new], [name for name in new if name in old]
    if kept[0] != kept[1]:
        yield Change("canvas", "nodes are listed in another order", key="nodes",
                     before=kept[0], after=kept[1])  # fmt: skip
    for key in sorted((before.keys() | after.keys()) - {"nodes", "edges", "viewport"}):
        yield from leaf_changes(before.get(key), after.get(key), key, "canvas")


def _by_id(canvas: Canvas) -> dict[str, Mapping[str, object]]:
    return {node["id"]: node for node in canvas.get("nodes") or ()}


def _node_changes(
    before: Mapping[str, object],
    after: Mapping[str, object],
    is_reconfigured: bool,
    renamed: tuple[object, object] | None,
) -> Iterator[Change]:
    if before.get("position") != after.get("position"):
        sentence = f"moved from {_place(before)} to {_place(after)}"
        yield Change("canvas", sentence, key="position",
                     before=before.get("position"), after=after.get("position"))  # fmt: skip
    for key in sorted((before.keys() | after.keys()) - {"id", "position", "data"}):
        if not (key == "type" and is_reconfigured):
            yield from leaf_changes(before.get(key), after.get(key), key, "canvas")
    old, new = before.get("data"), after.get("data")
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        yield from leaf_changes(old, new, "data", "canvas")
        return
    for key in sorted(old.keys() | new.keys()):
        is_renamed = key == "label" and renamed == (old.get(key), new.get(key))
        if not is_renamed and not (key == "config" and is_reconfigured):
            yield from leaf_changes(old.get(key), new.get(key), key, "canvas")


def _place(node: Mapping[str, object]) -> str:
    position = node.get("position")
    if not isinstance(position, Mapping):
        return "no position"
    return ", ".join(describe.number(position.get(axis)).replace(",", "") for axis in ("x", "y"))


def _edge_layout_changes(
    before: Canvas,
    after: Canvas,
    name_of: Callable[[str], str],
    rewired: frozenset[tuple[str, str]],
) -> Iterator[Change]:
    """Yield changes of edges; an edge is identified by source, target and port, not by its id."""
    old, new = _edges(before), _edges(after)
    has_other_ids = False
    for key, edge in new.items():
        other = old.get(key)
        where = f"edge from “{name_of(key[0])}” to “{name_of(key[1])}”"
        if other is None:
            if (key[0], key[1]) not in rewired:
                yield Change("canvas", f"{where}: added", key="edges", after=edge)
            continue
        has_other_ids = has_other_ids or other.get("id") != edge.get("id")
        for change in _edge_changes(other, edge):
            yield replace(change, sentence=f"{where}: {change.sentence}")
    for key, edge in old.items():
        if key not in new and (key[0], key[1]) not in rewired:
            where = f"edge from “{name_of(key[0])}” to “{name_of(key[1])}”"
            yield Change("canvas", f"{where}: removed", key="edges", before=edge)
    if has_other_ids:
        yield Change("canvas", "edges have other ids", key="edges.id")
    kept = [key for key in old if key in new], [key for key in new if key in old]
    if kept[0] != kept[1]:
        yield Change("canvas", "edges are listed in another order", key="edges")


def _edge_changes(before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[Change]:
    ends = {"id", "source", "target", "sourceHandle"}
    for key in sorted((before.keys() | after.keys()) - ends):
        old, new = before.get(key), after.get(key)
        if key == "data":
            old, new = _without_delay(old), _without_delay(new)
        yield from leaf_changes(old, new, key, "canvas")


def _without_delay(data: object) -> object:
    """Remove the delay, which belongs to the flow and not to the layout."""
    if isinstance(data, Mapping):
        return {key: value for key, value in data.items() if key != "delay"} or None
    return data


def _edges(canvas: Canvas) -> dict[_EdgeKey, Mapping[str, object]]:
    edges: dict[_EdgeKey, Mapping[str, object]] = {}
    for edge in canvas.get("edges") or ():
        if isinstance(edge, Mapping):
            handle = edge.get("sourceHandle")
            # A file may hold any JSON value here, and a list is no key.
            handle = handle if handle is None else str(handle)
            ends = str(edge.get("source")), str(edge.get("target")), handle
            count = 0
            while (*ends, count) in edges:
                count += 1
            edges[(*ends, count)] = edge
    return edges
