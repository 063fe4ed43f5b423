"""Contacts, runs and queued messages of one campaign version, in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.domain.conditions.occurrences import LatestMessage, Occurrence
from drip_pipeline.domain.conditions.time_zones import WORKSPACE_ZONE
from drip_pipeline.domain.contact_fields import contact_columns_for, reader_of
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.reachability import needs_of_graph
from drip_pipeline.domain.run_variables import (
    EVENT,
    NO_VARIABLES,
    VARS,
    JsonObject,
    RunVariables,
    stored_variables,
)
from drip_pipeline.engine.campaigns.version_cache import PublishedVersion
from drip_pipeline.engine.campaigns.workspace_rules import WorkspaceRules
from drip_pipeline.engine.execution.split_variants import ExistingVariant
from drip_pipeline.engine.execution.transitions import DeliveryNote
from drip_pipeline.engine.in_memory.cap_count import CountedSend

MAX_RETRIES: Final = 3
"""As the column `max_retries` of a workflow state by default."""
OPEN: Final = frozenset({"running", "waiting"})


class MemoryContact:
    """A contact: its columns as the database has them, and what happened to it outside of runs.

    `suppressions`: the reason by channel. `left_topics`: topics that the contact left.
    `soft_bounces`: their times in seconds since 1970. `sends`: messages that count in caps.
    """

    __slots__ = (
        "_attributes",
        "events",
        "id",
        "left_topics",
        "row",
        "runs",
        "sends",
        "soft_bounces",
        "suppressions",
    )

    def __init__(self, contact_id: UUID, row: dict[str, Any]) -> None:
        self.id = contact_id
        self.row = row
        self.events: list[Occurrence] = []
        self.runs: list[MemoryRun] = []
        self.suppressions: dict[str, str] = {}
        self.left_topics: set[str] = set()
        self.soft_bounces: list[float] = []
        self.sends: list[CountedSend] = []
        self._attributes: dict[str, Any] | None = None

    def attributes(self, read: Callable[[Mapping[str, Any]], dict[str, Any]]) -> dict[str, Any]:
        """Return the values that conditions read; kept until `forget_attributes`."""
        if self._attributes is None:
            self._attributes = read(self.row)
        return self._attributes

    def forget_attributes(self) -> None:
        """Read the attributes again from the columns, which have changed."""
        self._attributes = None

    @property
    def custom_fields(self) -> dict[str, Any]:
        """The custom fields by name."""
        fields: dict[str, Any] = self.row["custom_fields"]
        return fields


class MemoryRun:
    """An enrollment with its workflow state. The names are those of the columns.

    `pending` is the message that it waits for; `withdrawn` the id of one that was taken out of the
    outbox. A run with the status `refused` never began; `exit_reason` says why.
    """

    __slots__ = (
        "contact",
        "due_at",
        "enrollment_status",
        "entry",
        "events",
        "exit_reason",
        "id",
        "last_error",
        "last_message_at",
        "messages",
        "node_entered_at",
        "node_id",
        "pending",
        "resume_port",
        "retry_count",
        "started_at",
        "status",
        "steps_taken",
        "wait_for_event",
        "withdrawn",
        "workflow_variables",
    )

    def __init__(
        self, run_id: UUID, contact: MemoryContact, started_at: datetime, node_id: str
    ) -> None:
        self.id = run_id
        self.contact = contact
        self.started_at = started_at
        self.node_id = node_id
        self.status = "running"
        self.enrollment_status = "active"
        self.resume_port: str | None = None
        self.retry_count = 0
        self.steps_taken = 0
        self.due_at: datetime | None = None
        self.node_entered_at: datetime | None = None
        self.last_message_at: datetime | None = None
        self.wait_for_event: str | None = None
        self.pending: MemoryMessage | None = None
        self.withdrawn: UUID | None = None
        self.exit_reason: str | None = None
        self.last_error: str | None = None
        self.messages: dict[str, LatestMessage] = {}
        self.events: list[Occurrence] = []
        self.entry: JsonObject | None = None
        self.workflow_variables: dict[str, JsonObject] = {}

    @property
    def is_open(self) -> bool:
        """Whether the run has not ended."""
        return self.status in OPEN

    @property
    def since(self) -> datetime:
        """The time from which events of the contact end a wait, without the tolerance."""
        return self.last_message_at or self.node_entered_at or self.started_at

    def has_variables(self) -> bool:
        """Return whether the run has any variable."""
        return bool(self.entry or self.workflow_variables)

    def variables(self, *, is_entered_by_event: bool) -> RunVariables:
        """Return the variables of the run."""
        if not self.has_variables():
            return NO_VARIABLES
        return stored_variables(
            self.entry, self.workflow_variables, is_entered_by_event=is_entered_by_event
        )

    def set_variables(self, changed: Mapping[str, JsonObject]) -> None:
        """Store the variables that a batch changed."""
        self.workflow_variables = self.workflow_variables | {
            name: changed[name] for name in (EVENT, VARS) if name in changed
        }


@dataclass(frozen=True, slots=True)
class MemoryMessage:
    """A message in the outbox."""

    id: UUID
    run: MemoryRun
    note: DeliveryNote
    queued_at: datetime


@dataclass
class MemoryStore:
    """One campaign version with its contacts and runs.

    `variants`: by split, the variants of runs and contacts. `time_zone` is the workspace's.
    """

    version: PublishedVersion
    rules: WorkspaceRules = field(default_factory=WorkspaceRules)
    time_zone: str = "UTC"
    contacts: dict[UUID, MemoryContact] = field(default_factory=dict)
    runs: dict[UUID, MemoryRun] = field(default_factory=dict)
    variants: dict[str, dict[UUID, ExistingVariant]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        needs = needs_of_graph(self.graph)
        columns, _ = contact_columns_for(needs.fields)
        names = columns | needs.fields | {name.partition(".")[0] for name in needs.fields}
        self._read = reader_of(names)
        self.reads_variables = bool(needs.variables) or self.graph.reads_event()
        self.event_types = needs.named_events | {
            name.rpartition(":")[2] for name in self.graph.waits_for()
        }
        """The event types that any node reads; events of other types are not kept."""

    @property
    def graph(self) -> CampaignGraph:
        """The compiled graph."""
        return self.version.graph

    def add_contact(self, contact_id: UUID, row: Mapping[str, Any]) -> MemoryContact:
        """Add a contact by its columns; missing ones are empty."""
        complete = {**_EMPTY_ROW, **row}
        complete["id"], complete["workspace_id"] = contact_id, self.version.workspace_id
        complete["custom_fields"] = dict(complete["custom_fields"] or {})
        complete["tags"] = list(complete["tags"] or ())
        contact = self.contacts[contact_id] = MemoryContact(contact_id, complete)
        return contact

    def attributes_of(self, contact_id: UUID) -> dict[str, Any]:
        """Return a copy of what conditions read of a contact: a batch changes it."""
        return dict(self.contacts[contact_id].attributes(self._with_workspace))

    def _with_workspace(self, row: Mapping[str, Any]) -> dict[str, Any]:
        attributes = self._read(row)
        attributes["tags"] = frozenset(row["tags"])
        attributes[WORKSPACE_ZONE] = self.time_zone
        return attributes

    def due_states(self, runs: Iterable[MemoryRun]) -> list[DueState]:
        """Return runs as the engine claims them."""
        campaign_id, version = self.version.campaign_id, self.version.version
        return [
            DueState(
                run.id,
                campaign_id,
                version,
                run.contact.id,
                run.node_id,
                run.resume_port,
                run.retry_count,
                MAX_RETRIES,
                run.steps_taken,
                run.enrollment_status,
            )
            for run in runs
        ]

    def reads(self, event: Occurrence) -> bool:
        """Return whether any node reads events of this type."""
        return event.event_type in self.event_types

    def runs_of(self, states: Sequence[DueState]) -> list[MemoryRun]:
        """Return the runs of claimed states."""
        return [self.runs[state.id] for state in states]


_EMPTY_ROW: Final[Mapping[str, Any]] = {
    "name": None,
    "email": None,
    "company": None,
    "phone": None,
    "job_title": None,
    "ai_score": None,
    "status": None,
    "tags": (),
    "custom_fields": {},
    "last_interaction": None,
    "created_at": None,
    "updated_at": None,
}
