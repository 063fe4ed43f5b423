"""What became of each message, and of each batch: tables that batches keep up to date as they
commit. External assets, like the log that they go with.
"""

import dagster as dg

from drip_pipeline.orchestration.catalog import DELIVERY, OWNERS, stored_in, written_by
from drip_pipeline.orchestration.run_report import BATCH_LEDGER, EVENT_LOG, MESSAGE_OUTCOMES

message_outcomes = dg.AssetSpec(
    MESSAGE_OUTCOMES,
    deps=[EVENT_LOG],
    group_name=DELIVERY,
    description="One row a message: sent, delivered, first opened and clicked (machines apart), "
    "replied, converted, unsubscribed, bounced. A row is made when the message goes out, and "
    "provider events bring it up to date in whatever order they arrive.",
    owners=OWNERS,
    kinds={"postgres"},
    metadata={
        **stored_in("campaign_message_outcomes"),
        **written_by(deliveries="sql/queries/deliveries.sql", ingestion="sql/queries/events.sql"),
    },
)

batch_ledger = dg.AssetSpec(
    BATCH_LEDGER,
    group_name=DELIVERY,
    description="One row for every executed batch: run and step, campaigns and nodes, people by "
    "outcome, duration, error. `drip requeue --batch` and the job `requeue_failed` go by its ids.",
    owners=OWNERS,
    kinds={"postgres"},
    metadata={
        **stored_in("campaign_batches"),
        **written_by(batches="sql/queries/ledger.sql"),
    },
)
