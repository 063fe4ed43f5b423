"""Change a contact's columns as the statements of sql/queries/batch_context.sql do."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from drip_pipeline.engine.execution.transitions import ContactChange
from drip_pipeline.engine.in_memory.store import MemoryContact

HIGHEST_SCORE: Final = 100


def change_row(contact: MemoryContact, changes: Iterable[ContactChange], now: datetime) -> None:
    """Apply the changes, which are those of one run, in their order."""
    row = contact.row
    for change in changes:
        _change(row, change)
        row["updated_at"] = now
    contact.forget_attributes()


def _change(row: dict[str, Any], change: ContactChange) -> None:
    match change.kind:
        case "tags":
            removed = set(change.remove)
            tags = dict.fromkeys([*row["tags"], *change.add])
            row["tags"] = [tag for tag in tags if tag not in removed]
        case "score_delta":
            row["ai_score"] = _score((row["ai_score"] or 0) + change.score())
        case "score_set":
            row["ai_score"] = _score(change.score())
        case "column":
            row[change.name] = change.text()
        case "custom_field":
            row["custom_fields"] = {**row["custom_fields"], change.name: change.value}


def _score(value: int) -> int:
    return min(HIGHEST_SCORE, max(0, value))
