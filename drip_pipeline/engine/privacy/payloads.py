"""Divide a payload into the events of a person and those of others."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from drip_pipeline.engine.privacy.identifiers import Finder


def without_person(payload: bytes, finder: Finder) -> bytes | None:
    """Return a payload without the events of the persons; None if nothing is left of it.

    Events of several persons are the items of a JSON array, at the top or as the only array of an
    object, or lines. Any other payload is about one person as a whole.
    """
    text = payload.decode("utf-8", "replace")
    if not finder.finds(text):
        return payload
    try:
        content = orjson.loads(payload)
    except orjson.JSONDecodeError:
        lines = payload.split(b"\n")
        rest = [line for line in lines if not finder.finds(line.decode("utf-8", "replace"))]
        if len(lines) == 1 or not any(line.strip() for line in rest):
            return None
        return b"\n".join(rest)
    if isinstance(content, list):
        items = _others(content, finder)
        return orjson.dumps(items) if items else None
    if isinstance(content, dict):
        arrays = [
            key
            for key, value in content.items()
            if isinstance(value, list) and len(value) > 1 and isinstance(value[0], dict)
        ]
        rest_of = {key: value for key, value in content.items() if key not in arrays}
        if len(arrays) == 1 and not finder.finds(orjson.dumps(rest_of).decode()):
            items = _others(content[arrays[0]], finder)
            if items:
                return orjson.dumps({**content, arrays[0]: items})
    return None


def _others(items: Sequence[object], finder: Finder) -> list[object]:
    return [item for item in items if not finder.finds(orjson.dumps(item).decode())]


def of_person(payload: bytes, finder: Finder) -> object:
    """Return the person's part of a payload: its events as JSON, or the payload as text."""
    text = payload.decode("utf-8", "replace")
    try:
        content = orjson.loads(payload)
    except orjson.JSONDecodeError:
        lines = text.split("\n")
        return "\n".join(line for line in lines if finder.finds(line)) if len(lines) > 1 else text
    arrays = [content] if isinstance(content, list) else _arrays(content)
    if len(arrays) != 1 or without_person(payload, finder) is None:
        return content
    return [item for item in arrays[0] if finder.finds(orjson.dumps(item).decode())]


def _arrays(content: object) -> list[list[object]]:
    """Return the arrays of an object that hold events of several persons."""
    if not isinstance(content, dict):
        return []
    return [
        value
        for value in content.values()
        if isinstance(value, list) and len(value) > 1 and isinstance(value[0], dict)
    ]
