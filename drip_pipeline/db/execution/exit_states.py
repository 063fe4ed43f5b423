"""Queries of the states whose exit rules name an event of the transaction."""

from __future__ import annotations

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution.workflow_states import DueState


def states_of_exit_events(connection: Connection) -> list[DueState]:
    """Return the open and failed states whose campaign version evaluates its exit rules on one of
    the resolved events. The caller has locked them."""
    return queries.many_records(connection, "states_of_exit_events", DueState)
