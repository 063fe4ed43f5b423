"""The minute job: plan → batches → messages per channel → reconcile. Its order and tags stand here,
its ops in `minute_ops.py`; when it starts, `sensors/due_steps.py` decides.
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
from drip_pipeline.orchestration.shards import ALL_PEOPLE, SHARD_TAG

KIND_TAG: Final = "drip/kind"
ENGINE_KIND: Final = "engine"
# Dagster ends a run that takes longer. A worker that was killed leaves its run "started", and that
# would keep the next ones waiting; the people it had claimed were due again at once.
MAX_RUNTIME_SECONDS: Final = 120

_DELIVER_OPS: Final = {channel: deliver_op(channel) for channel in CHANNELS}


@dg.job(
    tags={
        KIND_TAG: ENGINE_KIND,
        SHARD_TAG: ALL_PEOPLE.key,
        "dagster/max_runtime": str(MAX_RUNTIME_SECONDS),
        # What a crashed run left is due again at once, and the next minute's run takes it.
        "dagster/max_retries": "0",
    },
    description="Advance everybody who is due and hand over what is to be sent, until nothing is "
    "due or the time is over. A batch that fails stops no other; re-execution from failure repeats "
    "just those that failed. Safe beside `drip run` and beside itself: nobody is moved twice.",
)
def run_due_workflows() -> None:
    """Plan, advance in batches, deliver, reconcile."""
    planned: Any = plan()
    deliver_backlog(start=planned.backlog)
    advanced = planned.batches.map(lambda batch: advance_batch(start=batch)).collect()
    messages: Any = find_due_messages(start=advanced)
    delivered = [op(start=getattr(messages, channel)) for channel, op in _DELIVER_OPS.items()]
    reconcile(start=[messages.looked, *delivered])
