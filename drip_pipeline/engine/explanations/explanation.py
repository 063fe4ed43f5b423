"""The explanation of one contact, as data: `drip contacts show --json`, and what pages show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from drip_pipeline.db.explanations.one_person import OwnEvents, SuppressionRow, TopicState


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run is, and what happens next.

    `status`: waiting, held, retrying, due, sending, unknown, paused, failed, exited, completed or
    not_started. `next_at` is None if nothing happens by time alone.
    """

    status: str
    sentence: str
    next_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PathEntry:
    """What happened at a node of a run; `compared` are the values that decided."""

    at: datetime
    node_id: str | None
    step: str | None
    event_type: str
    text: str
    compared: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ExplainedMessage:
    """A sent message, and when what happened to it for the first time. `is_recorded`: it was stored
    in place of being sent; not `is_certain`: it is assumed to be sent."""

    message_id: UUID
    node_id: str
    step: str
    channel: str
    variant: str | None
    sent_at: datetime
    result: str
    is_certain: bool
    is_recorded: bool
    delivered_at: datetime | None
    opened_at: datetime | None
    opens: int
    opened_by_machine_at: datetime | None
    clicked_at: datetime | None
    clicks: int
    replied_at: datetime | None
    converted_at: datetime | None
    conversion_value: Decimal
    unsubscribed_at: datetime | None
    complained_at: datetime | None
    bounced_at: datetime | None
    failed_at: datetime | None


@dataclass(frozen=True, slots=True)
class WithheldMessage:
    """A message that was held, skipped, or failed: the rule or reason, and its time. `until`: the
    end of a hold or the next attempt."""

    at: datetime
    node_id: str | None
    step: str | None
    what: str
    rule: str
    text: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class RunVariant:
    """The variant of a run at a split, and the winner once the test is decided.

    `is_randomized` is false for contacts that a decision routed to the winner.
    """

    split_node_id: str
    step: str | None
    variant: str
    is_holdout: bool
    is_randomized: bool
    assigned_at: datetime
    winner: str | None
    decided_at: datetime | None


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a contact: its place, path, variants, and messages.

    `number`: which run of the contact in this campaign it is. `is_cut`: older entries are left out.
    """

    enrollment_id: UUID
    campaign_id: UUID
    campaign: str
    version: int | None
    number: int
    entry_key: str
    started_at: datetime
    ended_at: datetime | None
    place: Place
    path: Sequence[PathEntry]
    is_cut: bool
    variants: Sequence[RunVariant]
    messages: Sequence[ExplainedMessage]
    not_sent: Sequence[WithheldMessage]


@dataclass(frozen=True, slots=True)
class EntryExplanation:
    """Why a contact is not in a campaign, and what lets it enter.

    `result`: enrolled (it would be admitted), closed, or the reason of the refusal. `trigger`: the
    kind of entry trigger; `is_matching`: whether the contact meets it, None if only an event or an
    operator decides.
    """

    campaign_id: UUID
    campaign: str
    result: str
    sentence: str
    trigger: str | None
    is_matching: bool | None
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class ExplainedContact:
    """A contact's own data. `timezone`: by which its times are computed."""

    id: UUID
    workspace_id: UUID
    workspace: str
    email: str | None
    phone: str | None
    name: str | None
    company: str | None
    job_title: str | None
    ai_score: int | None
    status: str | None
    tags: Sequence[str]
    custom_fields: Any
    last_interaction: datetime | None
    created_at: datetime | None
    updated_at: datetime | None
    timezone: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a contact is and why: one sentence, and all that it rests on.

    `same_address`: further contacts of the workspace with the address, in another spelling.
    `other_runs`: older runs that are left out. `entry`: of the campaign that was asked for, if the
    contact is not in it. `unreadable`: columns whose values cannot be read, with the reason.
    """

    sentence: str
    next_at: datetime | None
    person: ExplainedContact
    suppressions: Sequence[SuppressionRow]
    topics: Sequence[TopicState]
    is_in_holdout: bool
    runs: Sequence[Run]
    other_runs: int
    own_events: Sequence[OwnEvents]
    entry: EntryExplanation | None
    same_address: Sequence[UUID]
    unreadable: Sequence[str]
    explained_at: datetime
