"""The files of events that were put into the landing folder. Providers and people make them, and
the landing job reports what it read: an external asset.
"""

import dagster as dg

from drip_pipeline.orchestration.catalog import INGEST, OWNERS, stored_in, written_by
from drip_pipeline.orchestration.metadata.landing import LANDED_FILES

landed_files = dg.AssetSpec(
    LANDED_FILES,
    group_name=INGEST,
    description="Every file of the landing folder (DRIP_LANDING) that was read: its size, lines, "
    "new events, duplicates, lines set aside by reason, or why it could not be read. The ledger "
    "by which a file is loaded once. Reported by each run of `load_event_files`.",
    owners=OWNERS,
    kinds={"postgres"},
    metadata={
        **stored_in("landed_files"),
        **written_by(
            ledger="sql/queries/landing.sql",
            verb="drip_pipeline/engine/events/landing_folder.py",
        ),
    },
)
