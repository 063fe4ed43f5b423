"""Retry or discard payloads of the inbox, as an operator decides."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import inbox as inbox_db
from drip_pipeline.engine.audit import LIBRARY, Actor, Subject, record
from drip_pipeline.errors import NotFound

_PAYLOADS = Subject("payload", None)


def retry_payloads(
    database: Database,
    *,
    now: datetime,
    ids: Sequence[int] | None = None,
    provider: str | None = None,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> int:
    """Make rejected payloads pending again: these, or all of a provider. Return their number."""
    with database.transaction() as connection:
        rows = inbox_db.retry(connection, ids=ids, provider=provider, now=now)
        if rows:
            details = {"payloads": rows, "provider": provider, "ids": ids and list(ids)}
            record(
                connection,
                actor,
                "retry_payloads",
                _PAYLOADS,
                now=now,
                reason=reason,
                details=details,
            )
    return rows


def discard_payloads(
    database: Database,
    ids: Sequence[int],
    *,
    now: datetime,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> int:
    """Give up pending or rejected payloads. Return their number.

    Raises NotFound for ids that are neither; the others are discarded.
    """
    with database.transaction() as connection:
        discarded = inbox_db.discard(connection, ids, now=now)
        if discarded:
            details = {"payloads": len(discarded), "ids": sorted(discarded)}
            record(
                connection,
                actor,
                "discard_payloads",
                _PAYLOADS,
                now=now,
                reason=reason,
                details=details,
            )
    missing = sorted(set(ids) - set(discarded))
    if missing:
        raise NotFound(
            "pending or rejected payload",
            ", ".join(map(str, missing)),
            hint=f"{len(discarded):,} others were discarded. `drip inbox status` lists them.",
        )
    return len(discarded)
