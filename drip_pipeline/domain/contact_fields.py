"""Names of contact data in templates and conditions: columns, custom fields, aliases.

Builds the mapping of names to values and lists the columns that a set of names needs. db/ and
engine/ read the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

CONTACT_COLUMNS: Final = frozenset(
    {
        "id",
        "workspace_id",
        "name",
        "email",
        "company",
        "phone",
        "job_title",
        "ai_score",
        "status",
        "tags",
        "last_interaction",
        "created_at",
        "updated_at",
    }
)
CUSTOM_FIELDS: Final = "custom_fields"

# alias -> the column of its value
_ALIASES: Final[Mapping[str, str]] = {
    "first_name": "name",
    "last_name": "name",
    "company_name": "company",
    "lead_score": "ai_score",
}
_NAME_PARTS: Final = ("first_name", "last_name")

ALIASES: Final = frozenset(_ALIASES)
CONFIRM: Final = "confirm_url"
CAMPAIGN_VARIABLES: Final = frozenset(
    {"campaign_id", "campaign_name", "unsubscribe_url", CONFIRM, "now"}
)
"""Names that the renderer adds to the context. `now` is the time of rendering, with a zone."""
KNOWN_VARIABLES: Final = CONTACT_COLUMNS | ALIASES | CAMPAIGN_VARIABLES | {CUSTOM_FIELDS}


def contact_context(contact: Mapping[str, object]) -> dict[str, object]:
    """Return every name that a template or a condition may use, with the contact's value.

    `contact` maps columns of `contacts` to values; columns that were not loaded may be absent.
    Custom fields are available by name and in `custom_fields`; they never hide a column or an
    alias. Only `first_name` and `last_name` prefer a non-empty custom field over the parts of
    `name`.
    """
    custom = contact.get(CUSTOM_FIELDS)
    if not isinstance(custom, Mapping):
        custom = {}
    context: dict[str, object] = {**custom, **contact, CUSTOM_FIELDS: custom}
    context["first_name"], context["last_name"] = _name_parts(contact, custom)
    context["company_name"] = contact.get("company")
    context["lead_score"] = contact.get("ai_score")
    return context


def reader_of(names: Iterable[str]) -> Callable[[Mapping[str, object]], dict[str, object]]:
    """Return a function like `contact_context`, limited to these names, for many contacts.

    The result contains no campaign variables.
    """
    requested = frozenset(names) - CAMPAIGN_VARIABLES
    columns = tuple(requested & CONTACT_COLUMNS)
    others = tuple(requested - CONTACT_COLUMNS - ALIASES - {CUSTOM_FIELDS})
    has_name_parts = not requested.isdisjoint(_NAME_PARTS)
    copies = tuple((a, _ALIASES[a]) for a in requested & ALIASES if a not in _NAME_PARTS)

    def read(contact: Mapping[str, object]) -> dict[str, object]:
        custom = contact.get(CUSTOM_FIELDS)
        if not isinstance(custom, Mapping):
            custom = {}
        context = {n: contact[n] if n in contact else custom.get(n) for n in columns}
        for name, column in copies:
            context[name] = contact.get(column)
        for name in others:
            context[name] = custom.get(name)
        if has_name_parts:
            context["first_name"], context["last_name"] = _name_parts(contact, custom)
        if CUSTOM_FIELDS in requested:
            context[CUSTOM_FIELDS] = custom
        return context

    return read


def _name_parts(
    contact: Mapping[str, object], custom: Mapping[str, object]
) -> tuple[object, object]:
    first = custom.get("first_name")
    last = custom.get("last_name")
    if first and last:
        return first, last
    split_first, split_last = split_name(contact.get("name"))
    return first or split_first, last or split_last


def split_name(name: object) -> tuple[str | None, str | None]:
    """Return the first word and the rest of a full name; None for a missing part."""
    if not isinstance(name, str):
        return None, None
    words = name.split(maxsplit=1)
    first = words[0] if words else None
    return first, words[1].rstrip() if len(words) > 1 else None


def contact_columns_for(names: Iterable[str]) -> tuple[frozenset[str], bool]:
    """Return the columns of `contacts` that the names read, and whether they read custom fields.

    Names are columns, aliases, custom fields (also dotted paths) or campaign variables.
    """
    columns: set[str] = set()
    needs_custom_fields = False
    for name in names:
        if name in CONTACT_COLUMNS:
            columns.add(name)
        elif name in _ALIASES:
            columns.add(_ALIASES[name])
            needs_custom_fields |= name in _NAME_PARTS
        elif name not in CAMPAIGN_VARIABLES:
            needs_custom_fields = True
    return frozenset(columns), needs_custom_fields
