"""Apply events to workflow states: resume waits, exit runs, suppress contacts.

A concurrent batch may move the same states. So the states are locked first, which waits for the
transactions that hold them; the statements that follow see the result of those transactions. A wait
that begins later looks back and finds the events, which are committed by then. So every
interleaving moves a state exactly once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.contacts import topics as topics_db
from drip_pipeline.db.events import ingestion as events_db
from drip_pipeline.db.events.ingestion import AffectedStates
from drip_pipeline.db.execution import topic_states as topic_states_db
from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.domain.events.soft_bounces import SoftBounceLimit
from drip_pipeline.domain.events.vocabulary import EVENT_CLOCK_TOLERANCE
from drip_pipeline.engine.contacts.suppress_contacts import suppress_contacts
from drip_pipeline.engine.events.goal_exits import end_runs_at_goal
from drip_pipeline.engine.events.resume_matched import resume_by_arrivals
from drip_pipeline.engine.execution.exit_by_rules import end_runs_by_events
from drip_pipeline.engine.execution.exits import end_runs
from drip_pipeline.engine.execution.topic_exits import end_runs_of_topics
from drip_pipeline.engine.gc_pause import no_collection

# Reason of the suppression → exit reason and enrollment status. An SMS opt-out does not end the
# run; its SMS steps are skipped.
EXIT_OF_SUPPRESSION: Final[Mapping[str, tuple[str, str]]] = {
    "unsubscribed": ("unsubscribed", "unsubscribed"),
    "complained": ("suppressed", "unsubscribed"),
    "bounced": ("suppressed", "bounced"),
    "manual": ("suppressed", "completed"),
}


_SOFT_BOUNCED: Final = "soft_bounced"

RESUBSCRIBED: Final = "resubscribed"
"""Events by which a person takes back an unsubscription: email_resubscribed, sms_opted_in. Bounces,
complaints and entries of an operator stay."""


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


def lock_affected_states(connection: Connection) -> AffectedStates:
    """Lock the states that this transaction's events may move, and count them."""
    return events_db.lock_affected_states(connection)


def apply_event_effects(
    connection: Connection,
    locked: AffectedStates,
    *,
    batch_id: UUID,
    source: str,
    now: datetime,
    soft_bounces: SoftBounceLimit,
    may_suppress: bool = True,
    refused_goals: Sequence[tuple[UUID, str]] | None = None,
) -> EventEffects:
    """Suppress contacts, exit runs and resume waits as this transaction's events require.

    Call it after the events are logged. `locked` is the result of `lock_affected_states`; `source`
    is stored with new suppression list entries. Without `may_suppress` none of the events can
    suppress a contact or end a run. `refused_goals`: ids of events, each with `campaign/version`
    whose goal it does not reach; None if no goal ends runs. A contact's own no takes precedence.
    """
    suppressed = _suppress_contacts(connection, source, now, soft_bounces) if may_suppress else 0
    if not locked.states:
        return EventEffects(suppressed=suppressed)
    ended = _exit_runs(connection, batch_id, now) if may_suppress else 0
    if refused_goals is not None:
        ended += end_runs_at_goal(connection, refused_goals, batch_id=batch_id, now=now)
    if locked.has_exits:
        ended += end_runs_by_events(connection, batch_id=batch_id, now=now)
    resumed = events_db.resume_waiting_states(connection, now, EVENT_CLOCK_TOLERANCE)
    if locked.matched_waits:
        # Around the call, so that its objects are freed before the collector runs.
        with no_collection():
            resumed += resume_by_arrivals(connection, now)
    return EventEffects(resumed, suppressed, ended)


def apply_topic_events(connection: Connection, *, batch_id: UUID, now: datetime) -> EventEffects:
    """Set the consents of this transaction's events about topics, and exit the runs of contacts in
    campaigns of a topic that they left.
    """
    changed = topics_db.apply_events(connection)
    left = topic_states_db.leaving(connection)
    return EventEffects(
        suppressed=changed, ended=end_runs_of_topics(connection, left, batch_id=batch_id, now=now)
    )


def _suppress_contacts(
    connection: Connection, source: str, now: datetime, limit: SoftBounceLimit
) -> int:
    by_channel: dict[str, list[tuple[UUID, str]]] = {}
    again: list[tuple[UUID, str]] = []
    soft: list[UUID] = []
    for contact in events_db.contacts_to_suppress(connection):
        if contact.reason == RESUBSCRIBED:
            again.append((contact.contact_id, contact.channel))
        elif contact.reason == _SOFT_BOUNCED:
            soft.append(contact.contact_id)
        else:
            by_channel.setdefault(contact.channel, []).append((contact.contact_id, contact.reason))
    if soft and limit.bounces:
        repeatedly = events_db.repeatedly_soft_bounced(
            connection, soft, threshold=limit.bounces, time_span=timedelta(days=limit.days)
        )
        by_channel.setdefault("email", []).extend((each, _SOFT_BOUNCED) for each in repeatedly)
    suppressed = sum(
        suppress_contacts(connection, contacts, channel=channel, source=source, now=now)
        for channel, contacts in by_channel.items()
    )
    if again:
        events_db.readmit_contacts(connection, again)
    return suppressed


def _exit_runs(connection: Connection, batch_id: UUID, now: datetime) -> int:
    by_cause: dict[str, list[DueState]] = {}
    rows = events_db.states_to_exit(connection)
    for *state, cause in rows:
        by_cause.setdefault(cause, []).append(DueState._make(state))
    for cause, states in by_cause.items():
        exit_reason, enrollment_status = EXIT_OF_SUPPRESSION[cause]
        end_runs(
            connection,
            states,
            exit_reason=exit_reason,
            enrollment_status=enrollment_status,
            batch_id=batch_id,
            now=now,
        )
    return len(rows)
