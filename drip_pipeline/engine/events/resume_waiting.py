"""Waking people whose wait an arriving event ends, and ending the runs of people who want no more.

Both move states that an advance may be moving at this very moment. So the states are locked first,
which waits for any transaction that holds one, and looked at by later statements, which see what
that transaction did. A wait that begins afterwards looks back and finds the events, which are
committed by then. So every interleaving moves a person exactly once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.events import ingestion as events_db
from drip_pipeline.domain.events.vocabulary import EVENT_CLOCK_TOLERANCE
from drip_pipeline.engine.execution.exits import end_runs
from drip_pipeline.engine.execution.transitions import DueState

# Event type → how the run ends: exit reason, status of the enrollment.
_ENDS: Final[Mapping[str, tuple[str, str]]] = {
    "email_unsubscribed": ("unsubscribed", "unsubscribed"),
    "email_complained": ("suppressed", "unsubscribed"),
    "email_bounced": ("suppressed", "bounced"),
}
ENDING_EVENTS: Final = ("email_unsubscribed", "email_complained")
"""Events that end a run; a permanent bounce does, too."""
SUPPRESSING_EVENTS: Final = (*ENDING_EVENTS, "sms_opted_out")
"""Events after which nothing more is sent over their channel. Who wants no text messages goes on;
those messages are skipped.
"""


@dataclass(frozen=True, slots=True)
class EventEffects:
    """People woken, contacts put on a suppression list, runs ended."""

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
    """Lock whoever the arrived events of this transaction may move or credit; how many."""
    return events_db.lock_affected_states(connection, ENDING_EVENTS)


def apply_event_effects(
    connection: Connection, locked: int, *, batch_id: UUID, source: str, now: datetime
) -> EventEffects:
    """Suppress contacts, exit runs and resume waits as this transaction's arrived events require.

    Call it after the events are logged. `locked` is the result of `lock_affected_states`; `source`
    is stored with new suppression list entries.
    """
    if not locked:
        return EventEffects(suppressed=_suppress(connection, source, now))
    suppressed = _suppress(connection, source, now)
    ended = _end(connection, batch_id, now)
    resumed = events_db.resume_waiting_states(connection, now, EVENT_CLOCK_TOLERANCE)
    return EventEffects(resumed, suppressed, ended)


def _suppress(connection: Connection, source: str, now: datetime) -> int:
    by_channel: dict[str, list[tuple[UUID, str]]] = {}
    for contact_id, channel, reason in events_db.people_to_suppress(connection, SUPPRESSING_EVENTS):
        by_channel.setdefault(channel, []).append((contact_id, reason))
    return sum(
        deliveries_db.suppress(connection, rows, channel=channel, source=source, now=now)
        for channel, rows in by_channel.items()
    )


def _end(connection: Connection, batch_id: UUID, now: datetime) -> int:
    by_cause: dict[str, list[DueState]] = {}
    found: Sequence[tuple[object, ...]] = events_db.states_to_end(connection, ENDING_EVENTS)
    for row in found:
        by_cause.setdefault(str(row[10]), []).append(DueState(*row[:10]))  # type: ignore[arg-type]
    for cause, people in by_cause.items():
        exit_reason, enrollment_status = _ENDS[cause]
        end_runs(
            connection,
            people,
            exit_reason=exit_reason,
            enrollment_status=enrollment_status,
            batch_id=batch_id,
            now=now,
        )
    return len(found)
