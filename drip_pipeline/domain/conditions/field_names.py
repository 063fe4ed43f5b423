"""Names of fields in conditions, and reading their values."""

from __future__ import annotations

from collections.abc import Mapping

from drip_pipeline.domain.contact_fields import CONTACT_COLUMNS, CUSTOM_FIELDS
from drip_pipeline.domain.run_variables import value_at, variable_of


def field_name(name: str) -> str:
    """Return the key of `ContactAttributes.fields` for a field name of a condition.

    `contact.company` and `custom_fields.plan` are `company` and `plan`; a custom field with the
    name of a column or of a variable of the run keeps its prefix.
    """
    name = name.strip()
    if name.startswith("contact."):
        return name.removeprefix("contact.")
    bare = name.removeprefix(f"{CUSTOM_FIELDS}.")
    return name if bare in CONTACT_COLUMNS or variable_of(bare) else bare


def read_field(fields: Mapping[str, object], name: str) -> object:
    """Return the value of a field name or dotted path.

    A variable of the run comes first, then the field that has the whole path as its name, then the
    member of a field that the path leads to.
    """
    root, _, path = name.partition(".")
    if not path:
        return fields.get(name)
    if variable_of(root) and isinstance(variable := fields.get(root), Mapping):
        return value_at(variable, path)
    value = fields.get(name)
    return value_at(fields, name) if value is None else value
