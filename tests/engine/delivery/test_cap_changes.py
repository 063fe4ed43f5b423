"""Setting, changing and removing frequency caps: from the end of the command on they hold."""

from __future__ import annotations

from typing import Any

import pytest

from drip_pipeline.channels.protocol import (
    Outcome,
)
from drip_pipeline.db.campaigns import workspace_rules as rules_db
from drip_pipeline.db.connection import Database
from drip_pipeline.db.delivery import frequency_caps as caps_db
from drip_pipeline.db.delivery import held_messages as held_db
from drip_pipeline.engine.campaigns.frequency_caps import (
    delete_uncounted_sends,
    frequency_caps,
    remove_cap,
    set_cap,
)
from drip_pipeline.engine.campaigns.workspace_rules import rules_of
from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.errors import NotAllowed
from tests.engine.delivery.capped import (
    DAY,
    MINUTE,
    NOW,
    WEEKLY,
    Provider,
    entering,
    most_in,
    one_mail,
    people,
    rows,
    sent,
)
from tests.engine.factories import (
    run_until_done,
    run_until_idle,
    the_workspace,
)


def test_messages_from_before_the_cap_count(database: Database) -> None:
    ids = people(database, 4)
    entering(database, ids, Old=one_mail(), Exempt=one_mail(cap_exempt=True))
    run_until_idle(database, NOW)
    entering(database, ids[:1], NOW + DAY, Open=one_mail())
    run_until_idle(database, NOW + DAY, email=Provider(Outcome.UNKNOWN))
    entering(database, ids, NOW + 2 * DAY, Low=one_mail(), High=one_mail(3))
    advance_batch(database, now=NOW + 2 * DAY, batch_size=100)  # in the outbox before the cap
    change = set_cap(database, None, WEEKLY | {"max": 2}, now=NOW + 2 * DAY)
    assert (change.is_changed, change.counted) == (True, 5)
    run_until_done(database, NOW + 2 * DAY)
    times = sent(database)
    assert times["High", NOW + 2 * DAY] == 3
    assert times["Low", NOW + 2 * DAY] == 0
    again = set_cap(database, None, WEEKLY | {"max": 2}, now=NOW + 3 * DAY)
    assert (again.is_changed, again.counted) == (False, 0)


def test_a_cap_holds_at_once_whatever_the_engine_has_read_before(database: Database) -> None:
    ids = people(database, 3)
    entering(database, ids, First=one_mail(), Second=one_mail())
    advance_batch(database, now=NOW, batch_size=100)
    with database.transaction() as connection:
        workspace = the_workspace(connection)
        assert rules_of(connection, [workspace], NOW) == {}  # stays in the cache of this process
        config = WEEKLY | {"max": 1, "channels": ["email", "sms"], "on_cap": "defer"}
        rules_db.store(connection, workspace, kind="cap", name="weekly", config=config, now=NOW)
    run_until_idle(database, NOW)
    run_until_idle(database, NOW + MINUTE)
    assert sum(sent(database).values()) == 3
    assert most_in(database, 7 * DAY) == 1


def test_removing_a_cap_makes_its_messages_due(database: Database) -> None:
    ids = people(database, 3)
    set_cap(database, None, WEEKLY | {"max": 1}, now=NOW)
    entering(database, ids, High=one_mail(1), Low=one_mail())
    run_until_idle(database, NOW)
    run_until_idle(database, NOW + MINUTE)
    removed = remove_cap(database, None, "weekly", now=NOW + 2 * MINUTE)
    assert (removed.is_changed, removed.rechecked) == (True, 3)
    assert rows(database, "SELECT FROM campaign_deliveries WHERE status = 'pending'"
                " AND cap_priority IS NOT NULL") == []  # fmt: skip
    run_until_idle(database, NOW + 2 * MINUTE)
    assert sent(database)["Low", NOW + 2 * MINUTE] == 3
    assert not remove_cap(database, None, "weekly", now=NOW).is_changed
    assert frequency_caps(database, None).caps == []
    actions = rows(database, "SELECT action FROM operator_actions ORDER BY occurred_at")
    assert actions == [("set_cap",), ("remove_cap",)]


