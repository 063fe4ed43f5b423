"""Queries of the states whose exit rules name an event of the transaction, or read fields."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.binary_arrays import uuids
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution.workflow_states import DueState


def states_of_exit_events(connection: Connection) -> list[DueState]:
    """Return the open and failed states whose campaign version evaluates its exit rules on one of
    the resolved events. The caller has locked them."""
    return queries.many_records(connection, "states_of_exit_events", DueState)


def lock_states_of_changed(connection: Connection, contact_ids: Sequence[UUID]) -> list[DueState]:
    """Lock and return the open and failed states of these contacts whose campaign version has exit
    rules on fields."""
    return queries.many_records(
        connection, "lock_states_of_changed", DueState, contact_ids=uuids(contact_ids)
    )
