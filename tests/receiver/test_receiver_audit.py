"""What the receiver changes is in the audit trail."""

from __future__ import annotations

from typing import Any

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.templates.signed_tokens import Purpose
from drip_pipeline.settings import Secret
from tests.engine.events.incoming import LATER, mailed, rows
from tests.receiver.running import a_receiver
from tests.receiver.test_links import link
from tests.receiver.test_trigger_endpoint import a_campaign, called


def recorded(database: Database) -> list[tuple[Any, ...]]:
    return rows(
        database,
        "SELECT actor, source, action, object_kind, object_name, reason, details, occurred_at"
        " FROM operator_actions",
    )


def test_a_call_that_enrolls_is_recorded_once(database: Database):
    a_campaign(database)
    with a_receiver(database, trigger_tokens=(Secret("a token"),)) as receiver:
        for _ in range(2):
            called(receiver, {"email": "ann@example.com"}, idempotency_key="k")
        called(receiver, {"email": "ann@example.com"})  # she is in already
    assert recorded(database) == [
        (
            "receiver:trigger", "receiver", "enroll", "campaign", "Welcome", None,
            {"enrolled": 1, "created": 1}, LATER,
        )
    ]  # fmt: skip


def test_an_unsubscription_by_a_link_is_recorded_once(database: Database):
    _, (sent,) = mailed(database)
    with a_receiver(database) as receiver:
        for _ in range(2):
            receiver.post(link(Purpose.UNSUBSCRIBE, sent), b"")
    assert recorded(database) == [
        (
            "receiver:unsubscribe", "receiver", "suppress", "contact", None,
            "unsubscribed by the link in a message", {"channel": "email"}, LATER,
        )
    ]  # fmt: skip
    ((contact,),) = rows(database, "SELECT object_id FROM operator_actions")
    assert [(contact,)] == rows(database, "SELECT id FROM contacts")
