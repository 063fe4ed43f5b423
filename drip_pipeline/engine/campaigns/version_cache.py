"""Compiled graphs by (campaign, version). A published version never changes, so what was read once
is kept for the life of the process, up to a number of versions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution import batch_context as facts_db
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.errors import VersionNotFound

KEPT_VERSIONS: Final = 2_000


@dataclass(frozen=True, slots=True)
class PublishedVersion:
    """A version's graph with what messages say about its campaign."""

    campaign_id: UUID
    version: int
    campaign_name: str
    workspace_id: UUID
    graph: CampaignGraph


_kept: OrderedDict[tuple[UUID, int], PublishedVersion] = OrderedDict()
_lock = Lock()


def version(connection: Connection, campaign_id: UUID, number: int) -> PublishedVersion:
    """One published version. Raises VersionNotFound when there is none or it was never
    published."""
    key = (campaign_id, number)
    with _lock:
        found = _kept.get(key)
        if found is not None:
            _kept.move_to_end(key)
            return found
    row = facts_db.compiled_graph(connection, campaign_id, number)
    if row is None or row["compiled_graph"] is None:
        raise VersionNotFound(
            str(campaign_id),
            number,
            hint="Publish the campaign again; its people stay where they are.",
        )
    loaded = PublishedVersion(
        campaign_id,
        number,
        row["campaign_name"],
        row["workspace_id"],
        CampaignGraph.from_dict(row["compiled_graph"]),
    )
    with _lock:
        _kept[key] = loaded
        while len(_kept) > KEPT_VERSIONS:
            _kept.popitem(last=False)
    return loaded


def versions(
    connection: Connection, keys: Iterable[tuple[UUID, int]]
) -> dict[tuple[UUID, int], PublishedVersion]:
    """Several published versions by (campaign, version)."""
    return {key: version(connection, *key) for key in set(keys)}
