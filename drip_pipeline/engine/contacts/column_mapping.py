"""Which column of a file means what: columns of `contacts` by their names, everything else a custom
field, and where the address comes from. Single rows are read in contact_rows.py.
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
    "Say which column holds addresses with --map COLUMN=email, or make them with --email-template "
    "'customer{row}@example.com' ({row} is the number of the row; columns can be named too)."
)


@dataclass(frozen=True, slots=True)
class EmailTemplate:
    """An address made from the row's number and cells: texts, and between them the index of a cell
    (None: the number of the row).
    """

    texts: tuple[str, ...]
    cells: tuple[int | None, ...]

    def address(self, row: int, texts: Sequence[str | None]) -> str | None:
        """The address of a row, None when a cell that it needs is empty."""
        made = self.texts[0]
        for cell, after in zip(self.cells, self.texts[1:], strict=True):
            value = str(row) if cell is None else texts[cell]
            if not value:
                return None
            made += value + after
        return made


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """The index of the cell for each field of a contact, and for each custom field."""

    fields: Mapping[str, int]
    custom: Mapping[str, int]
    template: EmailTemplate | None
    warnings: tuple[str, ...] = ()


def plan_columns(
    file: ContactFile, renames: Mapping[str, str], email_template: str | None = None
) -> ColumnPlan:
    """Decide what each column means. `renames` maps columns to fields (to nothing: leave it out).

    Raises ImportFileError when there is no way to an address, or two columns mean the same.
    """
    named = _renamed(file, renames)
    fields: dict[str, int] = {}
    custom: dict[str, int] = {}
    warnings: list[str] = []
    for index, name in enumerate(named):
        if name is None:
            continue
        if not name:
            warnings.append(f"column {index + 1} has no name and is left out")
            continue
        plain = _plain(name)
        field = _ALIASES.get(plain, plain)
        if field in CONTACT_FIELDS:
            if field in fields:
                raise ImportFileError(
                    str(file.path),
                    f"columns {file.columns[fields[field]]!r} and {file.columns[index]!r} are both"
                    f" {field}",
                    hint="Rename one with --map COLUMN=FIELD, or leave it out with --map COLUMN=.",
                )
            fields[field] = index
            continue
        key = plain if plain in ("first_name", "last_name", "timezone") else name
        if key in custom:
            raise ImportFileError(str(file.path), f"two columns are the custom field {key!r}")
        custom[key] = index
        if key in _HIDDEN:
            warnings.append(
                f"column {name!r} is kept as a custom field that templates reach as"
                f" custom_fields.{name} only"
            )
    template = _template(file, email_template) if email_template is not None else None
    if "email" not in fields and template is None:
        names = ", ".join(name for name in file.columns[:15] if name)
        raise ImportFileError(
            str(file.path), f"has no column `email` (its columns: {names})", hint=_EMAIL_HINT
        )
    return ColumnPlan(fields, custom, template, tuple(warnings))


def _renamed(file: ContactFile, renames: Mapping[str, str]) -> list[str | None]:
    """The columns' names after renaming; None for those that are left out."""
    named: list[str | None] = list(file.columns)
    for column, field in renames.items():
        matches = [
            index
            for index, known in enumerate(file.columns)
            if known == column or _plain(known) == _plain(column)
        ]
        if not matches:
            raise ImportFileError(
                str(file.path),
                f"has no column {column!r} (its columns: {', '.join(file.columns[:15])})",
            )
        named[matches[0]] = field.strip() or None
    for name in named:
        if name and not name.isascii() and not _is_text(name):
            raise ImportFileError(str(file.path), "the line of names is not UTF-8", line=1)
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
            f"{template!r} makes no addresses: it needs an @ and {{row}} or {{a column}}",
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
