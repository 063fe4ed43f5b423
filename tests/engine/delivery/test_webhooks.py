"""Webhook steps from the outbox to a receiver and back, failure by failure."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from standardwebhooks.webhooks import Webhook

from drip_pipeline.domain.graph.nodes import WebhookAction
from drip_pipeline.engine.delivery.delivery_batch import LEASE_SECONDS
from drip_pipeline.engine.transports.accounts import reset_transport
from drip_pipeline.settings import Secret
from tests.engine.delivery.sending import Sender, one_step
from tests.engine.factories import NOW
from tests.engine.graphs import email, end, graph, trigger
from tests.http_servers import DROP, HANG, HttpScript, HttpServers, Reply, Request, in_turn

Start = Callable[..., Sender]
SECRET = "whsec_" + base64.b64encode(b"sixteen bytes or more").decode()
LATER = timedelta(minutes=10)


def call(url: str, **fields: Any) -> WebhookAction:
    payload = {
        "contact_email": "{{ email }}",
        "company": "{{ company }}",
        "campaign_id": "{{ campaign_id }}",
        "nested": [{"name": "{{ first_name }}", "n": 1, "yes": True, "none": None}],
    }
    return WebhookAction(**({"url": f"{url}/leads", "payload": payload} | fields))


def test_payload_strings_are_rendered_and_the_structure_cannot_change(
    http: HttpServers, sending: Start
):
    script = http.start(Reply(201, "thanks"))
    sender = sending(allow=[script.host])
    hostile = 'Acme", "admin": true, "x": "\n{{ email }}'
    config = call(script.url, headers={"X-Person": "{{ first_name }}"})
    campaign, _ = sender.enroll(one_step(config), 1, company=hostile, name="Welcome")
    sender.run()
    (request,) = script.requests
    assert request.json == {
        "contact_email": "Welcome1@example.com",
        "company": hostile,
        "campaign_id": str(campaign.campaign_id),
        "nested": [{"name": "Person", "n": 1, "yes": True, "none": None}],
    }
    assert request.headers["x-person"] == "Person"
    assert sender.states() == {"completed": 1}
    assert sender.events() == {
        "webhook_triggered": 1,
        "webhook_succeeded": 1,
        "enrollment_completed": 1,
    }
    assert sender.data("webhook_succeeded") == [{"status": 201, "response": "thanks"}]


def test_a_leaf_that_is_one_output_keeps_the_type_of_its_value(http: HttpServers, sending: Start):
    script = http.start()
    sender = sending(allow=[script.host])
    payload = {
        "score": "{{ lead_score }}",
        "tags": "{{ tags }}",
        "first": "{{ tags | first }}",
        "seats": "{{ seats }}",
        "double": "{{ seats | times: 2 }}",
        "is_vip": "{{ vip }}",
        "address": ["{{ address }}", "{{ address.city }}"],
        "nothing": "{{ none }}",
        "text": "{{ seats }} seats, {{ address | json }}",
        "quoted": "{{ nick | json }}",
        "at": "{{ now }}",
        "constant": 7,
    }
    custom = {
        "seats": 3,
        "vip": False,
        "address": {"city": "Köln", "zip": "01"},
        "nick": 'a "b"',
    }
    sender.enroll(
        one_step(call(script.url, payload=payload, headers={"X-Seats": "{{ seats }}"})),
        1,
        ai_score=42,
        tags=["a", "b"],
        custom_fields=Jsonb(custom),
    )
    sender.run()
    (request,) = script.requests
    sent = request.json
    assert datetime.fromisoformat(sent.pop("at")) >= NOW
    assert sent == {
        "score": 42,
        "tags": ["a", "b"],
        "first": "a",
        "seats": 3,
        "double": 6,
        "is_vip": False,
        "address": [{"city": "Köln", "zip": "01"}, "Köln"],
        "nothing": None,
        "text": '3 seats, {"zip": "01", "city": "Köln"}',
        "quoted": '"a \\"b\\""',
        "constant": 7,
    }
    assert request.headers["x-seats"] == "3"


def test_calls_are_signed_and_keep_their_id_over_retries(http: HttpServers, sending: Start):
    from datetime import UTC

    now = datetime.now(UTC)
    verified: list[str] = []

    def answer(request: Request) -> Reply:
        Webhook(SECRET).verify(request.body, request.headers)
        verified.append(request.headers["webhook-id"])
        return Reply(500 if len(verified) == 1 else 200)

    script = http.start(answer)
    sender = sending(allow=[script.host], webhook_secret=Secret(SECRET))
    sender.enroll(one_step(call(script.url)), 1)
    sender.run(now)
    # The receiver's library wants calls of the last five minutes; a retry comes after one or two.
    sender.run(now + timedelta(minutes=2))
    delivery_id = str(sender.value("SELECT id FROM campaign_deliveries"))
    assert verified == [delivery_id, delivery_id]
    assert sender.events()["webhook_triggered"] == 2
    assert [data["attempt"] for data in sender.data("webhook_triggered")] == [1, 2]


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(500, "oops"), "http_500"),
        (HANG, "timeout"),
        (DROP, "disconnected"),
        (Reply(502), "http_502"),
    ],
)
def test_repeatable_failures_are_retried(
    http: HttpServers, sending: Start, reply: Reply, code: str
):
    script = http.start(in_turn(reply, Reply(200)))
    sender = sending(allow=[script.host])
    sender.channel("webhook", {"timeout_seconds": 0.5})
    sender.enroll(one_step(call(script.url)), 1)
    assert sender.run().delivered["webhook"].retried == 1
    assert sender.deliveries() == {"pending": 1}
    assert sender.events() == {"webhook_triggered": 1, f"retry_scheduled/{code}": 1}
    if reply.status == 500:
        assert sender.data("retry_scheduled")[0]["response"] == "oops"
    sender.run(NOW + LATER)
    assert sender.states() == {"completed": 1}
    assert len({request.headers["webhook-id"] for request in script.requests}) == 1


def test_retry_after_is_respected(http: HttpServers, sending: Start):
    script = http.start(in_turn(Reply(429, headers={"Retry-After": "900"}), Reply(200)))
    sender = sending(allow=[script.host])
    sender.enroll(one_step(call(script.url)), 1)
    assert sender.run().delivered["webhook"].retried == 1
    due_at = sender.value("SELECT due_at FROM campaign_deliveries")
    assert due_at >= NOW + timedelta(seconds=900)
    assert sender.run(NOW + timedelta(seconds=890)).delivered == {}
    sender.run(NOW + timedelta(seconds=1_000))
    assert sender.states() == {"completed": 1}


def test_a_refused_call_fails_with_the_response_in_the_event(http: HttpServers, sending: Start):
    script = http.start(Reply(422, "no such list"))
    sender = sending(allow=[script.host])
    sender.enroll(one_step(call(script.url)), 1)
    sender.run()
    assert sender.states() == {"failed": 1}
    (data,) = sender.data("webhook_failed")
    assert (data["status"], data["response"], data["reason"]) == (422, "no such list", "http_422")
    assert data["error"] == "the endpoint answered with status 422"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(302, headers={"Location": "https://example.com/"}), "redirected"),
        (Reply(404), "http_404"),
        (Reply(422), "http_422"),
    ],
)
@pytest.mark.parametrize(
    ("policy", "states"),
    [
        ({}, "failed"),
        ({"on_rejected": "fail"}, "failed"),
        ({"on_rejected": "continue"}, "completed"),
    ],
)
def test_the_channel_names_what_a_refused_call_means_for_the_enrollment(
    http: HttpServers, sending: Start, reply: Reply, code: str, policy: dict[str, str], states: str
):
    script = http.start(reply)
    sender = sending(allow=[script.host])
    sender.channel("webhook", policy)
    sender.enroll(one_step(call(script.url)), 2)
    sender.run()
    assert sender.states() == {states: 2}
    assert sender.deliveries() == {"failed": 2}
    assert sender.events()[f"webhook_failed/{code}"] == 2
    assert len(script.requests) == 2


def test_a_forbidden_address_fails_under_every_policy(sending: Start):
    sender = sending()
    sender.channel("webhook", {"on_rejected": "continue"})
    sender.enroll(one_step(WebhookAction(url="http://127.0.0.1:22/")), 1)
    sender.run()
    assert sender.states() == {"failed": 1}


def test_a_gone_endpoint_is_called_once_and_states_continue(http: HttpServers, sending: Start):
    script = http.start(Reply(410))
    sender = sending(allow=[script.host])
    sender.enroll(one_step(call(script.url)), 3, name="First")
    sender.run()
    called = len(script.requests)
    sender.enroll(one_step(call(script.url)), 120, name="Second")
    report = sender.run()
    assert len(script.requests) == called <= 3
    assert report.delivered["webhook"].skipped == {"endpoint_gone": 120}
    assert sender.states() == {"completed": 123}
    assert sender.events()["message_skipped/endpoint_gone"] >= 120
    (transport,) = sender.rows(
        "SELECT transport, last_error FROM channel_flow WHERE disabled_at < 'now'"
    )
    assert transport[0].startswith("webhook/127.0.0.1/")
    assert "gone" in transport[1]
    # An operator brings it back.
    script.answer = lambda _: Reply(200)
    reset_transport(sender.database, transport[0], now=NOW)
    sender.enroll(one_step(call(script.url)), 2, name="Third")
    assert sender.run().delivered["webhook"].sent == 2


def test_a_failing_endpoint_does_not_stop_other_endpoints_and_channels(
    http: HttpServers, sending: Start, smtp: Callable[..., Any]
):
    bad, good, mail = http.start(Reply(500, "down")), http.start(), smtp()
    sender = sending(allow=[bad.host, good.host], smtp=mail)
    sender.enroll(one_step(call(bad.url)), 60, name="Bad")
    sender.enroll(one_step(call(good.url)), 60, name="Good")
    sender.enroll(graph(trigger("mail"), email("mail", default="end"), end()), 60, name="Mail")
    report = sender.run()
    assert report.delivered["webhook"].sent == 60
    assert report.delivered["email"].sent == 60
    (words,) = report.delivered["webhook"].faults.values()
    assert words == "the endpoint answered with status 500"
    # The breaker spares those who were not tried.
    assert len(bad.requests) <= 60
    states = sender.rows(
        "SELECT c.name, s.workflow_status, count(*) FROM campaign_workflow_states s "
        "JOIN drip_campaigns c ON c.id = s.campaign_id GROUP BY 1, 2 ORDER BY 1, 2"
    )
    assert ("Good", "completed", 60) in states
    assert ("Mail", "completed", 60) in states
    # Re-execution sends only what was not sent.
    bad.answer = lambda _: Reply(200)
    good_before = len(good.requests)
    for minutes in (5, 15, 60):
        sender.run(NOW + timedelta(minutes=minutes))
    assert sender.states() == {"completed": 180}
    assert len(good.requests) == good_before
    assert len(mail.received) == 60


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest", "http://127.0.0.1:22/", "http://[::1]/"]
)
def test_an_internal_address_is_refused_and_the_step_fails_with_the_reason(
    sending: Start, url: str
):
    sender = sending()
    sender.enroll(one_step(WebhookAction(url=url)), 1)
    sender.run()
    assert sender.states() == {"failed": 1}
    assert sender.events()["webhook_failed/address_forbidden"] == 1


def test_a_call_of_a_killed_process_is_repeated_under_the_same_id(
    http: HttpServers, sending: Start
):
    from drip_pipeline.engine.execution.advance import advance_batch

    script = http.start()
    sender = sending(allow=[script.host])
    sender.enroll(one_step(call(script.url)), 1, name="First")
    sender.run()
    sender.enroll(one_step(call(script.url)), 1, name="Second")
    advance_batch(sender.database, now=NOW, batch_size=10)
    with sender.database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_deliveries SET status = 'sending', due_at = NULL, lease_token = id, "
            "transport = (SELECT transport FROM channel_flow WHERE transport LIKE 'webhook/%%'), "
            "leased_until = %s, attempts = 1 WHERE status = 'pending'",
            [NOW + timedelta(seconds=LEASE_SECONDS)],
        )
    report = sender.run(NOW + timedelta(seconds=LEASE_SECONDS + 1))
    assert (report.recovered.retried, report.recovered.unknown) == (1, 0)
    assert sender.states() == {"completed": 2}
    assert len(script.requests) == 2


def answering(script: HttpScript) -> list[str]:
    return [request.headers["webhook-id"] for request in script.requests]


def test_no_endpoint_is_called_twice_with_many_workers(http: HttpServers, sending: Start):
    script = http.start()
    sender = sending(allow=[script.host])
    sender.enroll(one_step(call(script.url)), 400)
    sender.run()
    assert len(answering(script)) == len(set(answering(script))) == 400


@pytest.mark.parametrize(("status", "expected"), [(200, "completed"), (400, "failed")])
def test_an_answer_that_cannot_be_stored_is_stored_without_what_cannot(
    http: HttpServers, sending: Start, status: int, expected: str
):
    script = http.start(Reply(status, "a\x00b"))
    sender = sending(allow=[script.host])
    sender.enroll(one_step(call(script.url)), 3, name="Welcome")
    sender.run()
    assert len(script.requests) == 3
    assert sender.states() == {expected: 3}
