"""Campaigns as a whole: finding one by id or name, showing where its people are, pausing, resuming,
archiving. What is inside a version (publishing, comparing) belongs elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from drip_pipeline.db.campaigns import campaigns as campaigns_db
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.db.publishing import external_drafts as drafts_db
from drip_pipeline.db.publishing import versions as versions_db
from drip_pipeline.db.publishing.external_drafts import RecordedDraft
from drip_pipeline.db.publishing.versions import RelatedCampaign, VersionEntry
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.engine.campaigns import version_cache as graphs
from drip_pipeline.errors import CampaignAmbiguous, CampaignNotFound, NotAllowed

SECONDS_A_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign's row. `published_version` is the one that newcomers enter, None before the first
    publish.
    """

    campaign_id: UUID
    workspace_id: UUID
    workspace: str
    name: str
    status: str
    campaign_type: str
    version: int
    published_version: int | None
    settings: Mapping[str, Any] = field(default_factory=dict)


def find_campaign(connection: Connection, name_or_id: str | UUID) -> Campaign:
    """The campaign with this id or exact name; one in use hides archived ones of its name.

    Raises CampaignNotFound, or CampaignAmbiguous when several carry the name.
    """
    wanted = str(name_or_id)
    found = campaigns_db.find(connection, campaign_id=_as_uuid(wanted), name=wanted)
    if not found:
        raise CampaignNotFound(wanted)
    in_use = [row for row in found if row["status"] != "archived"]
    candidates = in_use or found
    if len(candidates) > 1:
        raise CampaignAmbiguous(wanted, len(candidates))
    row = candidates[0]
    return Campaign(
        campaign_id=row["id"],
        workspace_id=row["workspace_id"],
        workspace=row["workspace"],
        name=row["name"],
        status=row["status"],
        campaign_type=row["campaign_type"] or "linear",
        version=row["version"] or 1,
        published_version=row["published_version"],
        settings=row["settings"] or {},
    )


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


# --- looking --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NodeCount:
    """One node: people who stand there `now` (failed ones apart), and who have `passed` it."""

    node_id: str
    node_type: str
    step_name: str
    now: int = 0
    failed: int = 0
    passed: int = 0


@dataclass(frozen=True, slots=True)
class CampaignDetail:
    """A campaign with its history, its people by version and its nodes in the order of the way;
    `lineage`: the campaign it was cloned from and its clones; `edit`: what another application
    edited and nobody published, as it was noticed."""

    campaign: Campaign
    versions: list[VersionEntry]
    population: list[dict[str, Any]]
    exits: list[dict[str, Any]]
    nodes: list[NodeCount]
    lineage: list[RelatedCampaign]
    edit: RecordedDraft | None = None


def list_campaigns(database: Database, *, workspace: str | None = None) -> list[dict[str, Any]]:
    """All campaigns, or those of one workspace, with their people by state."""
    with database.transaction(is_read_only=True) as connection:
        return campaigns_db.listed(connection, workspace)


def show_campaign(database: Database, name_or_id: str | UUID) -> CampaignDetail:
    """Everything about one campaign, read in one snapshot."""
    with database.transaction(is_read_only=True) as connection:
        campaign = find_campaign(connection, name_or_id)
        graph = None
        if campaign.published_version is not None:
            graph = graphs.version(
                connection, campaign.campaign_id, campaign.published_version
            ).graph
        return CampaignDetail(
            campaign=campaign,
            versions=versions_db.history(connection, campaign.campaign_id),
            lineage=versions_db.lineage(connection, campaign.campaign_id),
            population=states_db.population(connection, campaign.campaign_id),
            exits=states_db.exits_by_reason(connection, campaign.campaign_id),
            nodes=_node_counts(connection, campaign.campaign_id, graph),
            edit=drafts_db.recorded_draft(connection, campaign.campaign_id),
        )


def _node_counts(
    connection: Connection, campaign_id: UUID, graph: CampaignGraph | None
) -> list[NodeCount]:
    now: dict[str, int] = {}
    failed: dict[str, int] = {}
    for node_id, status, people in campaigns_db.count_by_node(connection, campaign_id):
        if status == "failed":
            failed[node_id] = failed.get(node_id, 0) + people
        elif status in ("running", "waiting", "paused"):
            now[node_id] = now.get(node_id, 0) + people
    passed = campaigns_db.passed_by_node(connection, campaign_id)
    order = _on_the_way(graph) if graph else []
    # Nodes of older versions that people are still in, or were.
    order += sorted((now.keys() | failed.keys() | passed.keys()) - set(order))
    nodes = graph.nodes if graph else {}
    return [
        NodeCount(
            node_id=node_id,
            node_type=nodes[node_id].node_type.value if node_id in nodes else "",
            step_name=nodes[node_id].step_name if node_id in nodes else "(earlier version)",
            now=now.get(node_id, 0),
            failed=failed.get(node_id, 0),
            passed=passed.get(node_id, 0),
        )
        for node_id in order
    ]


