"""A tick on a real database: each state moves once, none is lost, a poison row is isolated."""

from __future__ import annotations

import threading
from datetime import timedelta
from time import sleep
from typing import Any
from uuid import UUID

import pytest

from drip_pipeline.channels.recorder import RecorderChannel
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.domain.graph.nodes import FieldUpdateAction, ScoreAction
from drip_pipeline.engine.execution import advance as advance_module
from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.engine.runner import tick as tick_module
from drip_pipeline.engine.runner.tick import Engine, tick
from drip_pipeline.errors import DataRejected
from tests.engine.factories import (
    MESSAGES,
    NOW,
    a_published_campaign,
    a_workspace,
    contacts,
    enrolled,
    people_inside,
    run_until_idle,
)
from tests.engine.graphs import (
    add_tag,
    email,
    end,
    graph,
    has_tag,
    node,
    score_at_least,
    split,
    trigger,
    wait_for,
    wait_hours,
)


def counted(connection: Connection, query: str, *params: Any) -> dict[Any, int]:
    """Rows of (key, count) as a dictionary."""
    return {row[0]: row[1] for row in connection.execute(query, params).fetchall()}


def statuses(database: Database) -> dict[str, int]:
    """The number of states by status."""
    with database.transaction() as connection:
        return counted(
            connection,
            "SELECT workflow_status, count(*) FROM campaign_workflow_states GROUP BY 1",
        )


def events(database: Database) -> dict[str, int]:
    """The number of logged events by type."""
    with database.transaction() as connection:
        return counted(connection, "SELECT event_type, count(*) FROM campaign_events GROUP BY 1")


def invariant_holds(database: Database) -> bool:
    """entered = active + completed + exited + failed, for every campaign version."""
    with database.transaction() as connection:
        rows = states_db.population(connection)
    assert rows
    return all(row.entered == row.active + row.completed + row.exited + row.failed for row in rows)


def test_a_drip_completes_with_its_waits(database: Database) -> None:
    g = graph(
        trigger("hello"),
        email("hello", default="w"),
        wait_hours("w", 24, default="again"),
        email("again", default="end"),
        end(),
    )
    people_inside(database, g, 50)
    assert statuses(database) == {"waiting": 50}
    run_until_idle(database, NOW + timedelta(hours=23, minutes=59))
    assert events(database)["email_sent"] == 50
    run_until_idle(database, NOW + timedelta(hours=24))
    assert statuses(database) == {"completed": 50}
    assert events(database) == {
        "enrollment_started": 50,
        "email_sent": 100,
        "wait_started": 50,
        "wait_completed": 50,
        "enrollment_completed": 50,
    }
    with database.transaction() as connection:
        path, status, sent_at = connection.execute(
            "SELECT s.execution_path, e.status, e.last_email_sent_at"
            " FROM campaign_workflow_states s"
            " JOIN campaign_enrollments e ON e.id = s.enrollment_id LIMIT 1"
        ).fetchone() or (None, None, None)
    assert path == ["start", "hello", "w", "again", "end"]
    assert (status, sent_at) == ("completed", NOW + timedelta(hours=24))
    assert invariant_holds(database)


def test_two_engines_at_once_move_every_state_exactly_once(database: Database) -> None:
    g = graph(
        trigger("t"),
        add_tag("t", "seen", default="m"),
        email("m", default="c"),
        score_at_least("c", 50, yes="end", else_="end"),
        end(),
    )
    people = 20_000
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, g)
        ids = contacts(connection, campaign.workspace_id, people)
        enrolled(connection, campaign, ids)
    reports = []

    def run() -> None:
        with Database(database.url) as own:
            engine = Engine(own, {"email": RecorderChannel("email")}, MESSAGES, batch_size=1_500)
            reports.append(tick(engine, now=NOW, until_idle=True))

    workers = [threading.Thread(target=run) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert len(reports) == 2
    assert sum(report.advanced for report in reports) == people
    assert statuses(database) == {"completed": people}
    assert events(database) == dict.fromkeys(
        (
            "enrollment_started",
            "tag_added",
            "email_sent",
            "condition_evaluated",
            "enrollment_completed",
        ),
        people,
    )
    with database.transaction() as connection:
        once = connection.execute(
            "SELECT count(*), count(DISTINCT delivery_id), count(DISTINCT enrollment_id)"
            " FROM recorded_messages"
        ).fetchone()
    assert once == (people, people, people)
    assert invariant_holds(database)


def test_running_again_changes_nothing(database: Database) -> None:
    g = graph(trigger("m"), email("m", default="end"), end())
    people_inside(database, g, 20)
    before = events(database)
    report = run_until_idle(database)
    assert (report.batches, events(database)) == (0, before)


def test_a_poison_row_is_isolated_and_the_rest_commits(database: Database) -> None:
    # A status that the table's check refuses: the statement for the whole batch fails.
    bad = FieldUpdateAction.model_construct(type="field_update", field="status", value="nobody")
    g = graph(
        trigger("c"),
        has_tag("c", "poison", yes="bad", else_="good"),
        node("bad", "action", bad, default="end"),
        node("good", "action", ScoreAction(delta=5), default="end"),
        end(),
    )
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, g)
        ids = contacts(connection, campaign.workspace_id, 40)
        connection.execute("UPDATE contacts SET tags = '{poison}' WHERE id = %s", [ids[7]])
        enrolled(connection, campaign, ids)
        # The graph is stored unchecked, as if by a later release.
    _keep_in_memory(campaign.campaign_id, g)
    run_until_idle(database)
    assert statuses(database) == {"completed": 39, "running": 1}
    with database.transaction() as connection:
        stuck = connection.execute(
            "SELECT contact_id, retry_count, last_error, current_node_id, next_execution_at"
            " FROM campaign_workflow_states WHERE workflow_status = 'running'"
        ).fetchone()
    assert stuck is not None
    assert (stuck[0], stuck[1], stuck[3]) == (ids[7], 1, "start")
    assert "could not be written" in stuck[2]
    assert stuck[4] > NOW
    for hours in (1, 2, 3, 12):
        run_until_idle(database, NOW + timedelta(hours=hours))
    assert statuses(database) == {"completed": 39, "failed": 1}
    assert events(database)["retry_scheduled"] == 3
    assert events(database)["enrollment_failed"] == 1
    assert invariant_holds(database)


