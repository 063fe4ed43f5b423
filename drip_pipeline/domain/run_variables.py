"""Variables of a run, read by dotted path.

`entry`: the object given at enrollment (`campaign_enrollments.personalization_data`). `event`: the
properties of the event that ended the latest wait. `vars`: what actions `variable` set (both in
`campaign_workflow_states.workflow_variables`; its other keys belong to applications). With an event
trigger, `event` is the entry data until a wait ends by an event. Where a run has no such object,
the name stands for a custom field; `custom_fields.entry` always does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence, Set
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

JsonObject: TypeAlias = Mapping[str, Any]

ENTRY: Final = "entry"
EVENT: Final = "event"
VARS: Final = "vars"
RUN_VARIABLES: Final = frozenset({ENTRY, EVENT, VARS})
"""The first part of a variable's path."""
PERSONALIZATION_DATA: Final = "personalization_data"
"""The column of an enrollment that has the entry data."""
WORKFLOW_VARIABLES: Final = "workflow_variables"
"""The column of a workflow state that has `event` and `vars`."""

MAX_BYTES: Final = 32_768
"""Size of `entry`, and of `vars`, as JSON."""
MAX_DEPTH: Final = 8
"""Objects and lists inside each other, in `entry` and in `vars`."""

_PARTS: Final = re.compile(r"[.\[\]]+")
_LONGEST_INDEX: Final = 6
_LARGEST_INTEGER: Final = 2**63 - 1


class RunVariables(NamedTuple):
    """The variables of one run; an object that the run does not have, or that was not loaded, is
    None."""

    entry: JsonObject | None = None
    event: JsonObject | None = None
    vars: JsonObject | None = None

    def by_name(self) -> dict[str, JsonObject]:
        """Return the objects that the run has, by name, as conditions and templates read them."""
        return {name: value for name, value in zip(self._fields, self, strict=True) if value}

    def value(self, path: str) -> object:
        """Return the value of a path such as `entry.order_id`, None if there is none."""
        return value_at(self.by_name(), path)


NO_VARIABLES: Final = RunVariables()


def variable_of(name: str) -> str | None:
    """Return the variable that a path reads (`entry` of `entry.total`), None for another name."""
    root = name.partition(".")[0]
    return root if root in RUN_VARIABLES else None


def columns_of(variables: Set[str], *, is_entered_by_event: bool) -> frozenset[str]:
    """Return the columns that store these variables, of a campaign with an event trigger or not."""
    columns = set()
    if ENTRY in variables or (EVENT in variables and is_entered_by_event):
        columns.add(PERSONALIZATION_DATA)
    if EVENT in variables or VARS in variables:
        columns.add(WORKFLOW_VARIABLES)
    return frozenset(columns)


def stored_variables(
    personalization_data: object, workflow_variables: object, *, is_entered_by_event: bool
) -> RunVariables:
    """Return the variables of a run from the columns that store them; None for an unread column.

    `is_entered_by_event`: the campaign has an event trigger.
    """
    stored = workflow_variables if isinstance(workflow_variables, Mapping) else {}
    entry, event, own = (
        value if isinstance(value, Mapping) and value else None
        for value in (personalization_data, stored.get(EVENT), stored.get(VARS))
    )
    if event is None and is_entered_by_event:
        event = entry
    return RunVariables(entry, event, own)


def value_at(value: object, path: str) -> object:
    """Return the value at a dotted path of a JSON object, None if there is none.

    A number is a position of a list: `items.0.sku`, also written `items[0].sku`. An object with the
    whole path as a key has this key's value.
    """
    if isinstance(value, Mapping) and (whole := value.get(path)) is not None:
        return whole
    for part in _parts(path):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            is_index = part.isascii() and part.isdigit() and len(part) <= _LONGEST_INDEX
            value = value[int(part)] if is_index and int(part) < len(value) else None
        else:
            return None
    return value


@lru_cache(maxsize=4096)
def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in _PARTS.split(path) if part)


def data_problem(value: object) -> str | None:
    """Return why a JSON value cannot be stored with a run, or None.

    Bounded are its size, depth and integers; PostgreSQL stores neither NUL nor half characters.
    """
    level: list[object] = [value]
    for _ in range(MAX_DEPTH + 1):
        problem = next((p for item in level if (p := _scalar_problem(item)) is not None), None)
        if problem is not None:
            return problem
        level = [member for item in level for member in _members(item)]
        if not level:
            break
    else:
        return f"it is nested deeper than {MAX_DEPTH} levels"
    size = len(json.dumps(value, ensure_ascii=False, default=str).encode())
    if size > MAX_BYTES:
        return f"it has {size:,} bytes as JSON; at most {MAX_BYTES:,} are allowed"
    return None


def _scalar_problem(value: object) -> str | None:
    if isinstance(value, str):
        if "\0" in value:
            return "a text has the character NUL"
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                return "a text is not Unicode"
    elif isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        return "a whole number has more than 64 bits"
    return None


def _members(value: object) -> Sequence[object]:
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    return value if isinstance(value, (list, tuple)) else ()
