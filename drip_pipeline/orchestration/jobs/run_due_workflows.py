"""The minute job: plan → batches → messages per channel → reconcile.

Its ops are in `run_due_workflows_ops.py`. `sensors/due_steps.py` decides when it starts.
"""

from __future__ import annotations

from typing import Any, Final

import dagster as dg

from drip_pipeline.orchestration.jobs.run_due_workflows_ops import (
    CHANNELS,
    advance_batch,
    deliver_backlog,
    deliver_op,
    find_due_messages,
    plan,
    reconcile,
)
from drip_pipeline.orchestration.shards import ONE_SHARD, SHARD_TAG

KIND_TAG: Final = "drip/kind"
ENGINE_KIND: Final = "engine"
# Dagster ends a run that takes longer. A killed worker leaves its run "started", which would block
# the next runs; the enrollments that it had claimed are due again at once.
MAX_RUNTIME_SECONDS: Final = 120

_DELIVER_OPS: Final = {channel: deliver_op(channel) for channel in CHANNELS}


@dg.job(
    tags={
        KIND_TAG: ENGINE_KIND,
        SHARD_TAG: ONE_SHARD.key,
        "dagster/max_runtime": str(MAX_RUNTIME_SECONDS),
        # The work of a crashed run is due again at once, and the run of the next minute takes it.
        "dagster/max_retries": "0",
    },
    description="Advance all due enrollments and send all due messages, until nothing is due or "
    "the time is over. A failed batch stops no other; re-execution from failure repeats only the "
    "failed ones. Safe beside `drip run` and beside itself: no enrollment is advanced twice.",
)
def run_due_workflows() -> None:
    """Plan, advance in batches, deliver, reconcile."""
    planned: Any = plan()
    deliver_backlog(start=planned.backlog)
    advanced = planned.batches.map(lambda batch: advance_batch(start=batch)).collect()
    messages: Any = find_due_messages(start=advanced)
    delivered = [op(start=getattr(messages, channel)) for channel, op in _DELIVER_OPS.items()]
    reconcile(start=[messages.checked, *delivered])