def _keep_in_memory(campaign_id: UUID, g: Any) -> None:
    from drip_pipeline.engine.campaigns import version_cache

    kept = version_cache.PublishedVersion(campaign_id, 1, "Welcome", UUID(int=0), g)
    version_cache._cache[(campaign_id, 1)] = kept


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (DataRejected("the provider of failures"), "the provider of failures"),
        # The text of a foreign error may quote people's data; its kind does not.
        (KeyError("somebody@example.com"), "KeyError"),
    ],
)
def test_a_failed_batch_leaves_its_states_due_and_a_row_in_the_batch_log(
    database: Database, monkeypatch: pytest.MonkeyPatch, failure: Exception, message: str
) -> None:
    g = graph(trigger("m"), email("m", default="end"), end())
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, g)
        enrolled(connection, campaign, contacts(connection, campaign.workspace_id, 10))

    def breaks(*_args: Any, **_kwargs: Any) -> None:
        raise failure

    with monkeypatch.context() as patched:
        patched.setattr(advance_module, "execute", breaks)
        with pytest.raises(type(failure)):
            advance_batch(database, now=NOW, batch_size=100)
    with database.transaction() as connection:
        logged = connection.execute(
            "SELECT outcome, size, error, campaigns FROM campaign_batches"
        ).fetchall()
    assert len(logged) == 1
    outcome, size, error, campaigns = logged[0]
    assert (outcome, size, error) == ("failed", 10, message)
    assert campaigns[0]["node_id"] == "start"
    assert campaigns[0]["enrollments"] == 10
    assert statuses(database) == {"running": 10}
    run_until_idle(database)
    assert statuses(database) == {"completed": 10}


def test_a_delivery_batch_that_fails_by_a_defect_is_logged_too(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.transaction() as connection:
        campaign = a_published_campaign(
            connection, graph(trigger("m"), email("m", default="end"), end())
        )
        enrolled(connection, campaign, contacts(connection, campaign.workspace_id, 10))
    advance_batch(database, now=NOW, batch_size=100)
    channel = RecorderChannel("email")

    def breaks(_messages: Any) -> Any:
        raise KeyError("somebody@example.com")

    monkeypatch.setattr(channel, "send", breaks)
    with pytest.raises(KeyError):
        tick(Engine(database, {"email": channel}, MESSAGES), now=NOW)
    with database.transaction() as connection:
        found = connection.execute(
            "SELECT kind, size, error FROM campaign_batches WHERE outcome = 'failed'"
        ).fetchall()
    assert found == [("deliver", 10, "KeyError")]


def test_a_short_tick_keeps_time_for_delivering(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    g = graph(trigger("m"), email("m", default="end"), end())
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, g)
        enrolled(connection, campaign, contacts(connection, campaign.workspace_id, 100))

    def slowly(*args: Any, **kwargs: Any) -> Any:
        sleep(0.1)
        return advance_batch(*args, **kwargs)

    monkeypatch.setattr(tick_module, "advance_batch", slowly)
    engine = Engine(database, {"email": RecorderChannel("email")}, MESSAGES, batch_size=1)
    report = tick(engine, now=NOW, max_seconds=1)
    assert 0 < report.advanced < 10
    assert report.delivered["email"].sent == report.advanced
    assert not report.is_idle


def test_a_large_campaign_does_not_delay_a_small_one(database: Database) -> None:
    g = graph(trigger("t"), add_tag("t", "x", default="end"), end())
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        big = a_published_campaign(connection, g, workspace_id=workspace, name="Big")
        small = a_published_campaign(connection, g, workspace_id=workspace, name="Small")
        people = contacts(connection, workspace, 3_000)
        enrolled(connection, big, people, at=NOW - timedelta(days=1))
        enrolled(connection, small, people[:50])
    for _ in range(2):
        advance_batch(database, now=NOW, batch_size=200)
    with database.transaction() as connection:
        done = counted(
            connection,
            "SELECT campaign_id, count(*) FROM campaign_workflow_states"
            " WHERE workflow_status = 'completed' GROUP BY 1",
        )
    assert done[small.campaign_id] == 50
    assert done[big.campaign_id] >= 200


def test_shards_are_disjoint_and_complete(database: Database) -> None:
    g = graph(trigger("t"), add_tag("t", "x", default="end"), end())
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, g)
        enrolled(connection, campaign, contacts(connection, campaign.workspace_id, 300))
    first = advance_batch(database, now=NOW, batch_size=1_000, shard=0, shards=2)
    again = advance_batch(database, now=NOW, batch_size=1_000, shard=0, shards=2)
    second = advance_batch(database, now=NOW, batch_size=1_000, shard=1, shards=2)
    assert again.claimed == 0
    assert first.claimed + second.claimed == 300
    assert min(first.claimed, second.claimed) > 90


