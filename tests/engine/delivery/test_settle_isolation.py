"""A refusal of the outcome of one message, by a trigger of an application, concerns it alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from drip_pipeline.db.operations import data_faults
from drip_pipeline.domain.graph.nodes import EmailConfig
from drip_pipeline.engine.delivery.list_deliveries import list_deliveries
from drip_pipeline.engine.delivery.recover import recover
from drip_pipeline.engine.delivery.resolve_unknown import resolve_unknown
from tests.channels.email.smtp_servers import Script, store_and_hang_up
from tests.engine.delivery.sending import Sender, one_step
from tests.engine.factories import NOW

Start = Callable[..., Sender]
MAIL = one_step(EmailConfig(subject="Hello", body="Dear {{ name }}"), node_type="email")

REFUSES_ONE = """
    CREATE FUNCTION refuse_one() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF {condition} AND NEW.contact_id = (
            SELECT k.id FROM contacts k ORDER BY k.created_at, k.id LIMIT 1
        ) THEN
            RAISE EXCEPTION 'ada@example.com is refused';
        END IF;
        RETURN NEW;
    END $$;
    CREATE {trigger} INSERT OR UPDATE ON {table} {deferred}
        FOR EACH ROW EXECUTE FUNCTION refuse_one();
"""
KINDS = {
    "at once": {"trigger": "TRIGGER refuse_one BEFORE", "deferred": ""},
    "at the commit": {
        "trigger": "CONSTRAINT TRIGGER refuse_one AFTER",
        "deferred": "DEFERRABLE INITIALLY DEFERRED",
    },
}


def refuse(sender: Sender, table: str, condition: str, kind: str = "at once") -> None:
    with sender.database.transaction() as connection:
        text = REFUSES_ONE.format(table=table, condition=condition, **KINDS[kind])
        connection.execute(text.encode())


REFUSALS = [
    ("campaign_events", "NEW.event_type = 'email_sent'"),
    ("campaign_deliveries", "NEW.status = 'sent'"),
    ("campaign_message_outcomes", "true"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("table", "condition"), REFUSALS, ids=[t for t, _ in REFUSALS])
def test_one_refused_outcome_leaves_the_others_settled(
    smtp: Callable[..., Script], sending: Start, table: str, condition: str, kind: str
) -> None:
    script = smtp()
    sender = sending(smtp=script)
    sender.enroll(MAIL, 20)
    refuse(sender, table, condition, kind)
    sender.run()
    assert len(script.received) == 20
    assert sender.deliveries() == {"sent": 19, "unknown": 1}
    assert sender.states() == {"completed": 19, "waiting": 1}
    (held,) = list_deliveries(sender.database, status="unknown", limit=5)
    assert held.error_code == "not_settled"
    assert "example.com" not in str(held)
    # Held: neither a later tick nor the end of the grace time repeats or settles it.
    sender.run(NOW + timedelta(hours=5))
    assert len(script.received) == 20
    with sender.database.transaction() as connection:
        connection.execute(f"DROP TRIGGER refuse_one ON {table}")
    later = NOW + timedelta(hours=6)
    report = resolve_unknown(sender.database, "sent", now=later, campaign="Welcome")
    assert report.deliveries == 1
    sender.run(later)
    assert sender.states() == {"completed": 20}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("table", "condition"), REFUSALS[::2], ids=["events", "outcomes"])
def test_one_refused_recording_fails_alone(
    sending: Start, table: str, condition: str, kind: str
) -> None:
    sender = sending(delivery="record")
    sender.enroll(MAIL, 20)
    refuse(sender, table, condition, kind)
    sender.run()
    assert sender.deliveries() == {"sent": 19, "failed": 1}
    assert sender.states() == {"completed": 19, "failed": 1}
    with sender.database.transaction() as connection:
        (fault,) = data_faults.current(connection, since=NOW, shown=5, limit=5)
    assert "example.com" not in fault.reason


@pytest.mark.parametrize("kind", KINDS)
def test_one_refused_outcome_does_not_keep_others_from_being_assumed_sent(
    smtp: Callable[..., Script], sending: Start, kind: str
) -> None:
    script = smtp(on_data=store_and_hang_up)
    sender = sending(smtp=script)
    sender.enroll(MAIL, 20)
    sender.run()
    assert sender.deliveries() == {"unknown": 20}
    refuse(sender, "campaign_events", "NEW.event_type = 'email_sent'", kind)
    later = NOW + timedelta(hours=5)
    assert recover(sender.database, now=later).assumed_sent == 19
    assert recover(sender.database, now=later).assumed_sent == 0
    assert sender.deliveries() == {"sent": 19, "unknown": 1}
