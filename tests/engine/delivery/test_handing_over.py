"""A run that ends between the lease of its message and the handing over stops the message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from drip_pipeline.db.connection import Connection
from drip_pipeline.domain.graph.nodes import EmailConfig
from drip_pipeline.engine.delivery.delivery_batch import DeliveryBatch
from drip_pipeline.engine.execution.advance import advance_batch
from tests.channels.email.smtp_servers import Script
from tests.engine.delivery.sending import Sender
from tests.engine.events.incoming import ingest
from tests.engine.factories import NOW, an_event
from tests.engine.graphs import email, end, goal, graph, node, trigger, wait_hours

Start = Callable[..., Sender]
StartSmtp = Callable[..., Script]
GRAPH = replace(
    graph(
        trigger("mail"),
        node("mail", "email", EmailConfig(subject="Buy", body="now"), default="pause"),
        wait_hours("pause", 24, default="second"),
        email("second", default="end"),
        end(),
        goal=goal("purchase", 48),
    ),
    exits_at_goal=True,
)
PURCHASE = an_event(1, "purchase", email="Welcome2@example.com")
LEAVES = an_event(1, "email_unsubscribed", email="Welcome2@example.com")


def arriving_after_the_lease(
    monkeypatch: pytest.MonkeyPatch, sender: Sender, event: dict[str, Any]
) -> None:
    """Let an event be committed when the batch is leased and rendered, and before it is marked."""
    mark_sending = DeliveryBatch.mark_sending

    def mark(batch: DeliveryBatch, connection: Connection, *args: Any, **how: Any) -> Any:
        ingest(sender.database, [event], now=NOW)
        return mark_sending(batch, connection, *args, **how)

    monkeypatch.setattr(DeliveryBatch, "mark_sending", mark)


@pytest.mark.parametrize(
    ("event", "reason", "ended"),
    [(PURCHASE, "goal", "exited/goal"), (LEAVES, "unsubscribed", "exited/unsubscribed")],
    ids=["goal", "unsubscribed"],
)
def test_a_run_that_ends_after_the_lease_gets_no_message(
    smtp: StartSmtp,
    sending: Start,
    monkeypatch: pytest.MonkeyPatch,
    event: dict[str, Any],
    reason: str,
    ended: str,
):
    script = smtp()
    sender = sending(smtp=script)
    sender.enroll(GRAPH, 3)
    arriving_after_the_lease(monkeypatch, sender, event)
    report = sender.run()
    assert report.delivered["email"].sent == 2
    assert report.delivered["email"].skipped == {reason: 1}
    recipients = sorted(envelope.rcpt_tos[0] for envelope in script.received)
    assert recipients == ["Welcome1@example.com", "Welcome3@example.com"]
    assert sender.states() == {"waiting": 2, ended: 1}
    assert sender.rows(
        "SELECT status, error_code, attempts, count(*) FROM campaign_deliveries GROUP BY 1, 2, 3"
        " ORDER BY 1"
    ) == [("sent", None, 1, 2), ("skipped", reason, 0, 1)]
    assert sender.events()[f"message_skipped/{reason}"] == 1
    assert sender.events()[f"enrollment_exited/{reason}"] == 1


def test_a_batch_whose_runs_all_ended_is_not_handed_over(
    smtp: StartSmtp, sending: Start, monkeypatch: pytest.MonkeyPatch
):
    script = smtp()
    sender = sending(smtp=script)
    sender.enroll(GRAPH, 1)
    arriving_after_the_lease(
        monkeypatch, sender, an_event(1, "purchase", email="Welcome1@example.com")
    )
    assert sender.run().delivered["email"].skipped == {"goal": 1}
    assert script.connections == 0
    logged = sender.value(
        "SELECT sizes ->> 'skipped_goal' FROM campaign_batches WHERE sizes ? 'skipped_goal'"
    )
    assert logged == "1"


def test_a_goal_after_the_handing_over_ends_the_run_once(smtp: StartSmtp, sending: Start):
    purchase = an_event(1, "purchase", email="Welcome1@example.com")

    def buy(_script: Script, _connection: Any, _envelope: Any) -> str:
        assert ingest(sender.database, [purchase], now=NOW).ended == 1
        return "250 2.0.0 Ok: queued as 4XyZabc123"

    script = smtp(on_data=buy)
    sender = sending(smtp=script)
    sender.enroll(GRAPH, 1)
    assert sender.run().delivered["email"].sent == 1
    assert len(script.received) == 1
    assert sender.states() == {"exited/goal": 1}
    assert sender.events()["goal_reached"] == 1
    assert sender.deliveries() == {"sent": 1}


def test_a_message_of_a_run_that_ended_for_another_reason_names_it(smtp: StartSmtp, sending: Start):
    script = smtp()
    sender = sending(smtp=script)
    sender.enroll(GRAPH, 1)
    advance_batch(sender.database, now=NOW, batch_size=10)
    sender.rows(
        "WITH ended AS (UPDATE campaign_workflow_states SET workflow_status = 'exited',"
        " exit_reason = 'campaign_archived', completed_at = %s, pending_delivery_id = NULL"
        " RETURNING id) UPDATE campaign_enrollments e SET status = 'completed' FROM ended x"
        " WHERE e.id = x.id RETURNING e.id",
        NOW,
    )
    assert sender.run().delivered["email"].skipped == {"campaign_archived": 1}
