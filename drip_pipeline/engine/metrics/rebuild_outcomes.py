"""Rebuilding message outcomes from the log, should they ever differ. Ingestion keeps them up to
date (`ingest.py`); whether they agree, `checks.py` tells.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import ingestion as events_db
from drip_pipeline.db.metrics import daily_metrics as metrics_db


def rebuild_outcomes(database: Database, days: Iterable[date]) -> int:
    """Put the outcomes of messages sent on these days (of their workspace's time zone) right where
    they differ from the log; how many differed. Their days are marked to be counted anew. Messages
    whose sending has been archived out of the log keep what they have.
    """
    corrected = 0
    for day in sorted(set(days)):
        with database.transaction() as connection:
            # Otherwise events that are being taken in would be overwritten by what was before them.
            events_db.lock(connection, range(events_db.INGESTION_PARTITIONS))
            corrected += metrics_db.rebuild_outcomes(connection, day)
    return corrected
