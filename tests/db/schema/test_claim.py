from __future__ import annotations

from collections import Counter
from datetime import timedelta
from uuid import UUID

import pytest

from drip_pipeline.db.connection import Connection
from tests.db.schema.schema_rows import NOW, a_campaign_with, a_workspace

SPECIFICATION = "SELECT id, campaign_id FROM get_next_workflow_executions(%s, %s)"
ENGINE = "SELECT id, campaign_id FROM claim_due_states(%s, %s)"
BOTH = pytest.mark.parametrize("claim", [SPECIFICATION, ENGINE], ids=["specification", "engine"])


def claimed(connection: Connection, claim: str, size: int = 100) -> list[tuple[UUID, UUID]]:
    return connection.execute(claim, [size, NOW]).fetchall()


def ids(rows: list[tuple[UUID, UUID]]) -> set[UUID]:
    return {row[0] for row in rows}


@BOTH
def test_due_is_running_or_waiting_with_its_time_come(database, claim):
    with database.transaction() as connection:
        _, states = a_campaign_with(connection, a_workspace(connection), 6)
        running, waiting, later, paused, completed, failed = states
        for state, statement in (
            (waiting, "workflow_status = 'waiting'"),
            (later, "next_execution_at = next_execution_at + interval '1 second'"),
            (paused, "workflow_status = 'paused'"),
            (completed, "workflow_status = 'completed', completed_at = now()"),
            (failed, "workflow_status = 'failed', completed_at = now()"),
        ):
            connection.execute(
                f"UPDATE campaign_workflow_states SET {statement} WHERE id = %s", [state]
            )
        assert ids(claimed(connection, claim)) == {running, waiting}


@BOTH
@pytest.mark.parametrize("status", ["draft", "paused", "archived"])
def test_only_active_campaigns_are_claimed_from(database, claim, status):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        a_campaign_with(connection, workspace, 3, status=status)
        _, states = a_campaign_with(connection, workspace, 2)
        assert ids(claimed(connection, claim)) == set(states)


def test_the_specifications_claim_takes_only_active_enrollments(database):
    with database.transaction() as connection:
        _, states = a_campaign_with(connection, a_workspace(connection), 4)
        for state, status in zip(states, ("paused", "unsubscribed", "bounced"), strict=False):
            connection.execute(
                "UPDATE campaign_enrollments SET status = %s WHERE id = %s", [status, state]
            )
        assert ids(claimed(connection, SPECIFICATION)) == {states[3]}


def test_the_engines_claim_tells_the_enrollments_status(database):
    with database.transaction() as connection:
        _, states = a_campaign_with(connection, a_workspace(connection), 2)
        connection.execute(
            "UPDATE campaign_enrollments SET status = 'unsubscribed' WHERE id = %s", [states[0]]
        )
        found = connection.execute(
            "SELECT id, enrollment_status FROM claim_due_states(10, %s)", [NOW]
        ).fetchall()
        assert dict(found) == {states[0]: "unsubscribed", states[1]: "active"}


def test_states_without_a_version_wait_until_their_campaign_is_published(database):
    with database.transaction() as connection:
        _, states = a_campaign_with(connection, a_workspace(connection), 2)
        connection.execute(
            "UPDATE campaign_workflow_states SET campaign_version = NULL WHERE id = %s", [states[0]]
        )
        assert ids(claimed(connection, ENGINE)) == {states[1]}


@BOTH
def test_two_claimers_never_share_a_row_while_a_transaction_is_open(database, claim):
    with database.transaction() as connection:
        _, states = a_campaign_with(connection, a_workspace(connection), 50)
    with database.transaction() as first, database.transaction() as second:
        mine = ids(claimed(first, claim, 30))
        theirs = ids(claimed(second, claim, 30))
        assert len(mine) == 30
        assert mine.isdisjoint(theirs)
        assert mine | theirs == set(states)
        assert claimed(first, claim, 30) != []  # its own rows are not hidden from it
    with database.transaction() as third:
        assert ids(claimed(third, claim)) == set(states)


@BOTH
def test_a_claim_locks_no_row_that_it_does_not_return(database, claim):
    with database.transaction() as connection:
        a_campaign_with(connection, a_workspace(connection), 40)
    with database.transaction() as first, database.transaction() as second:
        claimed(first, claim, 10)
        free = second.execute(
            "SELECT id FROM campaign_workflow_states FOR UPDATE SKIP LOCKED"
        ).fetchall()
        assert len(free) == 30


def test_the_specifications_claim_gives_the_oldest_first(database):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        _, new = a_campaign_with(connection, workspace, 2, at=NOW)
        _, old = a_campaign_with(connection, workspace, 2, at=NOW - timedelta(days=1))
        rows = claimed(connection, SPECIFICATION, 3)
        assert [row[0] in old for row in rows] == [True, True, False]
        assert rows[2][0] in new


def test_campaigns_take_turns_however_many_people_one_has(database):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        large, _ = a_campaign_with(connection, workspace, 500, at=NOW - timedelta(days=9))
        small = [a_campaign_with(connection, workspace, 5)[0] for _ in range(3)]
        shares = Counter(row[1] for row in claimed(connection, ENGINE, 40))
        assert shares == {large: 10} | dict.fromkeys(small, 5)


def test_with_more_campaigns_than_places_those_who_waited_longest_come_first(database):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        campaigns = [
            a_campaign_with(connection, workspace, 3, at=NOW - timedelta(hours=hour))[0]
            for hour in (1, 5, 3, 4, 2)
        ]
        shares = Counter(row[1] for row in claimed(connection, ENGINE, 2))
        assert shares == {campaigns[1]: 1, campaigns[3]: 1}


def test_a_claim_is_never_larger_than_its_batch(database):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        for _ in range(7):
            a_campaign_with(connection, workspace, 20)
        for size in (1, 6, 7, 8, 50):
            assert 0 < len(claimed(connection, ENGINE, size)) <= size


@pytest.mark.parametrize("shards", [2, 3, 7])
def test_shards_do_not_meet_and_leave_nobody_out(database, shards):
    with database.transaction() as connection:
        _, states = a_campaign_with(connection, a_workspace(connection), 300)
        taken = [
            connection.execute(
                "SELECT id FROM claim_due_states(1000, %s, %s, %s)", [NOW, shard, shards]
            ).fetchall()
            for shard in range(shards)
        ]
        people = Counter(row[0] for rows in taken for row in rows)
        assert people == Counter(states)
        assert min(len(rows) for rows in taken) > 300 / shards / 2


def test_neither_paused_campaigns_nor_people_who_are_not_due_are_read(database):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        a_campaign_with(connection, workspace, 10_000, status="paused")
        a_campaign_with(connection, workspace, 10_000, at=NOW + timedelta(days=1))
        a_campaign_with(connection, workspace, 10)
    with database.autocommit() as connection:
        connection.execute("VACUUM ANALYZE campaign_workflow_states, campaign_enrollments")
    with database.transaction() as connection:
        assert len(claimed(connection, ENGINE)) == 10
        # What this transaction alone has read: rows by scanning the table, entries of the index.
        scanned, entries = connection.execute(
            "SELECT pg_stat_get_xact_tuples_returned('campaign_workflow_states'::regclass), "
            "pg_stat_get_xact_tuples_returned('idx_workflow_states_next_execution'::regclass)"
        ).fetchone() or (-1, -1)
        assert scanned == 0
        assert 10 <= entries < 40
