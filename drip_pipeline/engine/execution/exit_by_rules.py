"""End runs by their exit rules, wherever they are: in a long wait, and while their message lies in
the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution import exit_states as exits_db
from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.execution.exit_rules import judge
from drip_pipeline.engine.execution.exits import end_runs
from drip_pipeline.engine.execution.withdraw import withdraw_messages
from drip_pipeline.engine.gc_pause import no_collection


def end_runs_by_events(connection: Connection, *, batch_id: UUID, now: datetime) -> int:
    """Exit the locked open and failed states whose rules name one of this transaction's events and
    hold, and withdraw their unsent messages; return their number.

    Call it after the events are logged.
    """
    states = exits_db.states_of_exit_events(connection)
    return _end(connection, states, batch_id=batch_id, now=now)


def end_runs_of_changed(connection: Connection, contact_ids: Sequence[UUID], now: datetime) -> int:
    """Exit the open and failed runs of these contacts whose rules on fields hold now, and withdraw
    their unsent messages; return their number.

    No change is missed: a run is judged at each step, too, and this waits for the transaction of a
    step that has read the contact as it was before.
    """
    states = exits_db.lock_states_of_changed(connection, contact_ids)
    return _end(connection, states, batch_id=uuid4(), now=now)


def _end(
    connection: Connection, states: Sequence[DueState], *, batch_id: UUID, now: datetime
) -> int:
    """Exit those of these locked states that a rule ends. The number of statements does not depend
    on that of the states."""
    if not states:
        return 0
    versions = version_cache.versions(
        connection, {(state.campaign_id, state.campaign_version) for state in states}
    )
    graphs = {key: version.graph for key, version in versions.items()}
    # Around the call, so that its objects are freed before the collector runs.
    with no_collection():
        leaving = judge(connection, states, graphs, now)
    for rule, exiting in leaving:
        ids = [state.id for state in exiting]
        withdraw_messages(connection, ids, reason=rule.why, batch_id=batch_id, now=now)
        end_runs(
            connection,
            exiting,
            exit_reason=rule.why,
            enrollment_status="completed",
            batch_id=batch_id,
            now=now,
            details={"exit": rule.id},
        )
    return sum(len(exiting) for _, exiting in leaving)
