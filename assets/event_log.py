"""The event log: written by every batch, in the batch's own transaction, and by ingestion.

An external asset, because no run materializes it; the jobs report the events that they added.
"""

import dagster as dg

from drip_pipeline.orchestration.catalog import INGEST, OWNERS, stored_in, written_by
from drip_pipeline.orchestration.metadata.landing import LANDED_FILES
from drip_pipeline.orchestration.metadata.run import EVENT_LOG

campaign_events = dg.AssetSpec(
    EVENT_LOG,
    deps=[LANDED_FILES],
    group_name=INGEST,
    description="Every event of every campaign: nodes passed, messages sent, and engagement "
    "events. The source from which outcomes and metrics are computed. Partitioned by month in "
    "PostgreSQL. Reported by each run of `run_due_workflows` and `load_event_files` that added "
    "events.",
    owners=OWNERS,
    kinds={"postgres"},
    metadata={
        **stored_in("campaign_events"),
        **written_by(
            batches="sql/queries/workflow_states.sql",
            deliveries="sql/queries/deliveries.sql",
            ingestion="sql/queries/events.sql",
        ),
    },
)
