"""Triggers and selections by the properties, the number and the age of events."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.conditions.conditions import Condition
from drip_pipeline.domain.graph.nodes import TriggerConfig
from drip_pipeline.engine.enrollment import audience
from drip_pipeline.engine.enrollment.audience import Matching
from drip_pipeline.engine.enrollment.enroll import enroll
from tests.engine.enrollment.arrivals import entered_by, look, look_until_open, set_up
from tests.engine.events.incoming import ingest, rows
from tests.engine.factories import NOW, a_published_campaign, an_event
from tests.engine.graphs import email, end, graph, trigger

LATER = NOW + timedelta(hours=1)
LARGE = {"type": "field", "field": "amount", "operator": ">", "value": 100}
TWICE = {"operator": ">=", "value": 2}
A_WEEK = {"value": 7, "unit": "days"}
LETTER = graph(trigger("hello"), email("hello", default="end"), end())


def report(number: int | str, person: int = 1, *, days_ago: float = 0, **more: Any) -> Any:
    """Return an event of half an hour after NOW, or of so many days before."""
    occurred_at = NOW + timedelta(minutes=30) - timedelta(days=days_ago)
    line = an_event(
        number,
        "report_created",
        email=f"person{person}@example.com",
        occurred_at=occurred_at.isoformat(),
    )
    return line | {"data": more}


def by_event(**config: Any) -> Any:
    return entered_by(trigger="event", event_type="report_created", **config)


def people_in(database: Database) -> list[str]:
    return [
        address.split("@")[0]
        for (address,) in rows(
            database, "SELECT contact_email FROM campaign_enrollments ORDER BY 1"
        )
    ]


def test_a_trigger_needs_a_number_of_events_that_match(database: Database):
    set_up(database, by_event(where=LARGE, count=TWICE), 4)
    ingest(database, [
        report(1, 1, amount=200), report(2, 1, amount=300),
        report(3, 2, amount=200), report(4, 2, amount=3),
        report(5, 3, amount=200),
        report(6, 4, amount=1), report(7, 4, amount=2),
    ])  # fmt: skip
    assert look(database, LATER)["enrolled"] == 1
    assert people_in(database) == ["person1"]
    # The second event of the third person arrives later, and happened earlier.
    ingest(database, [report(8, 3, days_ago=-0.01, amount="150.5")])
    look(database, LATER)
    assert people_in(database) == ["person1", "person3"]
    # Each person once.
    ingest(database, [report(9, 1, amount=900)])
    assert "enrolled" not in look(database, LATER)


def test_the_events_of_a_trigger_happened_within_a_time(database: Database):
    set_up(database, by_event(count=TWICE, within=A_WEEK, backfill=True), 3)
    ingest(database, [
        report(1, 1, days_ago=6), report(2, 1),
        report(3, 2, days_ago=8), report(4, 2),
        report(5, 3, days_ago=9), report(6, 3, days_ago=8),
    ])  # fmt: skip
    look_until_open(database)
    assert people_in(database) == ["person1"]


def test_backfill_counts_what_happened_before(database: Database):
    campaign, _ = set_up(database, LETTER, 3)
    ingest(database, [report(1, 1, amount=200), report(2, 1, amount=200), report(3, 2, amount=200)])
    with database.transaction() as connection:
        a_published_campaign(
            connection,
            by_event(where=LARGE, count=TWICE, backfill=True),
            workspace_id=campaign.workspace_id,
            name="Reports",
        )
    look_until_open(database)
    assert people_in(database) == ["person1"]


@pytest.mark.parametrize(("machines", "expected"), [(None, ["person2"]), (True, ["person1"])])
def test_events_of_machines_count_only_where_they_are_asked_for(
    database: Database, machines: bool | None, expected: list[str]
):
    set_up(database, by_event(machines=machines, where=LARGE), 2)
    ingest(database, [report(1, 1, machine=True, amount=200)])
    ingest(database, [report(2, 2, amount=200 if machines is None else 1)])
    look(database, LATER)
    assert people_in(database) == expected


def test_own_events_of_another_campaign_enroll(database: Database):
    first, contact_ids = set_up(database, LETTER, 2)
    with database.transaction() as connection:
        a_published_campaign(
            connection, by_event(where=LARGE), workspace_id=first.workspace_id, name="Reports"
        )
    enroll(database, first.campaign_id, audience.Contacts(contact_ids), now=NOW)
    events = [report(1, 1, amount=200), report(2, 2, amount=2)]
    ingest(database, [event | {"campaign": "Welcome"} for event in events])
    assert look(database, LATER)["enrolled"] == 1


SELECTIONS: list[tuple[dict[str, Any], list[int]]] = [
    ({"where": LARGE}, [1, 2]),
    ({"where": LARGE, "count": TWICE}, [1]),
    ({"where": LARGE, "within": A_WEEK}, [1]),
    ({"count": {"operator": "==", "value": 1}}, [3]),
    ({"count": {"operator": "<", "value": 1}}, [4]),
    ({"where": LARGE, "operator": "!="}, [3, 4]),
    ({"where": LARGE, "machines": True}, [1, 2, 3]),
    ({"where": {**LARGE, "field": "customer.total"}}, [2]),
    ({"where": {"type": "composite", "logic": "OR", "sub_conditions": [
        {**LARGE, "operator": "<"}, {"type": "field", "field": "plan", "operator": "==",
        "value": "pro"}]}}, [2, 3]),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "selected"), SELECTIONS)
@pytest.mark.parametrize("kind", ["enroll", "schedule"])
def test_contacts_are_selected_by_their_events(
    database: Database, monkeypatch: pytest.MonkeyPatch, keys: Any, selected: Any, kind: str
):
    monkeypatch.setattr(audience, "MATCHED_CONTACTS", 3)
    condition = {"type": "event", "event_type": "report_created", **keys}
    flow = LETTER
    if kind == "schedule":
        flow = entered_by(trigger="schedule", cron="0 9 * * *", where=condition, backfill=True)
    campaign, _ = set_up(database, flow, 4)
    ingest(database, [
        report(1, 1, amount=200), report(2, 1, amount=300, days_ago=3),
        report(3, 2, amount=200, days_ago=20, plan="pro"),
        report(4, 2, customer={"total": 500}, days_ago=20),
        report(5, 3, amount=2), report(6, 3, amount=900, machine=True),
    ])  # fmt: skip
    if kind == "schedule":
        look(database, LATER)
    else:
        chosen = Matching(Condition.model_validate(condition))
        enroll(database, campaign.campaign_id, chosen, now=LATER)
    assert people_in(database) == [f"person{number}" for number in selected]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"where": {"type": "tag", "value": "vip"}}, "compares properties of the event"),
        ({"url": "https://example.com"}, "url belongs to email_clicked"),
        ({"count": {"operator": ">=", "value": -1}}, "greater than or equal to 0"),
        ({"of": "run"}, "Extra inputs"),
        ({"match": {"order_id": "entry.order_id"}}, "Extra inputs"),
    ],
)
def test_a_trigger_has_only_keys_with_a_meaning(config: Any, message: str):
    fields = {"trigger": "event", "event_type": "report_created", **config}
    with pytest.raises(ValidationError, match=message):
        TriggerConfig.model_validate(fields)


def test_keys_of_events_belong_to_event_triggers_and_are_stored_only_if_they_are_set():
    with pytest.raises(ValidationError, match="`count` does not belong to a tag trigger"):
        TriggerConfig.model_validate({"trigger": "tag", "tag": "vip", "count": TWICE})
    plain = TriggerConfig.model_validate({"trigger": "event", "event_type": "report_created"})
    assert not {"count", "within", "url", "machines"} & plain.model_dump().keys()
    narrowed = TriggerConfig.model_validate(
        {"trigger": "event", "event_type": "report_created", "count": TWICE, "within": A_WEEK}
    )
    assert TriggerConfig.model_validate(narrowed.model_dump(mode="json")) == narrowed
