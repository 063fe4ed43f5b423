"""Map the columns of a file to contact fields by name; all others become custom fields.

Parsing single rows belongs to row_parser.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from drip_pipeline.engine.contacts.file_formats import ContactFile
from drip_pipeline.errors import ImportFileError

CONTACT_FIELDS: Final = (
    "email",
    "name",
    "company",
    "phone",
    "job_title",
    "ai_score",
    "status",
    "tags",
    "last_interaction",
    "unsubscribed",
    "custom_fields",
)
_ALIASES: Final[Mapping[str, str]] = {"company_name": "company", "lead_score": "ai_score"}
_HIDDEN: Final = frozenset({"id", "workspace_id", "created_at", "updated_at"})
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
ROW: Final = "row"

_EMAIL_HINT: Final = (
    "Map the column with addresses by --map COLUMN=email, or generate them by --email-template "
    "'customer{row}@example.com' ({row} is the row number; column names are allowed too)."
)


@dataclass(frozen=True, slots=True)
class EmailTemplate:
    """A template of addresses: texts, and between them cell indices (None: the row number)."""

    texts: tuple[str, ...]
    cells: tuple[int | None, ...]

    def address(self, row: int, texts: Sequence[str | None]) -> str | None:
        """Return the address of a row, None if a required cell is empty."""
        address = self.texts[0]
        for cell, after in zip(self.cells, self.texts[1:], strict=True):
            value = str(row) if cell is None else texts[cell]
            if not value:
                return None
            address += value + after
        return address


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """The cell indices of contact fields and custom fields."""

    fields: Mapping[str, int]
    custom: Mapping[str, int]
    template: EmailTemplate | None
    warnings: tuple[str, ...] = ()


def plan_columns(
    file: ContactFile, renames: Mapping[str, str], email_template: str | None = None
) -> ColumnPlan:
    """Map each column to a field. `renames` maps columns to fields (to '': the column is skipped).

    Raises ImportFileError if no column or template gives addresses, or if two columns are the same
    field.
    """
    named = _renamed(file, renames)
    fields: dict[str, int] = {}
    custom: dict[str, int] = {}
    warnings: list[str] = []
    for index, name in enumerate(named):
        if name is None:
            continue
        if not name:
            warnings.append(f"column {index + 1} has no name and is skipped")
            continue
        plain = _plain(name)
        field = _ALIASES.get(plain, plain)
        if field in CONTACT_FIELDS:
            if field in fields:
                raise ImportFileError(
                    str(file.path),
                    f"columns {file.columns[fields[field]]!r} and {file.columns[index]!r} are both"
                    f" {field}",
                    hint="Rename one with --map COLUMN=FIELD, or skip it with --map COLUMN=.",
                )
            fields[field] = index
            continue
        key = plain if plain in ("first_name", "last_name", "timezone") else name
        if key in custom:
            raise ImportFileError(str(file.path), f"two columns are the custom field {key!r}")
        custom[key] = index
        if key in _HIDDEN:
            warnings.append(
                f"column {name!r} is kept as a custom field that templates access only as"
                f" custom_fields.{name}"
            )
    template = _template(file, email_template) if email_template is not None else None
    if "email" not in fields and template is None:
        names = ", ".join(name for name in file.columns[:15] if name)
        raise ImportFileError(
            str(file.path), f"has no column `email` (its columns: {names})", hint=_EMAIL_HINT
        )
    return ColumnPlan(fields, custom, template, tuple(warnings))


def _renamed(file: ContactFile, renames: Mapping[str, str]) -> list[str | None]:
    """Return the column names after renaming; None for skipped columns."""
    named: list[str | None] = list(file.columns)
    for column, field in renames.items():
        matches = [
            index
            for index, existing in enumerate(file.columns)
            if existing == column or _plain(existing) == _plain(column)
        ]
        if not matches:
            raise ImportFileError(
                str(file.path),
                f"has no column {column!r} (its columns: {', '.join(file.columns[:15])})",
            )
        named[matches[0]] = field.strip() or None
    for name in named:
        if name and not name.isascii() and not _is_text(name):
            raise ImportFileError(str(file.path), "the header is not UTF-8", line=1)
    return named


def _template(file: ContactFile, template: str) -> EmailTemplate:
    parts = _PLACEHOLDER.split(template)
    index_of = {_plain(name): index for index, name in enumerate(file.columns)}
    cells: list[int | None] = []
    for name in parts[1::2]:
        if name.strip() == ROW:
            cells.append(None)
        elif _plain(name) in index_of:
            cells.append(index_of[_plain(name)])
        else:
            raise ImportFileError(
                str(file.path),
                f"the address template names {{{name}}}, which is neither {{row}} nor a column",
                hint=f"Columns: {', '.join(file.columns[:15])}.",
            )
    if "@" not in template or not cells:
        raise ImportFileError(
            str(file.path),
            f"{template!r} gives no addresses: it needs an @ and {{row}} or {{a column}}",
            hint="For example 'customer{row}@example.com'.",
        )
    return EmailTemplate(tuple(parts[0::2]), tuple(cells))


def _plain(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in name
