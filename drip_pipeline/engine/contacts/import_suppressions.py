"""Import a suppression list from a file of addresses. An import never removes entries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from drip_pipeline.db.campaigns import workspaces as workspaces_db
from drip_pipeline.db.connection import Database
from drip_pipeline.db.contacts import suppressions as suppressions_db
from drip_pipeline.db.contacts.suppressions import Suppression, WorkspaceCampaign
from drip_pipeline.domain.addresses import INVALID_EMAIL, Unusable, clean, parse_email, parse_phone
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.campaigns.workspaces import workspace_named
from drip_pipeline.engine.contacts.file_formats import open_contact_file
from drip_pipeline.engine.contacts.suppression_columns import (
    CHANNELS,
    REASONS,
    SuppressionColumns,
    is_not_suppressed,
    reason_of_text,
)
from drip_pipeline.redaction import redact

CHUNK_ROWS: Final = 20_000
NOT_SUPPRESSED: Final = "not_suppressed"
"""Reason code of a row of a full export whose address may be written to."""
_SHOWN_REJECTIONS: Final = 10
_MAX_NOTE_CHARACTERS: Final = 500


@dataclass(frozen=True, slots=True)
class SuppressionReport:
    """The result: rows = all `reasons` (of rows taken) + all `rejected`.

    A row may be an entry for each of two channels; `added` and `already` count entries. `columns`
    are the columns of the file that were read, by meaning. `first_rejected`: (line, reason).
    """

    source: str
    workspace_id: UUID
    rows: int
    added: int
    already: int
    reasons: Mapping[str, int]
    columns: Mapping[str, str]
    rejected: Mapping[str, int]
    first_rejected: tuple[tuple[int, str], ...] = ()

    @property
    def took_nothing(self) -> bool:
        """Whether there were rows to take and none could be."""
        return self.added + self.already == 0 and self.rows > self.rejected.get(NOT_SUPPRESSED, 0)


def import_suppressions(
    database: Database,
    path: Path,
    *,
    now: datetime,
    workspace: str | None = None,
    renames: Mapping[str, str] | None = None,
    actor: Actor = LIBRARY,
    why: str | None = None,
) -> SuppressionReport:
    """Add the addresses of a CSV or Parquet file to a workspace's suppression list.

    Columns are read by their meaning (suppression_columns.py); `renames` maps columns to fields. A
    row without a reason has the one that the columns or the name of the file tell, or `manual`; an
    unknown reason becomes `manual`, with its text as the note. Without a channel (email or sms) an
    address is suppressed on all channels, without a campaign (name or id) for all campaigns. `why`:
    the reason of the import, for the audit trail. Raises
    ImportFileError for a file without addresses, NotAllowed for an ambiguous workspace.
    """
    file = open_contact_file(path)
    columns = SuppressionColumns(file, renames or {})
    with database.transaction() as connection:
        workspace_id = workspace_named(connection, workspace)
        campaigns = suppressions_db.campaigns(connection, workspace_id)
        region = workspaces_db.regions(connection, [workspace_id])[workspace_id]
    reader = _SuppressionRows(columns, campaigns, region)
    suppressions: list[Suppression] = []
    rejected: list[tuple[int, str]] = []
    taken: Counter[str] = Counter()
    rows = 0
    for line, cells in file.lines():
        rows += 1
        row = cells if isinstance(cells, str) else reader.read(cells)
        if isinstance(row, str):
            rejected.append((line, row))
        else:
            suppressions += row
            taken[row[0].reason] += 1
    added = 0
    action_id = uuid4()
    for first in range(0, len(suppressions), CHUNK_ROWS):
        with database.transaction() as connection:
            chunk = suppressions[first : first + CHUNK_ROWS]
            added += suppressions_db.insert(connection, workspace_id, chunk, now=now)
            if added:
                audit.record(
                    connection,
                    actor,
                    "import_suppressions",
                    audit.Subject("workspace", workspace_id, workspace_id, workspace),
                    now=now,
                    reason=why,
                    details={"file": redact(path.name), "added": added},
                    action_id=action_id,
                )
    return SuppressionReport(
        source=path.name,
        workspace_id=workspace_id,
        rows=rows,
        added=added,
        already=len(suppressions) - added,
        reasons=dict(taken.most_common()),
        columns={
            field: ", ".join(file.columns[index] for index in indices)
            for field, indices in columns.fields.items()
        },
        rejected=dict(Counter(reason for _, reason in rejected).most_common()),
        first_rejected=tuple(rejected[:_SHOWN_REJECTIONS]),
    )


class _SuppressionRows:
    """Parser of the rows of one file."""

    def __init__(
        self,
        columns: SuppressionColumns,
        campaigns: Sequence[WorkspaceCampaign],
        region: str | None,
    ) -> None:
        self._columns = columns
        self._region = region
        self._campaigns: dict[str, list[UUID]] = {}
        for campaign_id, name in campaigns:
            self._campaigns.setdefault(name, []).append(campaign_id)
            self._campaigns.setdefault(str(campaign_id), []).append(campaign_id)

    def read(self, cells: Sequence[object]) -> list[Suppression] | str:
        """Parse a row into one entry, or one per channel. Returns the reason if it is rejected."""
        texts = ["" if cell is None else str(cell).strip() for cell in cells]
        if any("\0" in text or not _is_unicode(text) for text in texts):
            return "unreadable_line"
        statuses = self._texts("reason", texts)
        channels = self._columns.flagged(texts)
        if channels == [] or (statuses and all(is_not_suppressed(text) for text in statuses)):
            return NOT_SUPPRESSED
        campaign = next(iter(self._texts("campaign", texts)), "")
        campaign_ids = self._campaigns.get(campaign, [])
        if campaign and len(campaign_ids) != 1:
            return "ambiguous_campaign" if campaign_ids else "unknown_campaign"
        if channels is None:
            channel = next(iter(self._texts("channel", texts)), "").lower() or None
            if channel is not None and channel not in CHANNELS:
                return "invalid_channel"
            asked: Sequence[str | None] = [channel]
        else:
            asked = channels
        reason, note = self._reason(statuses, texts, is_flagged=channels is not None)
        entries: list[Suppression] = []
        for channel in asked:
            address = self._address(texts, channel)
            if isinstance(address, Unusable):
                return address.reason
            entries.append(
                Suppression(address, reason, channel, campaign_ids[0] if campaign else None, note)
            )
        return entries

    def _texts(self, field: str, texts: Sequence[str]) -> list[str]:
        cells = (texts[index] for index in self._columns.fields.get(field, ()))
        return [text for text in cells if text]

    def _reason(
        self, statuses: Sequence[str], texts: Sequence[str], *, is_flagged: bool
    ) -> tuple[str, str | None]:
        named = (reason for text in statuses if (reason := reason_of_text(text)))
        reason = next(named, None) or self._columns.default_reason
        if reason is None:
            reason = "unsubscribed" if is_flagged else "manual"
        own = [text for text in statuses if text.lower() not in REASONS]
        note = "; ".join([*own, *self._texts("note", texts)])
        return reason, redact(note)[:_MAX_NOTE_CHARACTERS] or None

    def _address(self, texts: Sequence[str], channel: str | None) -> str | Unusable:
        emails, phones = self._columns.addresses
        in_order: Iterable[int] = [*phones, *emails] if channel == "sms" else [*emails, *phones]
        for index in in_order:
            if text := texts[index]:
                if index in phones or "@" not in text:
                    return _phone(text, self._region, is_phone=index in phones)
                # An address that cannot be sent to is suppressed like any other.
                return (
                    Unusable("invalid_address")
                    if parse_email(text) is INVALID_EMAIL
                    else clean(text)
                )
        return Unusable("no_address")


def _phone(text: str, region: str | None, *, is_phone: bool) -> str | Unusable:
    number = parse_phone(text, region)
    if isinstance(number, Unusable) and not is_phone and not any(c.isdigit() for c in text):
        return Unusable("invalid_address")
    return number


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a byte that is not UTF-8
        return False
    return True
