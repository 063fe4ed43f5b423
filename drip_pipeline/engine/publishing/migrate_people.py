"""Moving people who were pinned to an earlier version to another one, later on: the same rules as
when that one was published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from drip_pipeline.db.campaigns import campaigns as campaigns_db
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.campaigns import version_cache as graphs
from drip_pipeline.engine.campaigns.campaign import find_campaign
from drip_pipeline.engine.publishing import in_flight_policy as flight
from drip_pipeline.engine.publishing.in_flight_policy import InFlight, InFlightReport
from drip_pipeline.errors import NotAllowed


@dataclass(frozen=True, slots=True)
class MoveReport:
    """Where people of a campaign were moved, or would be."""

    campaign_id: UUID
    name: str
    is_dry_run: bool
    in_flight: InFlightReport


def move_people(
    database: Database,
    name_or_id: str | UUID,
    *,
    now: datetime,
    from_versions: Sequence[int] | None = None,
    to_version: int | None = None,
    node_map: Mapping[str, str] | None = None,
    dry_run: bool = False,
) -> MoveReport:
    """Move everybody inside the given versions (default: all others) to one version (default: the
    one newcomers enter).

    Raises CampaignNotFound; VersionNotFound for a version that was never published; NotAllowed for
    an archived or unpublished campaign and for a wrong map; EnrollmentsStranded with every
    enrollment without a target node (a dry run reports them instead).
    """
    wanted = InFlight("migrate", dict(node_map or {}))
    with database.transaction() as connection:
        campaign = find_campaign(connection, name_or_id)
        if campaign.published_version is None or campaign.status == "archived":
            why = "is archived" if campaign.status == "archived" else "was never published"
            raise NotAllowed(f"campaign {campaign.name!r} {why}: nobody is inside it")
        target = campaign.published_version if to_version is None else to_version
        if from_versions is not None and target in from_versions:
            raise NotAllowed(f"version {target} is where they are to go, and where they come from")
        for version in from_versions or ():
            graphs.version(connection, campaign.campaign_id, version)
        graph = graphs.version(connection, campaign.campaign_id, target).graph
        if not dry_run:
            flight.hold_arrivals(connection, wanted, graph)
            campaigns_db.lock(connection, campaign.campaign_id)
        act = flight.preview if dry_run else flight.apply
        report = act(
            connection,
            campaign.campaign_id,
            wanted,
            graph,
            to_version=target,
            from_versions=from_versions,
            now=now,
        )
    return MoveReport(campaign.campaign_id, campaign.name, dry_run, report)