def _on_the_way(graph: CampaignGraph) -> list[str]:
    """Node ids from the entry on, nearest first."""
    order = [graph.entry_node_id]
    seen = set(order)
    for node_id in order:  # grows while it is walked
        for edge in graph.nodes[node_id].ports.values():
            if edge.target not in seen:
                seen.add(edge.target)
                order.append(edge.target)
    return order


# --- changing -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StatusChange:
    """What pausing, resuming or archiving came to. `has_changed` is false when it was so already.

    `people`: open runs that are held (pause), go on (resume) or were ended (archive).
    `overdue`: states and deliveries whose due time was spread over `spread_minutes`.
    """

    campaign_id: UUID
    name: str
    status: str
    has_changed: bool
    people: int
    overdue: int = 0
    spread_minutes: float = 0


def pause(database: Database, name_or_id: str | UUID, *, now: datetime) -> StatusChange:
    """Stop claiming and sending; everybody stays where they are."""
    with database.transaction() as connection:
        campaign = find_campaign(connection, name_or_id)
        has_changed = _move(connection, campaign, "paused", ("active",), now)
        people = _open_people(connection, campaign.campaign_id)
        return StatusChange(campaign.campaign_id, campaign.name, "paused", has_changed, people)


def resume(
    database: Database,
    name_or_id: str | UUID,
    *,
    now: datetime,
    spread_minutes: float | None = None,
) -> StatusChange:
    """Go on: overdue work runs, spread over `spread_minutes` (default: the campaign's
    `resume_spread_minutes`, else at once).
    """
    with database.transaction() as connection:
        campaign = find_campaign(connection, name_or_id)
        if spread_minutes is None:
            spread_minutes = float(campaign.settings.get("resume_spread_minutes") or 0)
        has_changed = _move(connection, campaign, "active", ("paused",), now)
        overdue = 0
        if has_changed and spread_minutes > 0:
            overdue = states_db.spread_overdue(
                connection,
                campaign.campaign_id,
                spread_seconds=spread_minutes * SECONDS_A_MINUTE,
                now=now,
            )
        people = _open_people(connection, campaign.campaign_id)
        return StatusChange(
            campaign.campaign_id,
            campaign.name,
            "active",
            has_changed,
            people,
            overdue,
            spread_minutes if overdue else 0,
        )


def archive(database: Database, name_or_id: str | UUID, *, now: datetime) -> StatusChange:
    """End the campaign for good: open runs exit with the reason `campaign_archived`, nothing more
    is sent, and the history gets its last entry.
    """
    with database.transaction() as connection:
        campaign = find_campaign(connection, name_or_id)
        # The status first: its row lock keeps newcomers out until everybody inside has left.
        has_changed = _move(connection, campaign, "archived", ("draft", "active", "paused"), now)
        people = 0
        if has_changed:
            people = states_db.archive_open(connection, campaign.campaign_id, now)
            campaigns_db.snapshot_archived(connection, campaign.campaign_id, now)
        return StatusChange(campaign.campaign_id, campaign.name, "archived", has_changed, people)


_WHY_NOT: Mapping[str, str] = {
    "draft": "is a draft that was never published",
    "archived": "is archived, which is for good",
    "paused": "is paused",
    "active": "is active",
}


def _move(
    connection: Connection,
    campaign: Campaign,
    status: str,
    from_statuses: tuple[str, ...],
    now: datetime,
) -> bool:
    if campaigns_db.set_status(
        connection, campaign.campaign_id, status, from_statuses=from_statuses, now=now
    ):
        return True
    # Read again: another transaction may have moved it while this one waited for the row.
    current = find_campaign(connection, campaign.campaign_id).status
    if current == status:
        return False
    raise NotAllowed(
        f"campaign {campaign.name!r} {_WHY_NOT.get(current, f'is {current}')}",
        hint="`drip campaign list` shows what state each campaign is in.",
    )


def _open_people(connection: Connection, campaign_id: UUID) -> int:
    return sum(
        people
        for _, status, people in campaigns_db.count_by_node(connection, campaign_id)
        if status in ("running", "waiting", "paused")
    )
