"""The terms under which a campaign admits contacts: those of its published version."""

from __future__ import annotations

from dataclasses import dataclass

from drip_pipeline.db.campaigns import campaigns as campaigns_db
from drip_pipeline.db.connection import Connection
from drip_pipeline.domain.graph.exits import ExitRule
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import PerKey, ReEntry, TriggerConfig, channel_of
from drip_pipeline.domain.graph.volume import NO_GUARDS, VolumeGuards
from drip_pipeline.engine.campaigns import version_cache as graphs
from drip_pipeline.engine.campaigns.campaign import Campaign
from drip_pipeline.errors import NotAllowed


@dataclass(frozen=True, slots=True)
class EntryTerms:
    """The published version of a campaign, and the terms of entry; `is_by_call`: those of a call of
    its webhook trigger."""

    status: str
    version: int
    trigger: TriggerConfig
    channels: frozenset[str]
    reads_entry: bool
    topic: str | None = None
    guards: VolumeGuards = NO_GUARDS
    is_marketing: bool = True
    is_by_call: bool = False
    exits: tuple[ExitRule, ...] = ()

    @property
    def re_entry(self) -> ReEntry:
        """The re-entry policy."""
        return self.trigger.re_entry

    @property
    def key_path(self) -> str | None:
        """The path of the entry key in the entry data, None if it is not taken from there."""
        return self.re_entry.per_key if isinstance(self.re_entry, PerKey) else None


def lock_entry_terms(connection: Connection, campaign: Campaign) -> EntryTerms:
    """Lock and return a campaign's entry terms until the transaction ends.

    Raises NotAllowed if the campaign admits nobody.
    """
    locked = campaigns_db.lock_for_entry(connection, campaign.campaign_id)
    status, version = locked if locked is not None else ("gone", None)
    if status not in ("active", "paused") or version is None:
        raise NotAllowed(
            f"nobody can enter campaign {campaign.name!r}: it is"
            f" {'not published yet' if version is None else status}",
            hint="`drip campaign publish FILE` opens a campaign.",
        )
    graph = graphs.version(connection, campaign.campaign_id, version).graph
    return EntryTerms(
        status,
        version,
        graph.trigger,
        _channels(graph),
        graph.reads_entry(),
        graph.topic,
        graph.guards,
        graph.has_marketing(),
        exits=graph.exits,
    )


def _channels(graph: CampaignGraph) -> frozenset[str]:
    return frozenset(
        channel for node in graph.nodes.values() if (channel := channel_of(node.config))
    )


def check_key(
    campaign: Campaign, terms: EntryTerms, entry_key: str | None, *, has_data: bool = True
) -> None:
    """Raise NotAllowed if the campaign is entered once per key and the key is missing.

    A key that is taken from entry data is missing if there is no such data; otherwise contacts
    without a key are refused one by one.
    """
    if terms.key_path is not None and not entry_key and not has_data:
        raise NotAllowed(
            f"campaign {campaign.name!r} is entered once per {terms.key_path} of the entry data,"
            " and there is no entry data",
            hint="Give the data with --data, or a key with --entry-key.",
        )
    if terms.re_entry == "per_key" and not entry_key:
        raise NotAllowed(
            f"campaign {campaign.name!r} is entered once per key, and the key is missing",
            hint="Set a key with --entry-key, for example an order number.",
        )
