"""Find, list, show, pause, resume and archive campaigns.

The content of a version (publishing, comparison) belongs to publishing/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from drip_pipeline.db.campaigns import campaigns as campaigns_db
from drip_pipeline.db.campaigns.campaigns import ListedCampaign
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.delivery import held_messages as held_db
from drip_pipeline.db.delivery.held_messages import HeldCount
from drip_pipeline.db.enrollment import guards as guards_db
from drip_pipeline.db.enrollment.guards import GuardState
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.db.execution.workflow_states import ExitCount, VersionPopulation
from drip_pipeline.db.publishing import external_drafts as drafts_db
from drip_pipeline.db.publishing import versions as versions_db
from drip_pipeline.db.publishing.external_drafts import RecordedDraft
from drip_pipeline.db.publishing.versions import RelatedCampaign, VersionEntry
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.errors import CampaignAmbiguous, CampaignNotFound, NotAllowed

SECONDS_A_MINUTE: Final = 60.0
OPEN_STATUSES: Final = frozenset({"running", "waiting", "paused"})


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign. New enrollments enter `published_version`, None before the first publish."""

    campaign_id: UUID
    workspace_id: UUID
    workspace: str
    name: str
    status: str
    campaign_type: str
    version: int
    published_version: int | None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def subject(self) -> audit.Subject:
        """The campaign as the object of an operation."""
        return audit.Subject("campaign", self.workspace_id, self.campaign_id, self.name)


def find_campaign(
    connection: Connection, name_or_id: str | UUID, *, workspace: str | None = None
) -> Campaign:
    """Return the campaign with this id or exact name; one of the demo, and then an archived one,
    only if no other matches.

    With a `workspace`, a name or id, campaigns of other workspaces do not exist.

    Raises CampaignNotFound, or CampaignAmbiguous if several campaigns have the name.
    """
    name = str(name_or_id)
    rows = campaigns_db.find(connection, campaign_id=_as_uuid(name), name=name)
    if workspace is not None:
        rows = [row for row in rows if workspace in (row.workspace, str(row.workspace_id))]
    if not rows:
        raise CampaignNotFound(name)
    own = [row for row in rows if not row.is_demo] or rows
    candidates = [row for row in own if row.status != "archived"] or own
    if len(candidates) > 1:
        raise CampaignAmbiguous(name, len(candidates))
    row = candidates[0]
    return Campaign(
        campaign_id=row.id,
        workspace_id=row.workspace_id,
        workspace=row.workspace,
        name=row.name,
        status=row.status,
        campaign_type=row.campaign_type or "linear",
        version=row.version or 1,
        published_version=row.published_version,
        settings=row.settings or {},
    )


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


# --- show -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NodeCount:
    """One node: the states at it `now` (without failed ones), `failed` there, and `passed` it."""

    node_id: str
    node_type: str
    step_name: str
    now: int = 0
    failed: int = 0
    passed: int = 0


@dataclass(frozen=True, slots=True)
class CampaignDetail:
    """A campaign with its versions, enrollments by version, and nodes in breadth-first order.

    `lineage`: the campaign it was cloned from and its clones. `edit`: unpublished external changes,
    as last detected. `held`: messages that wait because of a rule, by version, node and rule.
    `guard`: what a guard of volume has stopped.
    """

    campaign: Campaign
    versions: list[VersionEntry]
    population: list[VersionPopulation]
    exits: list[ExitCount]
    nodes: list[NodeCount]
    lineage: list[RelatedCampaign]
    edit: RecordedDraft | None = None
    held: list[HeldCount] = field(default_factory=list)
    guard: GuardState | None = None


def list_campaigns(database: Database, *, workspace: str | None = None) -> list[ListedCampaign]:
    """Return all campaigns, or those of one workspace, with their enrollments by status."""
    with database.transaction(is_read_only=True) as connection:
        return campaigns_db.listed(connection, workspace)


def show_campaign(
    database: Database, name_or_id: str | UUID, *, now: datetime | None = None
) -> CampaignDetail:
    """Return the details of one campaign, read in one snapshot.

    With `now`, messages whose hold has ended do not count as held.
    """
    with database.transaction(is_read_only=True) as connection:
        campaign = find_campaign(connection, name_or_id)
        graph = None
        if campaign.published_version is not None:
            graph = version_cache.version(
                connection, campaign.campaign_id, campaign.published_version
            ).graph
        return CampaignDetail(
            campaign=campaign,
            versions=versions_db.history(connection, campaign.campaign_id),
            lineage=versions_db.lineage(connection, campaign.campaign_id),
            population=states_db.population(connection, campaign.campaign_id),
            exits=states_db.exits_by_reason(connection, campaign.campaign_id),
            nodes=_node_counts(connection, campaign.campaign_id, graph),
            held=held_db.held(connection, campaign.campaign_id, now),
            edit=drafts_db.recorded_draft(connection, campaign.campaign_id),
            guard=guards_db.state(connection, campaign.campaign_id, now),
        )


def _node_counts(
    connection: Connection, campaign_id: UUID, graph: CampaignGraph | None
) -> list[NodeCount]:
    now: dict[str, int] = {}
    failed: dict[str, int] = {}
    for node_id, status, states in campaigns_db.count_by_node(connection, campaign_id):
        if status == "failed":
            failed[node_id] = failed.get(node_id, 0) + states
        elif status in OPEN_STATUSES:
            now[node_id] = now.get(node_id, 0) + states
    passed = dict(campaigns_db.passed_by_node(connection, campaign_id))
    order = _breadth_first(graph) if graph else []
    # Nodes of older versions that have states, or had.
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


