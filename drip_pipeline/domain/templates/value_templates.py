"""JSON values whose texts are templates: webhook payloads, variables, values of field updates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from drip_pipeline.domain.templates.render_budget import RenderBudget
from drip_pipeline.domain.templates.templates import CompiledTemplate, parse


def render_leaves(
    value: object, context: Mapping[str, object], budget: RenderBudget | None = None
) -> object:
    """Render the strings of a JSON value. The JSON text itself is never a template, so no contact
    attribute can change its structure."""
    if isinstance(value, str):
        return _parsed(value).render(context, budget)
    if isinstance(value, Mapping):
        return {key: render_leaves(item, context, budget) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [render_leaves(item, context, budget) for item in value]
    return value


def render_values(
    value: object, context: Mapping[str, object], budget: RenderBudget | None
) -> object:
    """Render the strings of a JSON value; one that is a single output becomes the value itself."""
    if isinstance(value, str):
        return _parsed(value).value(context, budget)
    if isinstance(value, Mapping):
        return {key: render_values(item, context, budget) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [render_values(item, context, budget) for item in value]
    return value


def has_templates(value: object) -> bool:
    """Return whether a text of a JSON value is a template."""
    return any("{{" in text or "{%" in text for text in _texts(value))


def names_read(value: object) -> frozenset[str]:
    """Return the root names that the texts of a JSON value read. Raises TemplateError."""
    return frozenset().union(*(_parsed(text).variables for text in _texts(value)))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> CompiledTemplate:
    return parse(text, html=False)
