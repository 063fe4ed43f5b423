"""Operators settle messages of unknown outcome."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from drip_pipeline.domain.graph.nodes import EmailConfig
from drip_pipeline.engine.delivery.list_deliveries import list_deliveries
from drip_pipeline.engine.delivery.resolve_unknown import resolve_unknown
from drip_pipeline.errors import CampaignNotFound, NotAllowed
from tests.channels.email.smtp_servers import Script, store_and_hang_up
from tests.engine.delivery.sending import Sender, one_step
from tests.engine.factories import NOW

Start = Callable[..., Sender]
MAIL = one_step(EmailConfig(subject="Hello", body="Dear {{ name }}"), node_type="email")


@pytest.fixture
def unknown_outcomes(smtp: Callable[..., Script], sending: Start) -> tuple[Sender, Script]:
    """Two campaigns with two emails each, all of unknown outcome and held."""
    script = smtp(on_data=store_and_hang_up)
    sender = sending(smtp=script)
    sender.channel("email", {"on_unknown": "hold"})
    for name in ("One", "Two"):
        sender.enroll(MAIL, 2, name=name)
    sender.run()
    assert sender.deliveries() == {"unknown": 4}
    script.on_data = "250 OK"
    return sender, script


def test_sent_continues_the_states(unknown_outcomes: tuple[Sender, Script]):
    sender, script = unknown_outcomes
    report = resolve_unknown(sender.database, "sent", now=NOW, campaign="One")
    assert report.deliveries == 2
    assert sender.deliveries() == {"unknown": 2, "sent": 2}
    assert sender.states() == {"completed": 2, "waiting": 2}
    assert sender.data("email_sent") == [{"settled_by": "operator"}] * 2
    sender.run(NOW + timedelta(hours=1))
    assert len(script.received) == 4


def test_not_sent_sends_it_under_the_same_id(unknown_outcomes: tuple[Sender, Script]):
    sender, script = unknown_outcomes
    assert resolve_unknown(sender.database, "not-sent", now=NOW, channel="email").deliveries == 4
    assert sender.events() == {"retry_scheduled/not_sent": 4}
    sender.run(NOW + timedelta(minutes=1))
    assert sender.states() == {"completed": 4}
    ids = [envelope.mail_from for envelope in script.received]
    assert len(ids) == 8
    assert len(set(ids)) == 4


def test_skip_continues_the_states_without_the_message(unknown_outcomes: tuple[Sender, Script]):
    sender, script = unknown_outcomes
    (one,) = list_deliveries(sender.database, status="unknown", campaign="Two", limit=1)
    resolve_unknown(sender.database, "skip", now=NOW, ids=[one.id])
    assert sender.states() == {"completed": 1, "waiting": 3}
    assert sender.events()["message_skipped/not_sent"] == 1
    assert len(script.received) == 4


def test_resolving_twice_changes_nothing(unknown_outcomes: tuple[Sender, Script]):
    sender, _ = unknown_outcomes
    resolve_unknown(sender.database, "sent", now=NOW, channel="email")
    again = resolve_unknown(sender.database, "not-sent", now=NOW, channel="email")
    assert (again.deliveries, again.posts) == (0, 0)
    assert sender.states() == {"completed": 4}


def test_a_selection_is_required(unknown_outcomes: tuple[Sender, Script]):
    sender, _ = unknown_outcomes
    with pytest.raises(NotAllowed):
        resolve_unknown(sender.database, "sent", now=NOW)
    with pytest.raises(CampaignNotFound):
        resolve_unknown(sender.database, "sent", now=NOW, campaign="Three")
    assert resolve_unknown(sender.database, "sent", now=NOW, channel="sms").deliveries == 0
    assert sender.deliveries() == {"unknown": 4}


def test_the_list_has_reasons_and_no_addresses(unknown_outcomes: tuple[Sender, Script]):
    sender, _ = unknown_outcomes
    rows = list_deliveries(sender.database, status="unknown")
    assert len(rows) == 4
    assert {row.error_code for row in rows} == {"disconnected"}
    assert "@" not in str(rows)
