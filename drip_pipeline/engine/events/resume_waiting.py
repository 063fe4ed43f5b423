"""Apply events to workflow states: resume waits, exit runs, suppress contacts.

A concurrent batch may move the same states. So the states are locked first, which waits for the
transactions that hold them; the statements that follow see the result of those transactions. A wait
that begins later looks back and finds the events, which are committed by then. So every
interleaving moves a state exactly once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.events import ingestion as events_db
from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.domain.events.vocabulary import EVENT_CLOCK_TOLERANCE
from drip_pipeline.engine.contacts.suppress_contacts import suppress_contacts
from drip_pipeline.engine.execution.exits import end_runs

# Event type → exit reason and enrollment status.
_EXITS: Final[Mapping[str, tuple[str, str]]] = {
    "email_unsubscribed": ("unsubscribed", "unsubscribed"),
    "email_complained": ("suppressed", "unsubscribed"),
    "email_bounced": ("suppressed", "bounced"),
}
EXIT_EVENTS: Final = ("email_unsubscribed", "email_complained")
"""Event types that end a run; a permanent bounce ends it as well."""
SUPPRESSING_EVENTS: Final = (*EXIT_EVENTS, "sms_opted_out")
"""Event types after which nothing more is sent on their channel. An SMS opt-out does not end the
run; its SMS steps are skipped.
"""

RESUBSCRIBING_EVENTS: Final = ("email_resubscribed", "sms_opted_in")
"""Event types by which a person takes back an unsubscription; bounces, complaints and entries of an
operator stay."""
RESUBSCRIBED: Final = "resubscribed"


@dataclass(frozen=True, slots=True)
class EventEffects:
    """The numbers of resumed states, new suppression list entries, and ended runs."""

    resumed: int = 0
    suppressed: int = 0
    ended: int = 0

    def __add__(self, other: EventEffects) -> EventEffects:
        return EventEffects(
            self.resumed + other.resumed,
            self.suppressed + other.suppressed,
            self.ended + other.ended,
        )


def lock_affected_states(connection: Connection) -> int:
    """Lock the states that this transaction's events may move. Return their number."""
    return events_db.lock_affected_states(connection, EXIT_EVENTS)


def apply_event_effects(
    connection: Connection, locked: int, *, batch_id: UUID, source: str, now: datetime
) -> EventEffects:
    """Suppress contacts, exit runs and resume waits as this transaction's events require.

    Call it after the events are logged. `locked` is the result of `lock_affected_states`; `source`
    is stored with new suppression list entries.
    """
    suppressed = _suppress_contacts(connection, source, now)
    if not locked:
        return EventEffects(suppressed=suppressed)
    ended = _exit_runs(connection, batch_id, now)
    resumed = events_db.resume_waiting_states(connection, now, EVENT_CLOCK_TOLERANCE)
    return EventEffects(resumed, suppressed, ended)


def _suppress_contacts(connection: Connection, source: str, now: datetime) -> int:
    by_channel: dict[str, list[tuple[UUID, str]]] = {}
    again: list[tuple[UUID, str]] = []
    for contact in events_db.contacts_to_suppress(
        connection, (*SUPPRESSING_EVENTS, *RESUBSCRIBING_EVENTS)
    ):
        if contact.reason == RESUBSCRIBED:
            again.append((contact.contact_id, contact.channel))
        else:
            by_channel.setdefault(contact.channel, []).append((contact.contact_id, contact.reason))
    suppressed = sum(
        suppress_contacts(connection, contacts, channel=channel, source=source, now=now)
        for channel, contacts in by_channel.items()
    )
    if again:
        events_db.readmit_contacts(connection, again)
    return suppressed


def _exit_runs(connection: Connection, batch_id: UUID, now: datetime) -> int:
    by_cause: dict[str, list[DueState]] = {}
    rows = events_db.states_to_exit(connection, EXIT_EVENTS)
    for *state, cause in rows:
        by_cause.setdefault(cause, []).append(DueState._make(state))
    for cause, states in by_cause.items():
        exit_reason, enrollment_status = _EXITS[cause]
        end_runs(
            connection,
            states,
            exit_reason=exit_reason,
            enrollment_status=enrollment_status,
            batch_id=batch_id,
            now=now,
        )
    return len(rows)
