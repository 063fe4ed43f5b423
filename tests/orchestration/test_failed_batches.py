"""Batches that fail: the others commit, the run says what failed, and executing it again from
failure repeats just those and ends where an undisturbed run would have.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.engine.delivery.results import DeliveryCounts
from drip_pipeline.engine.execution import batch_context as facts
from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.engine.execution.transitions import (
    NodePosition,
)
from drip_pipeline.engine.runner.tick import deliver_channel
from drip_pipeline.engine.runner.work_units import WorkUnit
from drip_pipeline.errors import (
    Conflict,
    DatabaseError,
    DatabaseUnavailable,
    DripError,
    SchemaMismatch,
    StatementCancelled,
)
from drip_pipeline.orchestration.failures import RETRY_POLICY, failure
from drip_pipeline.orchestration.jobs import run_due_workflows_ops
from drip_pipeline.orchestration.metadata.run import BATCH_LOG, EVENT_LOG
from tests.engine.factories import NOW
from tests.orchestration.running import (
    due_enrollments,
    executed_again,
    failures,
    report_failure,
    run_minute,
    states_by_status,
    steps,
    value,
)

PEOPLE = 400
SICK = ("03_of_10", "08_of_10")


@pytest.fixture
def ten_batches(engine_database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """People whom the minute job parts into ten batches."""
    monkeypatch.setenv("DRIP_BATCH_SIZE", "40")
    due_enrollments(engine_database, PEOPLE)
    return engine_database


def people_of(database: Database, *shares: str) -> int:
    """How many people these shares hold, by the rule of the claim."""
    numbers = [WorkUnit.from_key(key).number - 1 for key in shares]
    found: int = value(
        database,
        "SELECT count(*) FROM campaign_workflow_states"
        " WHERE (hashtext(id::text) & 2147483647) %% 10 = ANY(%s)",
        numbers,
    )
    return found


def break_batches(monkeypatch: pytest.MonkeyPatch, database: Database, *shares: str) -> None:
    """Make the database fail for the enrollments of these work units."""
    numbers = [WorkUnit.from_key(key).number - 1 for key in shares]
    with database.transaction() as connection:
        sick = {
            row[0]
            for row in connection.execute(
                "SELECT id FROM campaign_workflow_states"
                " WHERE (hashtext(id::text) & 2147483647) %% 10 = ANY(%s)",
                [numbers],
            )
        }
    healthy = facts.load

    def load(connection: Any, people: Mapping[NodePosition, Sequence[DueState]], *rest: Any) -> Any:
        if any(person.id in sick for group in people.values() for person in group):
            raise DatabaseError("could not extend file: no space left on device")
        return healthy(connection, people, *rest)

    monkeypatch.setattr(facts, "load", load)


def test_failed_batches_stop_no_other(ten_batches, instance, monkeypatch):
    break_batches(monkeypatch, ten_batches, *SICK)
    result = run_minute(instance, max_batches=10)
    assert not result.success
    assert steps(result, "STEP_FAILURE") == [f"advance_batch[{key}]" for key in SICK]
    sick = people_of(ten_batches, *SICK)
    assert 0 < sick < PEOPLE
    assert states_by_status(ten_batches) == {"running": sick, "waiting": PEOPLE - sick}


def test_a_failed_batch_names_its_node_and_cause(ten_batches, instance, monkeypatch):
    break_batches(monkeypatch, ten_batches, SICK[0])
    result = run_minute(instance, max_batches=10)
    description, metadata = failures(result)[f"advance_batch[{SICK[0]}]"]
    people = min(40, people_of(ten_batches, SICK[0]))  # its first transaction
    assert description == (
        f"batch 3 of 10 failed for {people} enrollments, {people} of them at node 'start' of"
        " 'Welcome' (version 1): could not extend file: no space left on device"
    )
    assert metadata["campaign"] == "Welcome"
    assert metadata["node"] == "start"
    assert metadata["enrollments"] == people
    assert metadata["cause"] == "could not extend file: no space left on device"
    assert f"| Welcome | 1 | start | {people} |" in metadata["where"]
    batch = value(ten_batches, "SELECT id FROM campaign_batches WHERE outcome = 'failed'")
    assert metadata["batch"] == str(batch)


def test_re_execution_from_failure_repeats_only_failed_batches(ten_batches, instance, monkeypatch):
    with monkeypatch.context() as patch:
        break_batches(patch, ten_batches, *SICK)
        failed = run_minute(instance, max_batches=10)
    with executed_again(instance, failed.run_id) as again:
        assert again.success
        advanced = [key for key in steps(again, "STEP_START") if key.startswith("advance_batch")]
        assert sorted(advanced) == [f"advance_batch[{key}]" for key in SICK]
        assert "plan" not in steps(again, "STEP_START")
    assert states_by_status(ten_batches) == {"waiting": PEOPLE}
    assert sent_and_distinct(ten_batches) == (PEOPLE, PEOPLE)


def test_after_a_repair_all_enrollments_complete(ten_batches, instance, monkeypatch):
    with monkeypatch.context() as patch:
        break_batches(patch, ten_batches, *SICK)
        failed = run_minute(instance, max_batches=10)
    with executed_again(instance, failed.run_id) as again:
        assert again.success
    assert run_minute(instance, NOW + timedelta(days=1)).success
    assert states_by_status(ten_batches) == {"completed": PEOPLE}
    assert sent_and_distinct(ten_batches) == (2 * PEOPLE, 2 * PEOPLE)
    events = dict(
        rows(ten_batches, "SELECT event_type, count(*) FROM campaign_events GROUP BY event_type")
    )
    assert events == {
        "enrollment_started": PEOPLE,
        "email_sent": 2 * PEOPLE,
        "wait_started": PEOPLE,
        "wait_completed": PEOPLE,
        "enrollment_completed": PEOPLE,
    }


def test_the_next_run_advances_what_failed(ten_batches, instance, monkeypatch):
    with monkeypatch.context() as patch:
        break_batches(patch, ten_batches, *SICK)
        run_minute(instance, max_batches=10)
    assert run_minute(instance).success
    assert states_by_status(ten_batches) == {"waiting": PEOPLE}
    assert sent_and_distinct(ten_batches) == (PEOPLE, PEOPLE)


def test_a_batch_that_fails_in_every_run_does_not_delay_other_messages(
    ten_batches, instance, monkeypatch
):
    break_batches(monkeypatch, ten_batches, SICK[0])
    run_minute(instance, max_batches=10)
    assert sent_and_distinct(ten_batches) == (0, 0)
    result = run_minute(instance, max_batches=10)
    assert not result.success
    assert "deliver_backlog" in steps(result, "STEP_SUCCESS")
    healthy = PEOPLE - people_of(ten_batches, SICK[0])
    assert sent_and_distinct(ten_batches) == (healthy, healthy)


def test_a_failing_transport_is_named_and_its_messages_are_sent_later(
    engine_database, instance, monkeypatch
):
    due_enrollments(engine_database, 12)
    with monkeypatch.context() as patch:
        patch.setenv("DRIP_DELIVERY", "send")  # and no mail relay is named
        failed = run_minute(instance)
    description, metadata = failures(failed)["deliver_email"]
    assert description.startswith("a transport failed: email: ")
    assert "DRIP_SMTP_URL" in description
    assert description.endswith(
        ". 12 messages wait, 12 of them at node 'first' of 'Welcome' (version 1)"
    )
    assert (metadata["messages"], metadata["messages_waiting"]) == (0, 12)
    assert "| Welcome | 1 | first | 12 |" in metadata["where"]
    with executed_again(instance, failed.run_id) as again:
        assert again.success
        assert steps(again, "STEP_START") == ["deliver_email", "reconcile"]
    assert sent_and_distinct(engine_database) == (12, 12)


def test_a_transport_that_recovered_within_the_run_is_a_warning(
    engine_database, instance, monkeypatch
):
    due_enrollments(engine_database, 12)

    def recovered(*args: Any, **more: Any) -> DeliveryCounts:
        return replace(deliver_channel(*args, **more), faults={"email": "421 try again later"})

    monkeypatch.setattr(run_due_workflows_ops, "deliver_channel", recovered)
    done = run_minute(instance)
    assert done.success
    warned = [
        entry.user_message
        for entry in instance.all_logs(done.run_id)
        if entry.level == logging.WARNING
    ]
    assert warned == ["email failed and recovered, all its messages are sent: 421 try again later"]
    assert sent_and_distinct(engine_database) == (12, 12)


def test_the_tables_that_a_failed_run_wrote_to_are_reported(engine_database, instance, monkeypatch):
    due_enrollments(engine_database, 12)
    with monkeypatch.context() as patch:
        patch.setenv("DRIP_DELIVERY", "send")  # and no mail relay is named
        failed = run_minute(instance)
    assert instance.get_latest_materialization_event(EVENT_LOG) is None
    report_failure(instance, failed)
    for table in (EVENT_LOG, BATCH_LOG):
        event = instance.get_latest_materialization_event(table)
        assert event is not None
        assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["batches"].value == 1


def test_a_failing_transport_and_a_failing_batch_are_both_named_and_repeated(
    ten_batches, instance, monkeypatch
):
    with ten_batches.transaction() as connection:
        first = connection.execute(
            "SELECT id FROM campaign_workflow_states WHERE (hashtext(id::text) & 2147483647) %% 10"
            " <> %s ORDER BY id LIMIT 20",
            [WorkUnit.from_key(SICK[0]).number - 1],
        ).fetchall()
        later = NOW + timedelta(seconds=1)
        connection.execute(
            "UPDATE campaign_workflow_states SET next_execution_at = %s WHERE NOT id = ANY(%s)",
            [later, [row[0] for row in first]],
        )
    advance_batch(ten_batches, now=NOW, batch_size=100)  # messages that are due already
    with monkeypatch.context() as patch:
        patch.setenv("DRIP_DELIVERY", "send")  # and no mail relay is named
        break_batches(patch, ten_batches, SICK[0])
        failed = run_minute(instance, later, max_batches=10)
    failed_steps = failures(failed)
    assert set(failed_steps) == {f"advance_batch[{SICK[0]}]", "deliver_backlog"}
    assert "batch 3 of 10 failed for" in failed_steps[f"advance_batch[{SICK[0]}]"][0]
    assert "DRIP_SMTP_URL" in failed_steps["deliver_backlog"][0]
    with executed_again(instance, failed.run_id) as again:
        assert again.success
        begun = steps(again, "STEP_START")
        assert set(begun) >= set(failed_steps)
        assert {key for key in begun if key.startswith("advance_batch")} == {
            f"advance_batch[{SICK[0]}]"
        }
        assert "plan" not in begun
    assert states_by_status(ten_batches) == {"waiting": PEOPLE}
    assert sent_and_distinct(ten_batches) == (PEOPLE, PEOPLE)


def test_a_foreign_error_is_named_by_its_class_only(ten_batches, instance, monkeypatch):
    def load(*_: Any) -> Any:
        raise ValueError("somebody@example.com is not what was expected")

    monkeypatch.setattr(facts, "load", load)
    result = run_minute(instance, max_batches=1)
    description, metadata = failures(result)["advance_batch[1_of_1]"]
    assert metadata["cause"] == "ValueError"
    assert "example.com" not in description
    assert metadata["campaign"] == "Welcome"
    assert metadata["enrollments"] == 40


@pytest.mark.parametrize(
    ("error", "is_repeated"),
    [
        (Conflict("deadlock detected"), True),
        (DatabaseUnavailable("the server closed the connection"), True),
        (StatementCancelled("canceling statement due to statement timeout"), True),
        (StatementCancelled("canceling statement due to user request"), False),
        (SchemaMismatch('relation "contacts" does not exist'), False),
        (DripError("a rule of the engine says no"), False),
        (KeyError("a defect"), False),
    ],
)
def test_only_transient_errors_are_retried_at_once(error, is_repeated):
    assert failure("batch 1 of 1", error).allow_retries is is_repeated
    assert RETRY_POLICY.max_retries == 2


def test_a_failure_shows_the_hint_of_its_error():
    result = failure("planning", SchemaMismatch('relation "contacts" does not exist'))
    assert result.metadata["what_to_do"].value == "Run `drip db migrate`."
    assert result.description == 'planning failed: relation "contacts" does not exist'


def sent_and_distinct(database: Database) -> tuple[int, int]:
    ((sent, distinct),) = rows(
        database, "SELECT count(*), count(DISTINCT delivery_id) FROM recorded_messages"
    )
    return sent, distinct


def rows(database: Database, statement: str) -> list[Any]:
    with database.transaction() as connection:
        return connection.execute(statement).fetchall()
