"""Map the columns of a file to contact fields by name; all others become custom fields.

The names are in header_names.py; parsing single rows belongs to row_parser.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from drip_pipeline.engine.contacts.contact_file import ContactFile
from drip_pipeline.engine.contacts.header_names import (
    CONTACT_FIELDS,
    NAME_PARTS,
    SYNONYMS,
    VARIANTS,
    ConsentColumn,
    consent_column,
    plain_name,
)
from drip_pipeline.errors import ImportFileError

Renames = Mapping[str, str | Sequence[str]]
"""Columns and their fields (``: the column is skipped); several fields for columns of one name, in
their order in the file."""

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
    """The cell indices of contact fields and custom fields.

    `consents` are the columns that say who must not get messages; such a column can be a field too.
    `types` are the types chosen for custom fields and last_interaction.
    """

    fields: Mapping[str, int]
    custom: Mapping[str, int]
    template: EmailTemplate | None
    consents: Mapping[int, ConsentColumn] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def plan_columns(
    file: ContactFile,
    renames: Renames,
    email_template: str | None = None,
    types: Mapping[str, str] | None = None,
) -> ColumnPlan:
    """Map each column to a field. `types` maps columns to types of column_types.py.

    Raises ImportFileError if no column or template gives addresses, if two columns are the same
    field, or if a column has a type that contacts cannot have.
    """
    named = _renamed(file, renames)
    mapping = _Mapping(file, named)
    for index, name in enumerate(named):
        mapping.add(index, name)
    template = _template(file, email_template) if email_template is not None else None
    if "email" not in mapping.fields and template is None:
        names = ", ".join(name for name in file.columns[:15] if name)
        raise ImportFileError(
            str(file.path), f"has no column `email` (its columns: {names})", hint=_EMAIL_HINT
        )
    return ColumnPlan(
        mapping.fields,
        mapping.custom,
        template,
        mapping.consents,
        _chosen_types(file, mapping, types or {}),
        (*file.notes, *mapping.warnings),
    )


class _Mapping:
    """The columns that were mapped so far."""

    def __init__(self, file: ContactFile, named: Sequence[str | None]) -> None:
        self._file = file
        exact = {SYNONYMS.get(plain, plain) for plain in (plain_name(name or "") for name in named)}
        self._exact = exact & set(CONTACT_FIELDS)
        self.fields: dict[str, int] = {}
        self.custom: dict[str, int] = {}
        self.consents: dict[int, ConsentColumn] = {}
        self.warnings: list[str] = []

    def add(self, index: int, name: str | None) -> None:
        """Map a column; None: it is skipped."""
        if name is None:
            return
        if not name:
            self.warnings.append(f"column {index + 1} has no name and is skipped")
            return
        if index in self._file.unsupported:
            raise ImportFileError(
                str(self._file.path),
                f"column {name!r} has the type {self._file.unsupported[index]}, which contacts"
                " cannot have",
                hint=f"Skip it with --map {name!r}=, or convert it to text.",
            )
        consent = consent_column(name)
        if consent is not None:
            self.consents[index] = consent
        plain = plain_name(name)
        field_name = SYNONYMS.get(plain, plain)
        if field_name in CONTACT_FIELDS:
            self._add_field(index, field_name)
            return
        variant = VARIANTS.get(plain)
        if variant in CONTACT_FIELDS and variant not in self._exact and variant not in self.fields:
            self.fields[variant] = index
            return
        self._add_custom(index, name, plain if plain in NAME_PARTS else variant)

    def _add_field(self, index: int, field: str) -> None:
        if field in self.fields:
            columns = self._file.columns
            one, other = columns[self.fields[field]], columns[index]
            both = f"columns {one!r} and {other!r} are both {field}"
            raise ImportFileError(
                str(self._file.path),
                f"column {one!r} occurs twice" if one == other else both,
                hint="Rename one with --map COLUMN=FIELD, or skip it with --map COLUMN=.",
            )
        self.fields[field] = index

    def _add_custom(self, index: int, name: str, field_name: str | None) -> None:
        key = field_name if field_name in NAME_PARTS and field_name not in self.custom else name
        if key in self.custom:
            number = 2
            while f"{key}_{number}" in self.custom:
                number += 1
            numbered = f"{key}_{number}"
            self.warnings.append(
                f"column {name!r} occurs several times; column {index + 1} becomes {numbered!r}"
                " (--map names or skips them, each time the first that is left)"
            )
            key = numbered
        self.custom[key] = index
        if key in _HIDDEN:
            self.warnings.append(
                f"column {name!r} is kept as a custom field that templates access only as"
                f" custom_fields.{name}"
            )


def _renamed(file: ContactFile, renames: Renames) -> list[str | None]:
    """Return the column names after renaming; None for skipped columns."""
    named: list[str | None] = list(file.columns)
    for column, fields in renames.items():
        matches = [index for index, name in enumerate(file.columns) if name == column] or [
            index
            for index, name in enumerate(file.columns)
            if plain_name(name) == plain_name(column)
        ]
        targets = [fields] if isinstance(fields, str) else list(fields)
        if len(targets) > max(len(matches), 1):
            raise ImportFileError(
                str(file.path),
                f"has {len(matches)} columns {column!r}, and --map names {len(targets)}",
            )
        if not matches:
            raise ImportFileError(
                str(file.path),
                f"has no column {column!r} (its columns: {', '.join(file.columns[:15])})",
            )
        for index, target in zip(matches, targets, strict=False):
            named[index] = target.strip() or None
    for name in named:
        if name and not name.isascii() and not _is_text(name):
            raise ImportFileError(str(file.path), "the header is not UTF-8", line=1)
        if name and "\0" in name:
            raise ImportFileError(str(file.path), "the header has a NUL character", line=1)
    return named


def _chosen_types(file: ContactFile, mapping: _Mapping, types: Mapping[str, str]) -> dict[str, str]:
    chosen: dict[str, str] = {}
    names = {index: name for name, index in mapping.custom.items()}
    if "last_interaction" in mapping.fields:
        names[mapping.fields["last_interaction"]] = "last_interaction"
    for column, kind in types.items():
        requested = plain_name(column)
        matches = [
            name
            for index, name in names.items()
            if requested in (plain_name(name), plain_name(file.columns[index]))
        ]
        if not matches:
            raise ImportFileError(
                str(file.path),
                f"has no custom column {column!r} for --types",
                hint=f"Columns with a type: {', '.join(list(names.values())[:15])}.",
            )
        if matches[0] == "last_interaction" and not kind.startswith("date"):
            raise ImportFileError(str(file.path), "last_interaction can only be a date")
        chosen[matches[0]] = kind
    return chosen


def _template(file: ContactFile, template: str) -> EmailTemplate:
    parts = _PLACEHOLDER.split(template)
    index_of = {plain_name(name): index for index, name in enumerate(file.columns)}
    cells: list[int | None] = []
    for name in parts[1::2]:
        if name.strip() == ROW:
            cells.append(None)
        elif plain_name(name) in index_of:
            cells.append(index_of[plain_name(name)])
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


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
