"""What a simulation needs of a campaign file or of the database. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from drip_pipeline.channels.config import read_config
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.metrics import holdout as holdout_db
from drip_pipeline.db.metrics import simulation_inputs as inputs_db
from drip_pipeline.domain.compiler.analysis import analyze
from drip_pipeline.domain.compiler.api import compile_graph
from drip_pipeline.domain.definition.ab_test import ABTestConfig
from drip_pipeline.domain.definition.campaign_file import CampaignDefinition
from drip_pipeline.domain.graph.frequency_caps import FrequencyCap, longest_period
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import channel_of
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.campaigns.campaign import find_campaign
from drip_pipeline.engine.campaigns.version_cache import PublishedVersion
from drip_pipeline.engine.campaigns.workspace_rules import WorkspaceRules, rules_of
from drip_pipeline.engine.campaigns.workspaces import existing_workspace
from drip_pipeline.engine.in_memory.cap_count import CountedSend
from drip_pipeline.engine.publishing.campaign_folder import text_of_file
from drip_pipeline.engine.publishing.history import definition_of_version
from drip_pipeline.engine.publishing.template_folder import definition_of_file
from drip_pipeline.engine.simulation.population import run_id_of
from drip_pipeline.engine.simulation.reaction_rates import Measured
from drip_pipeline.engine.simulation.simulate import SimulatedPerson
from drip_pipeline.engine.transports.transport import load_rows
from drip_pipeline.errors import ChannelUnavailable, NotAllowed

MEASURED_DAYS: Final = 90
SETTLING_DAYS: Final = 3
"""Messages of the last days are left out: reactions to them are still to come."""
_WORKSPACE: Final = UUID(int=1)


@dataclass(frozen=True, slots=True)
class SimulatedCampaign:
    """A campaign, with what the database says of it. A file without a workspace has nothing of the
    database.

    `rates`: messages a second by channel. `others`: messages of other campaigns in an hour, by
    channel and hour of the week.
    """

    version: PublishedVersion
    test: ABTestConfig | None
    tested_split: str | None
    is_from_database: bool = False
    rules: WorkspaceRules = field(default_factory=WorkspaceRules)
    time_zone: str = "UTC"
    measured: Sequence[Measured] = ()
    rates: Mapping[str, float] = field(default_factory=dict)
    others: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    is_published: bool = False

    def channels(self) -> dict[str, str]:
        """Return the channels of the nodes that send messages, by node."""
        return channels_of(self.version.graph)


def channels_of(graph: CampaignGraph) -> dict[str, str]:
    """Return the channels of the nodes that send messages, by node."""
    return {
        node_id: channel
        for node_id, node in graph.nodes.items()
        if (channel := channel_of(node.config)) is not None
    }


def campaign_of_file(path: Path) -> SimulatedCampaign:
    """Return the campaign of a file. Raises DefinitionInvalid, ImportFileError, OSError."""
    definition = definition_of_file(path, text_of_file(path))
    graph = compile_graph(definition, {})
    campaign_id = uuid5(NAMESPACE_URL, definition.name)
    version = PublishedVersion(campaign_id, 1, definition.name, _WORKSPACE, graph)
    return _campaign(definition, version)


def campaign_of_database(database: Database, name_or_id: str, now: datetime) -> SimulatedCampaign:
    """Return the published version of a campaign, the rules of its workspace, what its log has
    measured, and the rates of its channels.

    Raises CampaignNotFound, CampaignAmbiguous, NotAllowed if it is not published.
    """
    with database.transaction(is_read_only=True) as connection:
        campaign = find_campaign(connection, name_or_id)
        if campaign.published_version is None:
            raise NotAllowed(
                f"campaign {campaign.name!r} is not published",
                hint="Publish it, or simulate its file: `drip campaign simulate FILE`.",
            )
        number = campaign.published_version
        version = version_cache.version(connection, campaign.campaign_id, number)
        definition = definition_of_version(connection, campaign, number)
        stored = _of_workspace(
            connection, campaign.workspace_id, campaign.campaign_id, version.graph, now
        )
    return replace(stored, **_parts(_campaign(definition, version)), is_published=True)


def with_workspace(
    database: Database, simulated: SimulatedCampaign, workspace: str | None, now: datetime
) -> SimulatedCampaign:
    """Return the campaign of a file as one of a workspace. Raises NotAllowed for an unknown one."""
    with database.transaction(is_read_only=True) as connection:
        workspace_id = existing_workspace(connection, workspace)
        stored = _of_workspace(connection, workspace_id, None, simulated.version.graph, now)
    version = replace(simulated.version, workspace_id=workspace_id)
    return replace(stored, **_parts(replace(simulated, version=version)))


def _of_workspace(
    connection: Connection,
    workspace_id: UUID,
    campaign_id: UUID | None,
    graph: CampaignGraph,
    now: datetime,
) -> SimulatedCampaign:
    """Return what the database says for a graph in a workspace; the version is a placeholder."""
    until = now - timedelta(days=SETTLING_DAYS)
    measured = inputs_db.measured_reactions(
        connection,
        workspace_id,
        campaign_id,
        since=until - timedelta(days=MEASURED_DAYS),
        until=until,
    )
    rates = {
        channel: rate
        for channel in sorted(set(channels_of(graph).values()))
        if (rate := _rate(connection, channel, workspace_id)) is not None
    }
    return SimulatedCampaign(
        PublishedVersion(_WORKSPACE, 1, "", workspace_id, graph),
        None,
        None,
        True,
        rules_of(connection, [workspace_id], now).get(workspace_id, WorkspaceRules()),
        holdout_db.time_zone(connection, workspace_id) or "UTC",
        [Measured._make(row) for row in measured],
        rates,
        _others(connection, workspace_id, campaign_id, now),
    )


def _parts(simulated: SimulatedCampaign) -> dict[str, Any]:
    return {
        "version": simulated.version,
        "test": simulated.test,
        "tested_split": simulated.tested_split,
    }


def sample(
    database: Database,
    workspace_id: UUID,
    number: int,
    *,
    seed: int,
    caps: tuple[FrequencyCap, ...] = (),
    now: datetime | None = None,
) -> list[SimulatedPerson]:
    """Return a sample of a workspace's contacts that may get messages.

    With caps, also the messages before `now` that count in them, of all campaigns.
    """
    sends: dict[UUID, list[CountedSend]] = {}
    with database.transaction(is_read_only=True) as connection:
        rows = inputs_db.sample(connection, workspace_id, seed=seed, most=number)
        if caps and now is not None:
            since = now - longest_period(caps)
            ids = [row.id for row in rows]
            for send in inputs_db.counted_sends(connection, ids, since=since):
                of_contact = sends.setdefault(send.contact_id, [])
                of_contact.append(CountedSend(send.counted_at, send.channel))
    return [
        SimulatedPerson(
            row.id, run_id_of(row.id), row._asdict(), sends=tuple(sends.get(row.id, ()))
        )
        for row in rows
    ]


def _campaign(definition: CampaignDefinition, version: PublishedVersion) -> SimulatedCampaign:
    analysis = analyze(definition)
    test = analysis.experiment
    return SimulatedCampaign(version, test, analysis.tested_split_id if test else None)


def _rate(connection: Connection, channel: str, workspace_id: UUID) -> float | None:
    """Return the messages a second of a channel's active accounts, None without a limit."""
    total = 0.0
    rows = load_rows(connection, channel, [workspace_id]).get(workspace_id, [])
    for row in rows:
        if not row.is_active:
            continue
        try:
            config = read_config(row.category, row.platform, row.specs, slug=row.slug)
        except ChannelUnavailable:
            continue
        per_hour = None if config.per_hour is None else config.per_hour / 3_600
        limits = [limit for limit in (config.per_second, per_hour) if limit is not None]
        if not limits:
            return None
        total += min(limits)
    return total or None


def _others(
    connection: Connection, workspace_id: UUID, campaign_id: UUID | None, now: datetime
) -> dict[str, dict[int, float]]:
    others: dict[str, dict[int, float]] = {}
    for row in inputs_db.sends_of_others(connection, workspace_id, campaign_id, until=now):
        others.setdefault(row.channel, {})[row.hour_of_week] = row.messages
    return others
