"""End the runs whose exit rules an arriving event makes true, wherever they are: in a long wait,
and while their message lies in the outbox.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution import exit_states as exits_db
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.execution.exit_rules import judge
from drip_pipeline.engine.execution.exits import end_runs
from drip_pipeline.engine.execution.withdraw import withdraw_messages
from drip_pipeline.engine.gc_pause import no_collection


def end_runs_by_rules(connection: Connection, *, batch_id: UUID, now: datetime) -> int:
    """Exit the locked open and failed states whose rules name one of this transaction's events and
    hold, and withdraw their unsent messages; return their number.

    Call it after the events are logged. The number of statements does not depend on that of the
    states.
    """
    states = exits_db.states_of_exit_events(connection)
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
