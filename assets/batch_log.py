"""The batch log: one row for each batch, written in the batch's own transaction.

An external asset, like the event log.
"""

import dagster as dg

from drip_pipeline.orchestration.catalog import DELIVERY, OWNERS, stored_in, written_by
from drip_pipeline.orchestration.metadata.run import BATCH_LOG, EVENT_LOG

batch_log = dg.AssetSpec(
    BATCH_LOG,
    deps=[EVENT_LOG],
    group_name=DELIVERY,
    description="One row for each executed batch: run and step, campaigns and nodes, enrollments "
    "by outcome, duration, error. `drip requeue --batch` and the job `requeue_failed` use its ids.",
    owners=OWNERS,
    kinds={"postgres"},
    metadata={
        **stored_in("campaign_batches"),
        **written_by(batches="sql/queries/batch_log.sql"),
    },
)
