"""What is followed as campaigns are published, and waits that restart in a new version."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.explanations.show_person import show_person
from drip_pipeline.engine.publishing.migrate_states import migrate_states
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.settings import Settings
from tests.engine.events.incoming import rows, value
from tests.engine.execution.following import (
    AT,
    CHANGE,
    HOUR,
    PORTS,
    PRO,
    TRIAL,
    inside,
    queued,
    set_field,
    states,
    trial,
    until_date,
)
from tests.engine.factories import (
    Published,
    a_published_campaign,
    contacts,
    enrolled,
    run_until_idle,
    the_workspace,
)


def listened(database: Database) -> list[str]:
    return [
        row[0]
        for row in rows(database, "SELECT DISTINCT name FROM campaign_wait_listeners ORDER BY 1")
    ]


def test_without_such_a_wait_nothing_is_noted(database: Database) -> None:
    with database.transaction() as connection:
        ids = contacts(connection, the_workspace(connection), 3)
        connection.execute("UPDATE contacts SET custom_fields = %s", [Jsonb(trial("2026-02-10"))])
        setting = connection.execute("SELECT current_setting('drip.follows_contacts')").fetchone()
        assert setting == ("none",)
        campaign = a_published_campaign(connection, until_date(), now=AT)
        enrolled(connection, campaign, ids, at=AT)
    run_until_idle(database, AT)
    with database.transaction() as connection:
        connection.execute("UPDATE drip_campaigns SET status = 'archived'")
        connection.execute(CHANGE)
    assert queued(database) == 0
    assert listened(database) == []


def a_file(wait: dict[str, Any]) -> dict[str, Any]:
    nodes = [("t", "trigger"), ("w", "wait"), *((name, "exit") for name in PORTS.values())]
    ports = PORTS if wait["type"] == "until_date" else {"met": "on", "timeout": "missing"}
    if wait["type"] == "duration":
        ports = {"default": "on"}
    used = {"t", "w", *ports.values()}
    return {
        "name": "Trial",
        "campaign_type": "branching",
        "canvas_data": {
            "nodes": [{"id": name, "type": kind} for name, kind in nodes if name in used],
            "edges": [
                {"id": "first", "source": "t", "target": "w"},
                *(
                    {"id": port, "source": "w", "target": target, "sourceHandle": port}
                    for port, target in ports.items()
                ),
            ],
        },
        "steps": [{"node_id": "w", "node_type": "wait", "step_name": "W", "wait_config": wait}],
    }


OPTIONS = PublishOptions(now=AT, settings=Settings())
NINE_DAYS = {"type": "duration", "value": 9, "unit": "days"}


def published_with(
    database: Database, wait: dict[str, Any], fields: list[dict[str, Any]]
) -> list[UUID]:
    """Contacts in a published campaign that begins with this wait."""
    with database.transaction() as connection:
        workspace = the_workspace(connection)
        ids = contacts(connection, workspace, len(fields))
        connection.cursor().executemany(
            "UPDATE contacts SET custom_fields = %s WHERE id = %s",
            [(Jsonb(values), id_) for values, id_ in zip(fields, ids, strict=True)],
        )
    report = publish(database, a_file(wait), OPTIONS)
    with database.transaction() as connection:
        campaign = Published(report.campaign_id, workspace, "Trial", 1, None)  # type: ignore[arg-type]
        enrolled(connection, campaign, ids, at=AT)
    run_until_idle(database, AT)
    return ids


def test_a_field_is_followed_while_contacts_are_inside_the_version_that_reads_it(
    database: Database,
) -> None:
    (id_,) = published_with(database, TRIAL, [trial("2026-02-10")])
    publish(database, a_file(NINE_DAYS), OPTIONS)  # the contact stays in its version
    assert listened(database) == ["timezone", "trial_ends_at"]
    set_field(database, id_, trial_ends_at="2026-02-20")
    run_until_idle(database, AT)
    assert states(database) == [("w", "02-20 09:00")]
    run_until_idle(database, datetime(2026, 2, 20, 9, tzinfo=UTC))
    publish(database, a_file({**NINE_DAYS, "value": 8}), OPTIONS)
    assert listened(database) == []


@pytest.mark.parametrize("is_dry_run", [True, False])
@pytest.mark.parametrize(
    ("before", "after", "expected", "ended"),
    [
        (NINE_DAYS, TRIAL, [("w", "02-10 09:00"), ("past", None), ("missing", None)], 2),
        (TRIAL, {**TRIAL, "offset": {"value": -1, "unit": "months"}},
         [("past", None), ("past", None), ("missing", None)], 1),
        (TRIAL, {**TRIAL, "time": "10:00"},
         [("w", "02-10 10:00"), ("past", None), ("missing", None)], 0),
        (NINE_DAYS, {"type": "until_condition", "condition": PRO,
                     "max_wait": {"value": 3, "unit": "days"}},
         [("w", "02-03 20:00"), ("on", None), ("w", "02-03 20:00")], 0),
        (TRIAL, NINE_DAYS, [("w", "02-09 20:00"), ("past", None), ("missing", None)], 0),
    ],
)  # fmt: skip
def test_waits_restart_in_a_new_version(
    database: Database, before: Any, after: Any, expected: Any, ended: int, is_dry_run: bool
) -> None:
    fields = [trial("2026-02-10"), trial("2026-01-05", plan="pro"), {}]
    published_with(database, before, fields)
    unmoved = states(database)
    publish(database, a_file(after), OPTIONS)
    later = AT + HOUR
    report = migrate_states(database, "Trial", now=later, dry_run=is_dry_run).in_flight
    assert sum(group.ended_by_time for group in report.groups) == ended
    run_until_idle(database, AT if is_dry_run else later)
    assert states(database) == (unmoved if is_dry_run else expected)
    assert queued(database) == 0


def test_a_value_that_cannot_be_read_is_reported_and_delays_no_other(database: Database) -> None:
    _, ids = inside(database, until_date(field="last_interaction"), [{}] * 2)
    assert [place for place, _ in states(database)] == ["missing", "missing"]
    with database.transaction() as connection:
        connection.execute("UPDATE contacts SET last_interaction = '2026-02-10'")
        connection.execute("DELETE FROM campaign_enrollments")
        campaign = a_published_campaign(
            connection, until_date(field="last_interaction"), name="Again", now=AT
        )
        enrolled(connection, campaign, ids, at=AT)
    run_until_idle(database, AT)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE contacts SET last_interaction = 'infinity' WHERE id = %s", ids[:1]
        )
        connection.execute(
            "UPDATE contacts SET last_interaction = '2026-02-20' WHERE id = %s", ids[1:]
        )
    run_until_idle(database, AT)
    assert states(database) == [("w", "02-10 09:00"), ("w", "02-20 09:00")]
    assert value(database, "SELECT count(*) FROM campaign_data_faults") == 1


@pytest.mark.parametrize(
    ("values", "warns"),
    [([7, True], True), (["soon"], True), (["soon", "2026-02-10"], False), ([None], False)],
)
def test_publishing_warns_of_a_field_in_which_nobody_has_a_date(
    database: Database, values: list[Any], warns: bool
) -> None:
    with database.transaction() as connection:
        ids = contacts(connection, the_workspace(connection), len(values))
        connection.cursor().executemany(
            "UPDATE contacts SET custom_fields = %s WHERE id = %s",
            [(Jsonb({"trial_ends_at": each}), id_) for each, id_ in zip(values, ids, strict=True)],
        )
    for field in ("trial_ends_at", "custom_fields.trial_ends_at"):
        report = publish(database, a_file({**TRIAL, "field": field}), OPTIONS)
        codes = [each.code for each in report.warnings]
        assert ("wait_field_without_dates" in codes) is warns


def test_the_explanation_of_a_contact_says_what_it_waits_for(database: Database) -> None:
    _, ids = inside(database, until_date(offset={"value": -3}), [trial("2026-02-10"), {}])
    set_field(database, ids[0], trial_ends_at="2026-02-20")
    run_until_idle(database, AT)
    explained = [show_person(database, str(id_), now=AT) for id_ in ids]
    assert explained[0].sentence == (
        "Waits in 'Welcome' at 'w' until 3 days before trial_ends_at at 09:00, which is Tue 17 Feb"
        " 09:00 (UTC), then the run ends."
    )
    texts = [entry.text for each in explained for entry in each.runs[0].path]
    assert any(text.startswith("the contact changed, and the wait ends on") for text in texts)
    assert "the contact had no date" in texts