def _breadth_first(graph: CampaignGraph) -> list[str]:
    order = [graph.entry_node_id]
    seen = set(order)
    for node_id in order:  # grows while it is read
        for edge in graph.nodes[node_id].ports.values():
            if edge.target not in seen:
                seen.add(edge.target)
                order.append(edge.target)
    return order


# --- change ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StatusChange:
    """Result of pausing, resuming or archiving; `has_changed` is false if nothing had to change.

    `enrollments`: open enrollments that were paused, resumed or exited. `overdue`: states and
    deliveries whose due time was spread over `spread_minutes`.
    """

    campaign_id: UUID
    name: str
    status: str
    has_changed: bool
    enrollments: int
    overdue: int = 0
    spread_minutes: float = 0


def pause(
    database: Database,
    name_or_id: str | UUID,
    *,
    now: datetime,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> StatusChange:
    """Stop executing and sending a campaign; all states keep their position."""
    with database.transaction() as connection:
        campaign = find_campaign(connection, name_or_id)
        has_changed = _move(connection, campaign, "paused", ("active",), now)
        enrollments = _count_open(connection, campaign.campaign_id)
        if has_changed:
            audit.record(
                connection,
                actor,
                "pause",
                campaign.subject,
                now=now,
                reason=reason,
                details={"enrollments": enrollments},
            )
        return StatusChange(campaign.campaign_id, campaign.name, "paused", has_changed, enrollments)


def resume(
    database: Database,
    name_or_id: str | UUID,
    *,
    now: datetime,
    spread_minutes: float | None = None,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> StatusChange:
    """Resume a campaign; overdue work runs at once or is spread over `spread_minutes`.

    The default of `spread_minutes` is the campaign's setting `resume_spread_minutes`, or 0.
    Raises NotAllowed if the campaign's guard has paused it and no reason is given.
    """
    with database.transaction() as connection:
        campaign = find_campaign(connection, name_or_id)
        if spread_minutes is None:
            spread_minutes = float(campaign.settings.get("resume_spread_minutes") or 0)
        has_changed = _move(connection, campaign, "active", ("paused",), now)
        if has_changed and guards_db.end_pause(connection, campaign.campaign_id, now):
            _require_reason(campaign, reason)
        overdue = 0
        if has_changed and spread_minutes > 0:
            overdue = states_db.spread_overdue(
                connection,
                campaign.campaign_id,
                spread_seconds=spread_minutes * SECONDS_A_MINUTE,
                now=now,
            )
        enrollments = _count_open(connection, campaign.campaign_id)
        if has_changed:
            audit.record(
                connection,
                actor,
                "resume",
                campaign.subject,
                now=now,
                reason=reason,
                details={
                    "enrollments": enrollments,
                    "spread_minutes": spread_minutes if overdue else 0,
                },
            )
        return StatusChange(
            campaign.campaign_id,
            campaign.name,
            "active",
            has_changed,
            enrollments,
            overdue,
            spread_minutes if overdue else 0,
        )


def _require_reason(campaign: Campaign, reason: str | None) -> None:
    if not (reason or "").strip():
        raise NotAllowed(
            f"campaign {campaign.name!r} was paused by its guard; resuming it needs a reason",
            hint="`drip alerts list` says why it was paused. Once the cause is known, repeat it"
            " with --reason TEXT.",
        )


def pause_for_guard(connection: Connection, campaign_id: UUID, now: datetime) -> bool:
    """Pause an active campaign, and return whether it was active. The caller records it."""
    return campaigns_db.set_status(
        connection, campaign_id, "paused", from_statuses=("active",), now=now
    )


def archive(
    database: Database,
    name_or_id: str | UUID,
    *,
    now: datetime,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> StatusChange:
    """Archive a campaign; this cannot be undone.

    Open enrollments exit with the reason `campaign_archived`, pending messages are skipped, and the
    history gets its last version.
    """
    with database.transaction() as connection:
        campaign = find_campaign(connection, name_or_id)
        # The status first: its row lock blocks new enrollments until all open ones have exited.
        has_changed = _move(connection, campaign, "archived", ("draft", "active", "paused"), now)
        enrollments = 0
        if has_changed:
            enrollments = states_db.archive_open(connection, campaign.campaign_id, now)
            campaigns_db.snapshot_archived(connection, campaign.campaign_id, now)
            version = find_campaign(connection, campaign.campaign_id).version
            audit.record(
                connection,
                actor,
                "archive",
                campaign.subject,
                now=now,
                reason=reason,
                details={"enrollments": enrollments, "version": version},
            )
        return StatusChange(
            campaign.campaign_id, campaign.name, "archived", has_changed, enrollments
        )


_NOT_ALLOWED_BECAUSE: Final[Mapping[str, str]] = {
    "draft": "is a draft that was never published",
    "archived": "is archived; this cannot be undone",
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
        f"campaign {campaign.name!r} {_NOT_ALLOWED_BECAUSE.get(current, f'is {current}')}",
        hint="`drip campaign list` shows what state each campaign is in.",
    )


def _count_open(connection: Connection, campaign_id: UUID) -> int:
    return sum(
        row.states
        for row in campaigns_db.count_by_node(connection, campaign_id)
        if row.status in OPEN_STATUSES
    )