def test_a_larger_cap_lets_held_messages_go(database: Database) -> None:
    ids = people(database, 3)
    set_cap(database, None, WEEKLY | {"max": 1}, now=NOW)
    entering(database, ids, High=one_mail(1), Low=one_mail())
    run_until_idle(database, NOW)
    run_until_idle(database, NOW + MINUTE)
    assert set_cap(database, None, WEEKLY, now=NOW + 2 * MINUTE).rechecked == 3
    run_until_idle(database, NOW + 2 * MINUTE)
    assert sent(database)["Low", NOW + 2 * MINUTE] == 3


def test_what_is_counted_goes_with_the_contact_and_when_no_cap_reads_it(
    database: Database,
) -> None:
    ids = people(database, 3)
    set_cap(database, None, WEEKLY, now=NOW)
    entering(database, ids, News=one_mail())
    run_until_idle(database, NOW)
    with database.transaction() as connection:
        connection.execute("DELETE FROM contacts WHERE id = %s", [ids[0]])
    assert {row[0] for row in rows(database, "SELECT contact_id FROM contact_sends")} == set(
        ids[1:]
    )
    assert delete_uncounted_sends(database, NOW + 7 * DAY, 1) == 0
    assert delete_uncounted_sends(database, NOW + 9 * DAY, 1) == 2


def test_a_workspace_without_caps_runs_no_statement_for_them(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a statement of caps was run")

    for name in ("lock_contacts", "messages_of", "reserve", "mark", "count_earlier"):
        monkeypatch.setattr(caps_db, name, refuse)
    ids = people(database, 20)
    entering(database, ids, News=one_mail(), More=one_mail(4))
    run_until_idle(database, NOW)
    run_until_idle(database, NOW, email=Provider())
    assert sum(sent(database).values()) == 40
    assert rows(database, "SELECT FROM campaign_deliveries WHERE cap_priority IS NOT NULL") == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"max": 0}, "max: "),
        ({"max": None}, "max: "),
        ({"name": "Two a week"}, "name: "),
        ({"per": "day"}, "calendar_day, calendar_week, or an object"),
        ({"per": {"value": 0, "unit": "days"}}, "between a second and 366 days"),
        ({"per": {"value": 2, "unit": "years"}}, "per"),
        ({"channels": ["webhook"]}, "channels"),
        ({"channels": []}, "channels"),
        ({"on_cap": "drop"}, "on_cap"),
        ({"until": "ever"}, "unknown key until"),
    ],
)
def test_a_cap_that_means_nothing_is_refused(
    database: Database, change: dict[str, Any], reason: str
) -> None:
    with database.transaction() as connection:
        the_workspace(connection)
    with pytest.raises(NotAllowed, match=reason):
        set_cap(database, None, WEEKLY | change, now=NOW)


def test_a_batch_takes_the_same_number_of_statements_for_any_number_of_contacts(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: list[str] = []

    def counted(module: Any, name: str) -> None:
        original = getattr(module, name)

        def call(*arguments: Any, **named: Any) -> Any:
            run.append(name)
            return original(*arguments, **named)

        monkeypatch.setattr(module, name, call)

    for name in ("lock_contacts", "messages_of", "not_sent", "reserve", "store_priorities"):
        counted(caps_db, name)
    counted(held_db, "queued")
    counted(held_db, "hold")
    ids = people(database, 30)
    set_cap(database, None, WEEKLY | {"max": 1}, now=NOW)
    entering(database, ids, High=one_mail(1))
    run_until_idle(database, NOW)
    assert run == ["lock_contacts", "messages_of", "reserve"]
    run.clear()
    entering(database, ids, Low=one_mail())
    run_until_idle(database, NOW)
    assert run == ["lock_contacts", "messages_of", "not_sent", "queued", "hold"]
