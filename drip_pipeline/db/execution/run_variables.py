"""Queries of the variables of runs: read them by state, write those that a batch changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.binary_arrays import uuids
from drip_pipeline.db.connection import Connection, dump_json
from drip_pipeline.db.unreadable import Unreadable

JsonObject: TypeAlias = Mapping[str, Any]


class StoredVariables(NamedTuple):
    """The columns that store the variables of a run; None for an empty or an unread one."""

    id: UUID
    personalization_data: JsonObject | Unreadable | None
    workflow_variables: JsonObject | Unreadable | None


def read(
    connection: Connection, state_ids: Sequence[UUID], columns: Collection[str]
) -> list[StoredVariables]:
    """Return the requested columns of each state and its enrollment."""
    rows, _ = queries.readable_records(
        connection,
        "run_variables",
        StoredVariables,
        state_ids=uuids(state_ids),
        columns=sorted(columns),
    )
    return rows


def write(connection: Connection, changed: Mapping[UUID, Mapping[str, object]]) -> None:
    """Set variables of states, each an object by name; the other variables stay."""
    queries.run(
        connection,
        "write_run_variables",
        state_ids=uuids(list(changed)),
        variables=[dump_json(variables).decode() for variables in changed.values()],
    )
