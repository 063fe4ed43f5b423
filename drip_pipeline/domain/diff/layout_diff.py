"""What changed in how a canvas is drawn: places, view, names on boxes and lines, and whatever the
visual builder keeps there. People inside a campaign notice none of it, so it is told apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from drip_pipeline.domain.diff import describe as in_words
from drip_pipeline.domain.diff.changes import Change
from drip_pipeline.domain.diff.step_diff import leaf_changes

Canvas = Mapping[str, Any]


def canvas_changes(
    before: Canvas,
    after: Canvas,
    *,
    name_of: Callable[[str], str],
    retold: frozenset[str],
    renamed: Mapping[str, tuple[Any, Any]],
    rewired: frozenset[tuple[str, str]],
) -> Iterator[Change]:
    """Changes of the drawing alone, between canvases of completed definitions.

    `retold`: nodes whose configuration changed, so that a copy of it on the canvas says nothing
    new; `renamed`: names before and after of renamed steps; `rewired`: (source, target) of ways
    that only one side has.
    """
    old, new = _by_id(before), _by_id(after)
    for node_id in (name for name in new if name in old):
        for change in _node_changes(
            old[node_id], new[node_id], node_id in retold, renamed.get(node_id)
        ):
            yield replace(change, node_id=node_id, step=name_of(node_id))
    yield from _line_changes(before, after, name_of, rewired)
    if before.get("viewport") != after.get("viewport"):
        yield Change(
            "canvas", "the view (place and zoom)", key="viewport",
            before=before.get("viewport"), after=after.get("viewport"),
        )  # fmt: skip
    kept = [name for name in old if name in new], [name for name in new if name in old]
    if kept[0] != kept[1]:
        yield Change("canvas", "boxes are listed in another order", key="nodes",
                     before=kept[0], after=kept[1])  # fmt: skip
    for key in sorted((before.keys() | after.keys()) - {"nodes", "edges", "viewport"}):
        yield from leaf_changes(before.get(key), after.get(key), key, "canvas")


def _by_id(canvas: Canvas) -> dict[str, Mapping[str, Any]]:
    return {node["id"]: node for node in canvas.get("nodes") or ()}


def _node_changes(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    is_retold: bool,
    renamed: tuple[Any, Any] | None,
) -> Iterator[Change]:
    if before.get("position") != after.get("position"):
        sentence = f"moved from {_place(before)} to {_place(after)}"
        yield Change("canvas", sentence, key="position",
                     before=before.get("position"), after=after.get("position"))  # fmt: skip
    for key in sorted((before.keys() | after.keys()) - {"id", "position", "data"}):
        if not (key == "type" and is_retold):
            yield from leaf_changes(before.get(key), after.get(key), key, "canvas")
    old, new = before.get("data"), after.get("data")
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        yield from leaf_changes(old, new, "data", "canvas")
        return
    for key in sorted(old.keys() | new.keys()):
        follows = key == "label" and renamed == (old.get(key), new.get(key))
        if not follows and not (key == "config" and is_retold):
            yield from leaf_changes(old.get(key), new.get(key), key, "canvas")


def _place(node: Mapping[str, Any]) -> str:
    position = node.get("position")
    if not isinstance(position, Mapping):
        return "nowhere"
    return ", ".join(in_words.number(position.get(axis)).replace(",", "") for axis in ("x", "y"))


def _line_changes(
    before: Canvas,
    after: Canvas,
    name_of: Callable[[str], str],
    rewired: frozenset[tuple[str, str]],
) -> Iterator[Change]:
    """Lines with the same ends and the same way out are the same line, whatever its id."""
    old, new = _lines(before), _lines(after)
    other_ids = False
    for line, edge in new.items():
        other = old.get(line)
        where = f"line from “{name_of(line[0])}” to “{name_of(line[1])}”"
        if other is None:
            if (line[0], line[1]) not in rewired:
                yield Change("canvas", f"{where}: drawn anew", key="edges", after=edge)
            continue
        other_ids = other_ids or other.get("id") != edge.get("id")
        for change in _edge_changes(other, edge):
            yield replace(change, sentence=f"{where}: {change.sentence}")
    for line, edge in old.items():
        if line not in new and (line[0], line[1]) not in rewired:
            where = f"line from “{name_of(line[0])}” to “{name_of(line[1])}”"
            yield Change("canvas", f"{where}: taken away", key="edges", before=edge)
    if other_ids:
        yield Change("canvas", "lines carry other ids", key="edges.id")
    kept = [line for line in old if line in new], [line for line in new if line in old]
    if kept[0] != kept[1]:
        yield Change("canvas", "lines are listed in another order", key="edges")


def _edge_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    ends = {"id", "source", "target", "sourceHandle"}
    for key in sorted((before.keys() | after.keys()) - ends):
        old, new = before.get(key), after.get(key)
        if key == "data":
            old, new = _without_delay(old), _without_delay(new)
        yield from leaf_changes(old, new, key, "canvas")


def _without_delay(data: Any) -> Any:
    """The delay of a way is no matter of drawing; the flow tells it."""
    if isinstance(data, Mapping):
        return {key: value for key, value in data.items() if key != "delay"} or None
    return data


def _lines(canvas: Canvas) -> dict[tuple[str, str, Any, int], Mapping[str, Any]]:
    edges: Sequence[Any] = canvas.get("edges") or ()
    found: dict[tuple[str, str, Any, int], Mapping[str, Any]] = {}
    for edge in edges:
        if isinstance(edge, Mapping):
            ends = str(edge.get("source")), str(edge.get("target")), edge.get("sourceHandle")
            count = 0
            while (*ends, count) in found:
                count += 1
            found[(*ends, count)] = edge
    return found