def test_a_wait_for_a_missing_event_times_out(database: Database) -> None:
    g = graph(
        trigger("m"),
        email("m", default="w"),
        wait_for("w", "email_opened", event="end", timeout="late"),
        end(),
        end("late"),
    )
    people_inside(database, g, 5)
    run_until_idle(database, NOW + timedelta(days=2))
    with database.transaction() as connection:
        where = counted(
            connection,
            "SELECT current_node_id, count(*) FROM campaign_workflow_states GROUP BY 1",
        )
    assert where == {"late": 5}


def test_assignments_are_kept_and_the_holdout_gets_nothing(database: Database) -> None:
    g = graph(
        trigger("s"),
        split("s", {"a": 50, "holdout": 50}, a="m"),
        email("m", default="end"),
        end(),
        variant_of_node={"m": ("s", "a")},
    )
    people_inside(database, g, 200)
    with database.transaction() as connection:
        given = counted(
            connection,
            "SELECT variant_group, count(*) FROM campaign_split_assignments GROUP BY 1",
        )
        sent = counted(
            connection,
            "SELECT variant_group, count(*) FROM campaign_message_outcomes GROUP BY 1",
        )
        exits = counted(
            connection,
            "SELECT exit_reason, count(*) FROM campaign_workflow_states GROUP BY 1",
        )
    assert sum(given.values()) == 200
    assert set(given) == {"a", "holdout"}
    assert sent == {"a": given["a"]}
    assert exits == {None: given["a"], "holdout": given["holdout"]}


def test_unsubscribed_and_suppressed_contacts_get_no_email_and_exit(database: Database) -> None:
    g = graph(trigger("m"), email("m", default="end"), end())
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, g)
        people = contacts(connection, campaign.workspace_id, 6)
        enrolled(connection, campaign, people)
        connection.execute(
            "INSERT INTO campaign_suppressions"
            " (workspace_id, address, channel, campaign_id, reason, created_at) VALUES"
            " (%(w)s, 'PERSON1@example.com', NULL, NULL, 'unsubscribed', %(now)s),"
            " (%(w)s, 'person2@example.com', 'email', NULL, 'bounced', %(now)s),"
            " (%(w)s, 'person3@example.com', 'sms', NULL, 'unsubscribed', %(now)s),"
            " (%(w)s, 'person4@example.com', NULL, gen_random_uuid(), 'manual', %(now)s)",
            {"w": campaign.workspace_id, "now": NOW},
        )
        connection.execute("UPDATE contacts SET email = NULL WHERE id = %s", [people[4]])
    report = run_until_idle(database)
    assert report.delivered["email"].sent == 3
    assert dict(report.delivered["email"].skipped) == {
        "unsubscribed": 1,
        "bounced": 1,
        "no_address": 1,
    }
    with database.transaction() as connection:
        exits = counted(
            connection,
            "SELECT exit_reason, count(*) FROM campaign_workflow_states GROUP BY 1",
        )
        skipped = counted(
            connection,
            "SELECT event_data->>'reason', count(*) FROM campaign_events"
            " WHERE event_type = 'message_skipped' GROUP BY 1",
        )
    assert exits == {None: 4, "unsubscribed": 1, "suppressed": 1}
    assert skipped == {"unsubscribed": 1, "bounced": 1, "no_address": 1}
    assert invariant_holds(database)
