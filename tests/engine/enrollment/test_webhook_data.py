"""The body of a trigger webhook gives the entry data of the runs, and their keys."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.nodes import EmailConfig, TriggerConfig
from drip_pipeline.engine.enrollment.webhook_trigger import enroll_by_webhook
from tests.engine.enrollment.arrivals import set_up
from tests.engine.events.incoming import rows
from tests.engine.factories import NOW, run_until_idle
from tests.engine.graphs import end, graph, node


def flow(re_entry: Any) -> Any:
    """Return a campaign with a webhook trigger whose mail names the order."""
    config = TriggerConfig(trigger="webhook", re_entry=re_entry)
    mail = EmailConfig(subject="{{ entry.order_id }} {{ entry.plan }}", body="x")
    return graph(
        node("start", "trigger", config, default="m"),
        node("m", "email", mail, default="end"),
        end(),
    )


def called(database: Database, body: Any) -> Any:
    """Call the webhook, run, and return the result and the subjects that were sent."""
    result = enroll_by_webhook(database, "Welcome", json.dumps(body).encode(), now=NOW)
    run_until_idle(database)
    sent = rows(database, "SELECT subject FROM recorded_messages ORDER BY recipient, subject")
    return result, [subject.strip() for (subject,) in sent]


@pytest.mark.parametrize(
    ("body", "subjects"),
    [
        ({"email": "a@example.com", "data": {"order_id": 7}}, ["7"]),
        ({"email": "a@example.com", "fields": {"order_id": 7, "plan": "pro"}}, ["7 pro"]),
        ({"email": "a@example.com", "fields": {"plan": "x"}, "data": {"order_id": 7}}, ["7"]),
        (
            {
                "data": {"plan": "basic"},
                "people": [
                    {"email": "a@example.com", "data": {"order_id": 7}},
                    {"email": "b@example.com", "data": {"order_id": 8, "plan": "pro"}},
                ],
            },
            ["7 basic", "8 pro"],
        ),
    ],
)
def test_the_payload_is_the_entry_data(database: Database, body: Any, subjects: list[str]) -> None:
    set_up(database, flow("once"), 0)
    assert called(database, body)[1] == subjects


def test_two_orders_of_one_person_are_two_runs_and_a_call_without_order_is_refused(
    database: Database,
) -> None:
    set_up(database, flow({"per_key": "order_id"}), 0)
    for order in ("A", "B", "A"):
        result, subjects = called(database, {"email": "a@example.com", "data": {"order_id": order}})
    assert (result.enrolled, result.already_in, subjects) == (0, 1, ["A", "B"])
    result, subjects = called(database, {"email": "a@example.com", "data": {"order": "C"}})
    assert (result.enrolled, result.refused, subjects) == (0, {"no_entry_key": 1}, ["A", "B"])
    body = {"email": "a@example.com", "data": {"order": "C"}, "entry_key": "C"}
    assert called(database, body)[0].enrolled == 1


def test_data_that_a_run_cannot_have_is_refused_for_its_contact_only(database: Database) -> None:
    set_up(database, flow("once"), 0)
    bad: list[Any] = [7, {"x": "y" * 40_000}, {"x": "\0"}, {"x": [[[[[[[[[1]]]]]]]]]}]
    people = [{"email": f"p{n}@example.com", "data": data} for n, data in enumerate(bad)]
    people.append({"email": "good@example.com", "data": {"order_id": 1}})
    result, subjects = called(database, {"people": people})
    assert (result.enrolled, subjects) == (1, ["1"])
    assert [rejected["place"] for rejected in result.not_read] == [0, 1, 2, 3]
    assert "not a JSON object" in result.not_read[0]["reason"]
