"""Event files of the landing folder.

An external asset, because other systems write the files; the loading job reports what it read.
"""

import dagster as dg

from drip_pipeline.orchestration.catalog import INGEST, OWNERS, stored_in, written_by
from drip_pipeline.orchestration.metadata.landing import LANDED_FILES

landed_files = dg.AssetSpec(
    LANDED_FILES,
    group_name=INGEST,
    description="Every file of the landing folder (DRIP_LANDING) that was read: size, lines, new "
    "events, duplicates, rejected lines by reason, or why it could not be read. A file in this "
    "table is not loaded again. Reported by each run of `load_event_files`.",
    owners=OWNERS,
    kinds={"postgres"},
    metadata={
        **stored_in("landed_files"),
        **written_by(
            rows="sql/queries/landing.sql",
            loading="drip_pipeline/engine/events/landing_folder.py",
        ),
    },
)
