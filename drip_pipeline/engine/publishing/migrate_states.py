"""Migrate states that are pinned to earlier versions, after the publication of the new version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from drip_pipeline.db.campaigns import campaigns as campaigns_db
from drip_pipeline.db.connection import Database
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.campaigns.campaign import find_campaign
from drip_pipeline.engine.publishing import in_flight_policy
from drip_pipeline.engine.publishing.in_flight_policy import InFlightReport, VersionChange
from drip_pipeline.engine.publishing.publish_options import InFlightPolicy
from drip_pipeline.errors import NotAllowed


@dataclass(frozen=True, slots=True)
class StateMigrationReport:
    """Where the states of a campaign moved, or would move."""

    campaign_id: UUID
    name: str
    is_dry_run: bool
    in_flight: InFlightReport


def migrate_states(
    database: Database,
    name_or_id: str | UUID,
    *,
    now: datetime,
    from_versions: Sequence[int] | None = None,
    to_version: int | None = None,
    node_map: Mapping[str, str] | None = None,
    dry_run: bool = False,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> StateMigrationReport:
    """Move all states inside `from_versions` (default: all others) to `to_version` (published).

    Raises CampaignNotFound; VersionNotFound for a version that was never published; NotAllowed for
    an archived or unpublished campaign and for an invalid map; EnrollmentsStranded with all states
    that have no target node (a dry run reports them instead).
    """
    policy = InFlightPolicy("migrate", dict(node_map or {}))
    with database.transaction() as connection:
        campaign = find_campaign(connection, name_or_id)
        if campaign.published_version is None or campaign.status == "archived":
            why = "is archived" if campaign.status == "archived" else "was never published"
            raise NotAllowed(f"campaign {campaign.name!r} {why}: it has no active enrollments")
        target = campaign.published_version if to_version is None else to_version
        if from_versions is not None and target in from_versions:
            raise NotAllowed(f"version {target} is both a source and the target")
        for version in from_versions or ():
            version_cache.version(connection, campaign.campaign_id, version)
        graph = version_cache.version(connection, campaign.campaign_id, target).graph
        change = VersionChange(campaign.campaign_id, policy, target, graph, now, from_versions)
        if dry_run:
            report = in_flight_policy.preview(connection, change)
        else:
            in_flight_policy.lock_event_ingestion(connection, policy, graph)
            campaigns_db.lock(connection, campaign.campaign_id)
            report = in_flight_policy.apply(connection, change)
            if report.states:
                audit.record(
                    connection,
                    actor,
                    "migrate_enrollments",
                    campaign.subject,
                    now=now,
                    reason=reason,
                    details={"to_version": target, "enrollments": report.states},
                )
    return StateMigrationReport(campaign.campaign_id, campaign.name, dry_run, report)
