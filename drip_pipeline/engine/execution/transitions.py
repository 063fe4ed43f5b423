"""What an executed batch wants to happen, as data: `execute` makes transitions, `commit` writes
them.

People who pass the same nodes in the same way share one transition, so a batch of thousands is a
handful of these. Nothing here reads or writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID


class DueState(NamedTuple):
    """A claimed workflow state. `id` is also the enrollment's id; `resume_port` is None when the
    node is to be entered."""

    id: UUID
    campaign_id: UUID
    campaign_version: int
    contact_id: UUID
    current_node_id: str
    resume_port: str | None
    retry_count: int
    max_retries: int
    steps_taken: int
    enrollment_status: str


class NodePosition(NamedTuple):
    """Where people stand: node of a campaign version, the port by which they leave it (None = they
    are to enter it), and what their enrollments show."""

    campaign_id: UUID
    campaign_version: int
    node_id: str
    resume_port: str | None
    enrollment_status: str


def group_by_position(people: Sequence[DueState]) -> dict[NodePosition, list[DueState]]:
    """People by where they stand, in the order in which they come."""
    found: dict[tuple[int, int, str, str | None, str], list[DueState]] = {}
    for person in people:
        # By the integer of the campaign's id: a UUID hashes in Python, once a person and look.
        key = (person[1].int, person[2], person[4], person[5], person[9])
        group = found.get(key)
        if group is None:
            found[key] = [person]
        else:
            group.append(person)
    return {NodePosition(group[0][1], *key[1:]): group for key, group in found.items()}


@dataclass(frozen=True, slots=True)
class EventNote:
    """An event for everybody in the transition."""

    event_type: str
    node_id: str | None
    step_id: str | None
    data: Mapping[str, Any] = field(default_factory=dict)
    variant_group: str | None = None


@dataclass(frozen=True, slots=True)
class AssignmentNote:
    """A variant given at a split."""

    split_node_id: str
    variant_group: str
    is_holdout: bool
    is_randomized: bool
    ab_test_id: UUID | None


@dataclass(frozen=True, slots=True)
class DeliveryNote:
    """A message to be put into the outbox; its id is made per person."""

    channel: str
    node_id: str
    step_id: str | None
    split_node_id: str | None
    variant_group: str | None


ChangeKind = Literal["tags", "score_delta", "score_set", "column", "custom_field"]


@dataclass(frozen=True, slots=True)
class ContactChange:
    """A change of the contact: `tags` takes (add, remove), the others a name (where there is one)
    and a value."""

    kind: ChangeKind
    name: str = ""
    value: Any = None
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


OpenStatus = Literal["running", "waiting", "paused"]
EndStatus = Literal["completed", "exited", "failed"]


@dataclass(frozen=True, slots=True)
class Transition:
    """Where a group of people goes and what is to be said of the way.

    `path`: nodes entered on the way. `due_at` is None when the state ends or waits for its
    delivery. `enrollment_status` is the enrollment's new status, None = unchanged. `delivery_ids`
    has one id per state where there is a delivery.
    """

    people: Sequence[DueState]
    node_id: str
    step_id: str | None
    status: OpenStatus | EndStatus
    path: tuple[str, ...] = ()
    events: tuple[EventNote, ...] = ()
    assignments: tuple[AssignmentNote, ...] = ()
    changes: tuple[ContactChange, ...] = ()
    delivery: DeliveryNote | None = None
    delivery_ids: Sequence[UUID] | None = None
    due_at: datetime | None = None
    wait_until: datetime | None = None
    wait_for_event: str | None = None
    resume_port: str | None = None
    retry_count: int = 0
    error: str | None = None
    exit_reason: str | None = None
    enrollment_status: str | None = None

    def only(self, wanted: set[UUID]) -> Transition | None:
        """The same transition for some of its people, None when none of them is in it."""
        kept = [n for n, person in enumerate(self.people) if person.id in wanted]
        if not kept:
            return None
        ids = self.delivery_ids
        return replace(
            self,
            people=[self.people[n] for n in kept],
            delivery_ids=None if ids is None else [ids[n] for n in kept],
        )


@dataclass(frozen=True, slots=True)
class SentMessage:
    """What went out to everybody of a batch before they move on: when, and whether it was an
    email, which their enrollments show."""

    sent_at: datetime | None = None
    is_email: bool = False

    @property
    def emailed_at(self) -> datetime | None:
        """When they were last written to by email."""
        return self.sent_at if self.is_email else None


NO_SENT_MESSAGE: Final = SentMessage()


@dataclass(frozen=True, slots=True)
class Batch:
    """The transitions of one batch, and the states of paused enrollments, which are only
    suspended."""

    transitions: tuple[Transition, ...]
    paused: tuple[DueState, ...] = ()

    def sizes(self) -> dict[str, int]:
        """How many people end in which status; `paused` are counted too. Statuses without people
        are left out."""
        counted: dict[str, int] = {}
        for transition in self.transitions:
            counted[transition.status] = counted.get(transition.status, 0) + len(transition.people)
        if self.paused:
            counted["paused"] = len(self.paused)
        return counted

    def size(self) -> int:
        """How many people are in the batch."""
        return sum(len(t.people) for t in self.transitions) + len(self.paused)
