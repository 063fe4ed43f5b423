"""Contacts that an application deletes in the middle of a campaign."""

from __future__ import annotations

from datetime import timedelta

import pytest

from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.engine.ab_tests.judge import judge
from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.engine.operations.ab_test_invariants import check_ab_test_invariants
from drip_pipeline.engine.operations.invariants import check_invariants
from tests.engine.ab_tests.split_contacts import a_split_test
from tests.engine.factories import NOW, contacts, enrolled, run_until_idle

LATER = NOW + timedelta(hours=1)


@pytest.mark.parametrize("is_sent", [False, True])
def test_the_invariants_hold_after_contacts_are_deleted(database, is_sent):
    with database.transaction() as connection:
        test = a_split_test(connection)
        everybody = contacts(connection, test.campaign.workspace_id, 6)
        enrolled(connection, test.campaign, everybody)
    if is_sent:
        run_until_idle(database, NOW)
    else:
        advance_batch(database, now=NOW, batch_size=10)
    judge(database, now=NOW)
    with database.transaction() as connection:
        connection.execute("DELETE FROM contacts WHERE id = ANY(%s)", [everybody[:2]])
        connection.execute("DELETE FROM contacts WHERE id = %s", [everybody[2]])
    for result in check_invariants(database, now=LATER):
        assert result.holds, result
    run_until_idle(database, LATER)
    judge(database, now=LATER)
    for result in (*check_invariants(database, now=LATER), *check_ab_test_invariants(database)):
        assert result.holds, result
    with database.transaction() as connection:
        (counts,) = states_db.population(connection)
    assert (counts.started, counts.deleted, counts.entered) == (6, 0, 6)
    assert (counts.completed, counts.exited) == ((6, 0) if is_sent else (3, 3))


def test_a_lost_state_is_still_reported(database):
    with database.transaction() as connection:
        test = a_split_test(connection)
        enrolled(connection, test.campaign, contacts(connection, test.campaign.workspace_id, 2))
    run_until_idle(database, NOW)
    with database.transaction() as connection:
        connection.execute(
            "DELETE FROM campaign_workflow_states WHERE id = (SELECT min(id::text)::uuid FROM"
            " campaign_workflow_states)"
        )
    (population,) = check_invariants(database, now=LATER, names=("population",))
    assert population.violations == 1


def test_deleted_enrollments_are_recorded(database):
    with database.transaction() as connection:
        test = a_split_test(connection)
        enrolled(connection, test.campaign, contacts(connection, test.campaign.workspace_id, 2))
        connection.execute(
            "DELETE FROM campaign_enrollments WHERE campaign_id = %s", [test.campaign.campaign_id]
        )
        assert connection.execute(
            "SELECT count(*) FROM campaign_deleted_enrollments"
        ).fetchall() == [(2,)]
