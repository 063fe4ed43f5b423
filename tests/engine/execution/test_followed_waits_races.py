"""No change of a contact is missed while its wait begins or is checked."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.engine.execution.advance import advance_states
from drip_pipeline.engine.execution.claim import claim_due
from drip_pipeline.engine.execution.followed_waits import FollowReport, follow_contacts
from drip_pipeline.engine.execution.transitions import group_by_position
from tests.engine.events.incoming import ingest
from tests.engine.execution.following import (
    AT,
    BOUGHT,
    CHANGE,
    HOUR,
    bought,
    inside,
    queued,
    set_field,
    states,
    trial,
    until,
    until_date,
)
from tests.engine.factories import (
    a_published_campaign,
    contacts,
    enrolled,
    run_until_idle,
    the_workspace,
)


def enter(connection: Any) -> None:
    """Advance all due states in this transaction, as a batch of the engine does."""
    due = claim_due(connection, batch_size=100, now=AT)
    batch_id = UUID(int=1)
    advance_states(connection, group_by_position(due.states), batch_id=batch_id, now=AT)


def about_to_enter(database: Database, flow: CampaignGraph, fields: dict[str, Any]) -> UUID:
    """A contact that is enrolled, and the listeners of its campaign are open."""
    with database.transaction() as connection:
        workspace = the_workspace(connection)
        campaign = a_published_campaign(connection, flow, workspace_id=workspace, now=AT)
    follow_contacts(database, now=AT)
    with database.transaction() as connection:
        ids = contacts(connection, workspace, 1)
        connection.execute("UPDATE contacts SET custom_fields = %s", [Jsonb(fields)])
        enrolled(connection, campaign, ids, at=AT)
    follow_contacts(database, now=AT)
    assert queued(database) == 0
    return ids[0]


def test_a_change_between_the_reading_and_the_commit_of_a_wait_waits_for_the_commit(
    database: Database,
) -> None:
    about_to_enter(database, until_date(), trial("2026-02-10"))
    with database.transaction() as batch:
        enter(batch)  # the facts are read, and the wait is written, but not committed
        with psycopg.connect(database.url) as application:
            application.execute("SET lock_timeout = '50ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                application.execute(CHANGE)
        # Other changes of other contacts, and the engine's own readers, are not delayed.
        assert follow_contacts(database, now=AT) == FollowReport()
    with database.transaction() as application:
        application.execute(CHANGE)
    assert follow_contacts(database, now=AT) == FollowReport(contacts=1, moved=1)
    assert states(database) == [("w", "02-20 09:00")]


def test_a_wait_that_is_entered_while_its_contact_is_being_changed_is_checked_again(
    database: Database,
) -> None:
    about_to_enter(database, until_date(), trial("2026-02-10"))
    with database.transaction() as application:
        application.execute(CHANGE)
        with database.transaction() as batch:
            enter(batch)  # does not wait
        assert states(database) == [("w", "02-10 09:00")]
        assert follow_contacts(database, now=AT) == FollowReport(contacts=1, locked=1)
        assert queued(database) == 1
    assert follow_contacts(database, now=AT).moved == 1
    assert states(database) == [("w", "02-20 09:00")]
    assert queued(database) == 0


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
def test_a_transaction_from_before_the_publication_is_awaited(
    database: Database, isolation: str
) -> None:
    """It does not see that the field is followed, and queues nothing."""
    with database.transaction() as connection:
        workspace = the_workspace(connection)
        ids = contacts(connection, workspace, 1)
        connection.execute("UPDATE contacts SET custom_fields = %s", [Jsonb(trial("2026-02-10"))])
    with psycopg.connect(database.url) as application:
        application.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
        application.execute("SELECT count(*) FROM contacts")
        if isolation == "READ COMMITTED":
            application.execute(CHANGE)
        with database.transaction() as connection:
            campaign = a_published_campaign(
                connection, until_date(), workspace_id=workspace, now=AT
            )
            enrolled(connection, campaign, ids, at=AT)
        run_until_idle(database, AT)
        assert states(database) == [("w", "02-10 09:00")]
        application.execute(CHANGE)
        run_until_idle(database, AT)
    run_until_idle(database, AT)
    assert states(database) == [("w", "02-20 09:00")]


def test_an_event_between_the_reading_and_the_commit_of_a_wait_is_not_missed(
    database: Database,
) -> None:
    about_to_enter(database, until(BOUGHT), {})
    with database.transaction() as batch:
        enter(batch)
        ingest(database, [bought(1)])
        assert follow_contacts(database, now=AT).ended == 0  # the wait is not committed yet
    assert follow_contacts(database, now=AT + HOUR).ended == 1
    run_until_idle(database, AT + HOUR)
    assert states(database) == [("met", None)]


def test_two_processes_check_different_contacts(database: Database) -> None:
    _, ids = inside(database, until_date(), [trial("2026-02-10")] * 4)
    for id_ in ids:
        set_field(database, id_, trial_ends_at="2026-02-20")
    with database.transaction() as other:
        other.execute("SELECT id FROM campaign_wait_queue ORDER BY id LIMIT 2 FOR UPDATE")
        assert follow_contacts(database, now=AT, chunk_size=1) == FollowReport(2, 2)
    assert follow_contacts(database, now=AT, chunk_size=1) == FollowReport(2, 2)
