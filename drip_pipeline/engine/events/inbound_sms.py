"""Text messages that people send us: STOP is heeded at once, everywhere; START lifts it; the rest
are answers to the latest message they got.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from drip_pipeline.channels.sms.twilio_callbacks import InboundSms
from drip_pipeline.db.connection import Database
from drip_pipeline.db.contacts import suppressions as suppressions_db
from drip_pipeline.engine.events.ingest import ingest_events

PROVIDER: Final = "twilio"


@dataclass(frozen=True, slots=True)
class InboundReport:
    """What a text did: events taken, entries of the suppression list made or lifted."""

    events: int
    suppressed: int = 0
    readmitted: int = 0


def take_inbound_sms(database: Database, text: InboundSms, *, now: datetime) -> InboundReport:
    """Take in a text message; the same one twice counts once. What it says is not kept."""
    suppressed = readmitted = 0
    with database.transaction() as connection:
        messages = suppressions_db.latest_texts_to(connection, text.sender)
        if text.keyword == "stop":
            # Whatever becomes of the event: whoever says STOP gets nothing more.
            suppressed = suppressions_db.suppress_phone(
                connection, text.sender, source=PROVIDER, now=now
            )
        elif text.keyword == "start":
            readmitted = suppressions_db.readmit_phone(connection, text.sender)
    report = ingest_events(
        database,
        [
            {
                "event_id": f"{text.provider_id}:{workspace_id}",
                "event_type": text.event_type,
                "occurred_at": now.isoformat(),
                "message_id": str(message_id),
            }
            for workspace_id, message_id in messages
        ],
        source="inbound text messages",
        now=now,
        provider=PROVIDER,
    )
    return InboundReport(report.accepted, suppressed, readmitted)
