"""Judge events by the goals of campaign versions that ask for properties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.domain.conditions.occurrences import Occurrence
from drip_pipeline.engine.campaigns import version_cache


class Candidate(Protocol):
    """An event, and a version with its type as the goal."""

    @property
    def event_id(self) -> UUID:
        """The id of the event."""

    @property
    def event_type(self) -> str:
        """The type of the event."""

    @property
    def occurred_at(self) -> datetime:
        """The time of the event."""

    @property
    def event_data(self) -> Mapping[str, Any]:
        """The properties of the event."""

    @property
    def campaign_id(self) -> UUID:
        """The campaign."""

    @property
    def version(self) -> int:
        """The version of the campaign."""

    @property
    def enrollment_id(self) -> UUID | None:
        """The run for which the goal judges the event, None for all runs."""

    @property
    def entry(self) -> object:
        """The entry data of the run."""


def refused_by_goals(
    connection: Connection, candidates: Sequence[Candidate], now: datetime
) -> list[tuple[UUID, str]]:
    """Return the ids of the events that do not reach a goal, each with `campaign/version`; with
    `campaign/version/enrollment` if the goal is tied to the entry data of a run."""
    versions = version_cache.versions(connection, {(c.campaign_id, c.version) for c in candidates})
    refused = []
    for candidate in candidates:
        goal = versions[(candidate.campaign_id, candidate.version)].graph.goal_event
        event = Occurrence(candidate.event_type, candidate.occurred_at, candidate.event_data)
        entry = candidate.entry if isinstance(candidate.entry, Mapping) else {}
        if goal is not None and not goal.judges(event, now, entry):
            run = "" if candidate.enrollment_id is None else f"/{candidate.enrollment_id}"
            key = f"{candidate.campaign_id}/{candidate.version}{run}"
            refused.append((candidate.event_id, key))
    return refused
