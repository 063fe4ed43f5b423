"""The columns of a contact from the fields that a scenario or a file of people names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from drip_pipeline.domain.contact_fields import CONTACT_COLUMNS, CUSTOM_FIELDS

FIELD_ALIASES: Final = {"company_name": "company", "lead_score": "ai_score", "score": "ai_score"}
_TEXTS: Final = frozenset({"name", "email", "company", "phone", "job_title", "status"})
_TIMES: Final = frozenset({"last_interaction", "created_at", "updated_at"})
_HIGHEST_SCORE: Final = 100


class ContactInvalid(ValueError):
    """A field of a contact has a value that the column cannot have. `field` is its name."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(problem)
        self.field = field
        self.problem = problem


def contact_row(fields: Mapping[str, Any], *, created_at: datetime) -> dict[str, Any]:
    """Return the columns. Names that are no columns are custom fields. Raises ContactInvalid."""
    row: dict[str, Any] = {"created_at": created_at, "updated_at": created_at}
    custom: dict[str, Any] = {}
    for name, value in fields.items():
        column = FIELD_ALIASES.get(name, name)
        if name == CUSTOM_FIELDS:
            if not isinstance(value, Mapping):
                raise ContactInvalid(name, "must be an object")
            custom |= value
        elif column in ("id", "workspace_id"):
            raise ContactInvalid(name, "is set by the engine; leave it out")
        elif column in CONTACT_COLUMNS:
            row[column] = _value(name, column, value)
        else:
            custom[name] = value
    return {**row, CUSTOM_FIELDS: custom}


def _value(name: str, column: str, value: object) -> object:
    if value is None:
        return None
    if column == "tags":
        tags = [value] if isinstance(value, str) else value
        if not isinstance(tags, (list, tuple)) or not all(isinstance(tag, str) for tag in tags):
            raise ContactInvalid(name, "must be a list of texts")
        return list(dict.fromkeys(tags))
    if column == "ai_score":
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 100:
            raise ContactInvalid(name, f"must be a whole number from 0 to {_HIGHEST_SCORE}")
        return value
    if column in _TIMES:
        try:
            time = datetime.fromisoformat(str(value))
        except ValueError:
            raise ContactInvalid(name, "must be a time such as 2026-03-02T09:00:00Z") from None
        if time.tzinfo is None:
            raise ContactInvalid(name, "needs an offset, as in 2026-03-02T09:00:00Z")
        return time
    if column in _TEXTS and not isinstance(value, str):
        raise ContactInvalid(name, "must be text; put it in quotes")
    return value
