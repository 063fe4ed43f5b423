"""Import a suppression list from a file of addresses. An import never removes entries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.db.contacts import suppressions as suppressions_db
from drip_pipeline.db.contacts.suppressions import Suppression, WorkspaceCampaign
from drip_pipeline.engine.campaigns.workspaces import workspace_named
from drip_pipeline.engine.contacts.file_formats import ContactFile, open_contact_file
from drip_pipeline.engine.contacts.row_parser import is_address
from drip_pipeline.errors import ImportFileError

REASONS: Final = ("unsubscribed", "bounced", "complained", "manual")
CHANNELS: Final = ("email", "sms")
CHUNK_ROWS: Final = 20_000
_ADDRESS_COLUMNS: Final = ("address", "email", "phone")
_SHOWN_REJECTIONS: Final = 10


@dataclass(frozen=True, slots=True)
class SuppressionReport:
    """rows = added + already + all rejected. `first_rejected`: (line, reason)."""

    source: str
    workspace_id: UUID
    rows: int
    added: int
    already: int
    rejected: Mapping[str, int]
    first_rejected: tuple[tuple[int, str], ...] = ()


def import_suppressions(
    database: Database, path: Path, *, now: datetime, workspace: str | None = None
) -> SuppressionReport:
    """Add the addresses of a CSV or Parquet file to a workspace's suppression list.

    Columns: `address` (or `email`, `phone`), and optionally `reason` (default `manual`), `channel`
    (email or sms; empty: all channels), `campaign` (name or id; empty: all campaigns). Raises
    ImportFileError for a file without addresses, NotAllowed for an ambiguous workspace.
    """
    file = open_contact_file(path)
    with database.transaction() as connection:
        workspace_id = workspace_named(connection, workspace)
        campaigns = suppressions_db.campaigns(connection, workspace_id)
    reader = _SuppressionRows(file, campaigns)
    suppressions: list[Suppression] = []
    rejected: list[tuple[int, str]] = []
    for line, cells in file.lines():
        row = cells if isinstance(cells, str) else reader.read(cells)
        if isinstance(row, str):
            rejected.append((line, row))
        else:
            suppressions.append(row)
    added = 0
    for first in range(0, len(suppressions), CHUNK_ROWS):
        with database.transaction() as connection:
            chunk = suppressions[first : first + CHUNK_ROWS]
            added += suppressions_db.insert(connection, workspace_id, chunk, now=now)
    return SuppressionReport(
        source=path.name,
        workspace_id=workspace_id,
        rows=len(suppressions) + len(rejected),
        added=added,
        already=len(suppressions) - added,
        rejected=dict(Counter(reason for _, reason in rejected).most_common()),
        first_rejected=tuple(rejected[:_SHOWN_REJECTIONS]),
    )


class _SuppressionRows:
    """Parser of the rows of one file."""

    def __init__(self, file: ContactFile, campaigns: Sequence[WorkspaceCampaign]) -> None:
        index_of = {name.strip().lower(): index for index, name in enumerate(file.columns)}
        self._addresses = [index_of[name] for name in _ADDRESS_COLUMNS if name in index_of]
        if not self._addresses:
            raise ImportFileError(
                str(file.path),
                "has no column `address`, `email` or `phone`",
                hint="The first line must be a header.",
            )
        self._reason = index_of.get("reason")
        self._channel = index_of.get("channel")
        self._campaign = index_of.get("campaign")
        self._campaigns: dict[str, list[UUID]] = {}
        for campaign_id, name in campaigns:
            self._campaigns.setdefault(name, []).append(campaign_id)
            self._campaigns.setdefault(str(campaign_id), []).append(campaign_id)

    def read(self, cells: Sequence[object]) -> Suppression | str:
        """Parse a row. Returns the reason if it is rejected."""
        addresses = (_cell(cells, index) for index in self._addresses)
        address = next((text for text in addresses if text), "")
        reason = _cell(cells, self._reason).lower() or "manual"
        channel = _cell(cells, self._channel).lower() or None
        campaign = _cell(cells, self._campaign)
        if not address:
            return "no_address"
        if not address.isprintable() or ("@" in address and not is_address(address)):
            return "invalid_address"
        if reason not in REASONS:
            return "invalid_reason"
        if channel is not None and channel not in CHANNELS:
            return "invalid_channel"
        campaign_ids = self._campaigns.get(campaign, [])
        if campaign and len(campaign_ids) != 1:
            return "ambiguous_campaign" if campaign_ids else "unknown_campaign"
        return Suppression(address, reason, channel, campaign_ids[0] if campaign else None)


def _cell(cells: Sequence[object], index: int | None) -> str:
    value = None if index is None else cells[index]
    return "" if value is None else str(value).strip()
