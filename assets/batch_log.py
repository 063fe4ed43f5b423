"""The ledger of batches: a row for each, written in the batch's own transaction. An external asset,
like the log that it goes with.
"""

import dagster as dg

from drip_pipeline.orchestration.catalog import DELIVERY, OWNERS, stored_in, written_by
from drip_pipeline.orchestration.metadata.run import BATCH_LOG

batch_log = dg.AssetSpec(
    BATCH_LOG,
    group_name=DELIVERY,
    description="One row for every executed batch: run and step, campaigns and nodes, people by "
    "outcome, duration, error. `drip requeue --batch` and the job `requeue_failed` go by its ids.",
    owners=OWNERS,
    kinds={"postgres"},
    metadata={
        **stored_in("campaign_batches"),
        **written_by(batches="sql/queries/batch_log.sql"),
    },
)
