"""Cache of compiled graphs by (campaign, version).

A published version never changes, so a cached graph is valid for the life of the process. The least
recently used graph is dropped when the cache is full.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution import batch_context as batch_context_db
from drip_pipeline.db.publishing import attachments as attachments_db
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import EmailConfig
from drip_pipeline.errors import VersionNotFound

CACHED_VERSIONS: Final = 2_000


@dataclass(frozen=True, slots=True)
class PublishedVersion:
    """A version's graph, with the campaign name and workspace that messages contain, and the
    contents of its attachments by their hash."""

    campaign_id: UUID
    version: int
    campaign_name: str
    workspace_id: UUID
    graph: CampaignGraph
    attachments: Mapping[str, bytes] = field(default_factory=dict, repr=False, compare=False)


_cache: OrderedDict[tuple[UUID, int], PublishedVersion] = OrderedDict()
_lock = Lock()


def version(connection: Connection, campaign_id: UUID, number: int) -> PublishedVersion:
    """Return one published version.

    Raises VersionNotFound if it does not exist or was never published.
    """
    key = (campaign_id, number)
    with _lock:
        cached = _cache.get(key)
        if cached is not None:
            _cache.move_to_end(key)
            return cached
    row = batch_context_db.compiled_version(connection, campaign_id, number)
    if row is None or row.compiled_graph is None:
        raise VersionNotFound(
            str(campaign_id),
            number,
            hint="Publish the campaign again; enrolled contacts keep their position.",
        )
    graph = CampaignGraph.from_dict(row.compiled_graph)
    digests = attachment_digests(graph)
    loaded = PublishedVersion(
        campaign_id,
        number,
        row.campaign_name,
        row.workspace_id,
        graph,
        attachments_db.contents(connection, row.workspace_id, digests) if digests else {},
    )
    with _lock:
        _cache[key] = loaded
        while len(_cache) > CACHED_VERSIONS:
            _cache.popitem(last=False)
    return loaded


def attachment_digests(graph: CampaignGraph) -> list[str]:
    """Return the hashes of the attachments of a graph's emails."""
    return [
        each.sha256
        for node in graph.nodes.values()
        if isinstance(node.config, EmailConfig)
        for each in node.config.attachments or ()
        if each.sha256 is not None
    ]


def versions(
    connection: Connection, keys: Iterable[tuple[UUID, int]]
) -> dict[tuple[UUID, int], PublishedVersion]:
    """Return several published versions by (campaign, version)."""
    return {key: version(connection, *key) for key in set(keys)}
