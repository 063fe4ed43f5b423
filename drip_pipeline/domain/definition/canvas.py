"""Read a React Flow canvas without losing any of its data.

The canvas stays the JSON of the visual builder; nodes and edges for the compiler are read from it.
compiler/ports.py assigns edges to ports.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from drip_pipeline.domain.definition.problems import Problem, Problems, shorten

MAX_ID_LENGTH: Final = 200
MAX_LABEL_LENGTH: Final = 500


@dataclass(frozen=True, slots=True)
class CanvasNode:
    """The data of a canvas node that the compiler reads; `raw` is the whole node."""

    node_id: str
    node_type: str | None
    label: str | None
    step_id: str | None
    config: Mapping[str, object] | None
    raw: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class CanvasEdge:
    """The data of a canvas edge that the compiler reads; `delay` is `data.delay`, not validated."""

    edge_id: str
    source: str
    target: str
    handle: str | None
    edge_type: str | None
    label: str | None
    delay: object


@dataclass(frozen=True, slots=True)
class Canvas:
    """Nodes and edges in the order of the canvas."""

    nodes: tuple[CanvasNode, ...] = ()
    edges: tuple[CanvasEdge, ...] = ()

    def node_ids(self) -> list[str]:
        """Return the ids in order, with duplicates."""
        return [node.node_id for node in self.nodes]


def has_nodes(raw: Mapping[str, object] | None) -> bool:
    """Return whether the canvas has nodes; the database's empty default has none."""
    return bool(raw) and bool(_list_of(raw, "nodes", Problems()))


def raw_edges(raw: Mapping[str, object] | None) -> list[object]:
    """Return the edges as a list of their original JSON."""
    return _list_of(raw, "edges", Problems())


def has_edges(raw: Mapping[str, object] | None) -> bool:
    """Return whether the canvas has edges. A data migration in the field wrote the text `'[]'`."""
    return bool(raw_edges(raw))


def read_canvas(raw: Mapping[str, object] | None) -> tuple[Canvas, list[Problem]]:
    """Return the canvas and its problems; malformed entries are left out."""
    problems = Problems()
    if not raw:
        return Canvas(), problems
    nodes = [
        node
        for index, entry in enumerate(_list_of(raw, "nodes", problems))
        if (node := _node(entry, index, problems)) is not None
    ]
    edges = [
        edge
        for index, entry in enumerate(_list_of(raw, "edges", problems))
        if (edge := _edge(entry, index, problems)) is not None
    ]
    return Canvas(tuple(nodes), tuple(edges)), problems


def _list_of(raw: Mapping[str, object] | None, key: str, problems: Problems) -> list[object]:
    value = (raw or {}).get(key)
    if isinstance(value, str):
        # jsonb_build_object('edges', '[]') stores a text instead of a list.
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = value or None
    if value is None:
        return []
    if not isinstance(value, list):
        problems.add(
            None, "canvas_shape", f"canvas_data.{key} must be a list, not {shorten(value)}"
        )
        return []
    return value


def _name(value: object) -> str | None:
    # React Flow's ids are strings, hand-written files have numbers as well.
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip() or None


def _node(entry: object, index: int, problems: Problems) -> CanvasNode | None:
    where = f"canvas_data.nodes[{index}]"
    if not isinstance(entry, Mapping):
        problems.add(None, "canvas_shape", f"{where} must be an object")
        return None
    node_id = _name(entry.get("id"))
    if node_id is None:
        problems.add(None, "node_id_missing", f"{where} has no id")
        return None
    if len(node_id) > MAX_ID_LENGTH:
        message = f"the id {shorten(node_id, 30)} is longer than {MAX_ID_LENGTH} characters"
        problems.add(None, "node_id_too_long", message)
        return None
    data = entry.get("data")
    if data is None:
        data = {}
    elif not isinstance(data, Mapping):
        problems.add(node_id, "canvas_shape", "data of the canvas node must be an object")
        data = {}
    config = data.get("config")
    if config is not None and not isinstance(config, Mapping):
        problems.add(node_id, "canvas_shape", "data.config of the canvas node must be an object")
        config = None
    return CanvasNode(
        node_id=node_id,
        node_type=_name(entry.get("type")),
        label=(_name(data.get("label")) or "")[:MAX_LABEL_LENGTH] or None,
        step_id=_name(data.get("stepId")),
        config=config or None,
        raw=entry,
    )


def _edge(entry: object, index: int, problems: Problems) -> CanvasEdge | None:
    where = f"canvas_data.edges[{index}]"
    if not isinstance(entry, Mapping):
        problems.add(None, "canvas_shape", f"{where} must be an object")
        return None
    source, target = _name(entry.get("source")), _name(entry.get("target"))
    edge_id = _name(entry.get("id")) or f"edge {index + 1}"
    if source is None or target is None:
        problems.add(source, "edge_incomplete", f"edge {edge_id} needs a source and a target")
        return None
    data = entry.get("data")
    return CanvasEdge(
        edge_id=edge_id,
        source=source,
        target=target,
        handle=_name(entry.get("sourceHandle")),
        edge_type=_name(entry.get("type")),
        label=_name(entry.get("label")),
        delay=data.get("delay") if isinstance(data, Mapping) else None,
    )
