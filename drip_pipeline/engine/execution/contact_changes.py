"""Apply a change of a contact to the attributes that a batch has loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drip_pipeline.domain.contact_fields import CONTACT_COLUMNS
from drip_pipeline.engine.execution.transitions import ContactChange

_NO_FIELDS: Mapping[str, Any] = {}
_NO_TAGS: frozenset[str] = frozenset()


def apply_change(change: ContactChange, attributes: dict[str, Any]) -> None:
    """Change the attributes as the database will change the contact."""
    match change.kind:
        case "tags":
            tags = attributes.get("tags", _NO_TAGS)
            attributes["tags"] = (tags | frozenset(change.add)) - frozenset(change.remove)
        case "score_delta":
            score = min(100, max(0, (attributes.get("ai_score") or 0) + change.score()))
            attributes["ai_score"] = attributes["lead_score"] = score
        case "score_set":
            attributes["ai_score"] = attributes["lead_score"] = change.value
        case "column":
            attributes[change.name] = change.text()
            if change.name == "company":
                attributes["company_name"] = change.text()
        case "custom_field":
            if change.name not in CONTACT_COLUMNS:
                attributes[change.name] = change.value
            custom = attributes.get("custom_fields", _NO_FIELDS)
            attributes["custom_fields"] = {**custom, change.name: change.value}
