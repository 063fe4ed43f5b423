"""Inbound SMS: STOP suppresses the number in the workspace of the provider's key (in all if the key
names none), START lifts that; all others are replies to the latest SMS sent to the number.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from drip_pipeline.channels.sms.twilio_callbacks import InboundSms
from drip_pipeline.db.connection import Database
from drip_pipeline.db.contacts import suppressions as suppressions_db
from drip_pipeline.domain.addresses import spellings_of_phone
from drip_pipeline.engine.events.ingest import ingest_events

PROVIDER: Final = "twilio"


@dataclass(frozen=True, slots=True)
class InboundReport:
    """The number of events, and of suppression list entries added and removed."""

    events: int
    suppressed: int = 0
    readmitted: int = 0


def take_inbound_sms(
    database: Database, sms: InboundSms, *, now: datetime, workspace_id: UUID | None = None
) -> InboundReport:
    """Ingest an inbound SMS; a repetition counts once. The content is not stored."""
    suppressed = readmitted = 0
    phone = spellings_of_phone(sms.sender)
    with database.transaction() as connection:
        messages = suppressions_db.latest_sms_to(connection, phone, workspace_id)
        if sms.keyword == "stop":
            # In a transaction of its own, so that STOP holds even if the ingestion fails.
            suppressed = suppressions_db.suppress_phone(
                connection, phone, workspace_id, source=PROVIDER, now=now
            )
        elif sms.keyword == "start":
            readmitted = suppressions_db.readmit_phone(connection, sms.sender, workspace_id)
    report = ingest_events(
        database,
        [
            {
                "event_id": f"{sms.provider_id}:{message.workspace_id}",
                "event_type": sms.event_type,
                "occurred_at": now.isoformat(),
                "message_id": str(message.message_id),
            }
            for message in messages
        ],
        source="inbound text messages",
        now=now,
        provider=PROVIDER,
    )
    return InboundReport(report.accepted, suppressed, readmitted)
