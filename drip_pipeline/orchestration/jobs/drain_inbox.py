"""The job that takes in what the receiver put into the inbox; when it starts, the sensor in
`sensors/inbox_pending.py` decides.
"""

from typing import Final

import dagster as dg

from drip_pipeline.engine.events.drain_inbox import drain_inbox as drain
from drip_pipeline.orchestration.failures import translate_errors
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.resources import EngineResource, RunClock

INGESTION_KIND: Final = "inbox"
INGESTION_POOL: Final = "ingestion"
_SHOWN_REASONS: Final = 10


@dg.op(out=dg.Out(dg.Nothing), pool=INGESTION_POOL, tags={"dagster/kind": "postgres"})
def import_inbox(context: dg.OpExecutionContext, engine: EngineResource, clock: RunClock) -> None:
    """Read the payloads that are due and take in their events; what cannot be taken is kept with
    its reason.
    """
    with translate_errors("draining the inbox"):
        report = drain(engine.database, now=clock.moment(), max_seconds=clock.budget_seconds)
    reasons = list(report.reasons.items())[:_SHOWN_REASONS]
    context.add_output_metadata(
        {
            "payloads": report.rows,
            "events": report.accepted,
            "duplicates": report.duplicates,
            "people woken": report.resumed,
            "runs ended": report.ended,
            "not taken": report.rejected,
            "tried again later": report.again,
            "why not": ", ".join(f"{count} × {reason}" for reason, count in reasons) or "-",
        }
    )


@dg.job(
    tags={KIND_TAG: INGESTION_KIND, "dagster/max_runtime": "600"},
    description="Take in what the receiver put into the inbox: provider events, followed links, "
    "unsubscribes. Safe beside `drip inbox drain` and beside itself: an event counts once.",
)
def drain_inbox() -> None:
    """One op."""
    import_inbox()
