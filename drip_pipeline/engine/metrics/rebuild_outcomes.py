"""Rebuilding message outcomes from the log if they differ. Ingestion (`ingest.py`) updates
outcomes; `invariants.py` checks that they agree with the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import ingestion as events_db
from drip_pipeline.db.metrics import daily_metrics as metrics_db


def rebuild_outcomes(database: Database, days: Iterable[date]) -> int:
    """Correct the outcomes of messages sent on these days (in their workspace's time zone) that
    differ from the log; return their number. Their days are marked stale. Messages with an archived
    sending event keep their outcomes.
    """
    corrected = 0
    for day in sorted(set(days)):
        with database.transaction() as connection:
            # Without the lock, events that are being ingested would be overwritten.
            events_db.lock(connection, range(events_db.INGESTION_PARTITIONS))
            corrected += metrics_db.rebuild_outcomes(connection, day)
    return corrected
