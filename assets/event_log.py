"""The log of everything that happened: written by every batch, in the batch's own transaction, and
by ingestion. No run makes it, so it is an external asset; the jobs report what they added.
"""

import dagster as dg

from drip_pipeline.orchestration.catalog import INGEST, OWNERS, stored_in, written_by
from drip_pipeline.orchestration.metadata.landing import LANDED_FILES
from drip_pipeline.orchestration.metadata.run import EVENT_LOG

campaign_events = dg.AssetSpec(
    EVENT_LOG,
    deps=[LANDED_FILES],
    group_name=INGEST,
    description="Every event of every campaign: nodes passed, messages sent, and what people did "
    "with them. The source of truth that outcomes and metrics are counted from. Partitioned by "
    "month in PostgreSQL; reported by each run of the minute or landing job that wrote to it.",
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
