"""The result of executing a batch, as data: `execute` creates transitions, `commit` writes them.

States that pass the same nodes in the same way share one transition, so a batch of thousands of
states has a handful of transitions. Nothing here reads or writes the database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal, NamedTuple
from uuid import UUID

from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.domain.run_variables import JsonObject


class NodePosition(NamedTuple):
    """Node of a campaign version, the port by which states leave it (None: they enter it), and the
    status of their enrollments."""

    campaign_id: UUID
    campaign_version: int
    node_id: str
    resume_port: str | None
    enrollment_status: str


def group_by_position(states: Sequence[DueState]) -> dict[NodePosition, list[DueState]]:
    """Group states by their position, in the order of their first occurrence."""
    groups: dict[tuple[int, int, str, str | None, str], list[DueState]] = {}
    for state in states:
        # By the integer of the campaign's id: a UUID computes its hash in Python at each lookup.
        key = (
            state.campaign_id.int,
            state.campaign_version,
            state.current_node_id,
            state.resume_port,
            state.enrollment_status,
        )
        group = groups.get(key)
        if group is None:
            groups[key] = [state]
        else:
            group.append(state)
    return {NodePosition(group[0].campaign_id, *key[1:]): group for key, group in groups.items()}


@dataclass(frozen=True, slots=True)
class EventNote:
    """An event that is logged for every state of the transition.

    `compared`, by state, are the values that decided, as a JSON object; they are logged in the data
    under the key `compared`.
    """

    event_type: str
    node_id: str | None
    step_id: str | None
    data: Mapping[str, object] = field(default_factory=dict)
    variant_group: str | None = None
    compared: Mapping[UUID, str] | None = None

    def with_compared(self, compared: Mapping[UUID, str]) -> EventNote:
        """Return the event with these values; without any it stays as it is."""
        return replace(self, compared=compared) if compared else self


@dataclass(frozen=True, slots=True)
class AssignmentNote:
    """A variant assigned at a split."""

    split_node_id: str
    variant_group: str
    is_holdout: bool
    is_randomized: bool
    ab_test_id: UUID | None


@dataclass(frozen=True, slots=True)
class DeliveryNote:
    """A message to be put into the outbox. Its id is computed per state.

    `due_at` is None for a message that is due at once; otherwise the rule `held_by` holds it.
    `cap_priority` is its priority if the workspace has frequency caps.
    """

    channel: str
    node_id: str
    step_id: str | None
    split_node_id: str | None
    variant_group: str | None
    due_at: datetime | None = None
    held_by: str | None = None
    cap_priority: int | None = None


ChangeKind = Literal["tags", "score_delta", "score_set", "column", "custom_field"]


@dataclass(frozen=True, slots=True)
class ContactChange:
    """A change of contacts: `tags` uses `add` and `remove`; the others use `value`, and `name` for
    a column or custom field. `values`, by state, replace `value` where it differs between states.
    """

    kind: ChangeKind
    name: str = ""
    value: object = None
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    values: Mapping[UUID, object] | None = None

    def of(self, state_id: UUID) -> ContactChange:
        """Return the change of one state's contact."""
        if self.values is None:
            return self
        return replace(self, value=self.values[state_id], values=None)

    def score(self) -> int:
        """Return the value of a change of the score."""
        assert isinstance(self.value, int)
        return self.value

    def text(self) -> str | None:
        """Return the value of a column as text."""
        return None if self.value is None else str(self.value)


OpenStatus = Literal["running", "waiting", "paused"]
EndStatus = Literal["completed", "exited", "failed"]
Status = OpenStatus | EndStatus


@dataclass(frozen=True, slots=True)
class Transition:
    """The new node and status of a group of states, and what is written for them.

    `path`: the nodes entered on the way. `due_at` is None when the state ends or waits for its
    delivery. `enrollment_status` is the enrollment's new status, None if unchanged. With
    `delivery`, `delivery_ids` has one id per state. `variables`, by state and name, are those that
    changed.
    """

    states: Sequence[DueState]
    node_id: str
    step_id: str | None
    status: Status
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
    variables: Mapping[UUID, Mapping[str, JsonObject]] | None = None

    def only(self, state_ids: set[UUID]) -> Transition | None:
        """Return the transition restricted to these states, None if it has none of them."""
        kept = [n for n, state in enumerate(self.states) if state.id in state_ids]
        if not kept:
            return None
        ids = self.delivery_ids
        return replace(
            self,
            states=[self.states[n] for n in kept],
            delivery_ids=None if ids is None else [ids[n] for n in kept],
        )


@dataclass(frozen=True, slots=True)
class SentMessage:
    """The message that every state of a batch was sent before it advances. An email is shown on
    the enrollments."""

    sent_at: datetime | None = None
    is_email: bool = False

    @property
    def emailed_at(self) -> datetime | None:
        """Return when an email was sent, None for other channels."""
        return self.sent_at if self.is_email else None


NO_SENT_MESSAGE: Final = SentMessage()


@dataclass(frozen=True, slots=True)
class Batch:
    """The transitions of one batch, and the states of paused enrollments, which are suspended."""

    transitions: tuple[Transition, ...]
    paused: tuple[DueState, ...] = ()

    def sizes(self) -> dict[str, int]:
        """Return the number of states by new status, `paused` included; statuses without states
        are omitted."""
        totals: dict[str, int] = {}
        for transition in self.transitions:
            totals[transition.status] = totals.get(transition.status, 0) + len(transition.states)
        if self.paused:
            totals["paused"] = len(self.paused)
        return totals

    def size(self) -> int:
        """Return the number of states."""
        return sum(len(t.states) for t in self.transitions) + len(self.paused)
