"""The job that imports the events that the receiver stored in the inbox.

`sensors/inbox_pending.py` decides when it starts.
"""

from typing import Final

import dagster as dg

from drip_pipeline.domain.events.soft_bounces import SoftBounceLimit
from drip_pipeline.engine.events.drain_inbox import drain_inbox as drain
from drip_pipeline.orchestration.failures import translate_errors
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.resources import EngineResource, RunClock
from drip_pipeline.settings import Settings

INGESTION_KIND: Final = "inbox"
INGESTION_POOL: Final = "ingestion"
_MAX_REASONS: Final = 10


@dg.op(out=dg.Out(dg.Nothing), pool=INGESTION_POOL, tags={"dagster/kind": "postgres"})
def import_inbox(context: dg.OpExecutionContext, engine: EngineResource, clock: RunClock) -> None:
    """Import the events of the due payloads. Rejected events are stored with the reason."""
    with translate_errors("draining the inbox"):
        report = drain(
            engine.database,
            now=clock.current(),
            max_seconds=clock.budget_seconds,
            soft_bounces=SoftBounceLimit.of(Settings.from_env()),
        )
    reasons = list(report.reasons.items())[:_MAX_REASONS]
    context.add_output_metadata(
        {
            "payloads": report.rows,
            "events": report.accepted,
            "duplicates": report.duplicates,
            "waits_resumed": report.resumed,
            "enrollments_ended": report.ended,
            "rejected": report.rejected,
            "to_retry": report.again,
            "reject_reasons": ", ".join(f"{count} × {reason}" for reason, count in reasons) or "-",
        }
    )


@dg.job(
    tags={KIND_TAG: INGESTION_KIND, "dagster/max_runtime": "600"},
    description="Import what the receiver stored in the inbox: provider events, followed links, "
    "unsubscribes. Safe beside `drip inbox drain` and beside itself: an event counts once.",
)
def drain_inbox() -> None:
    """Run the only op."""
    import_inbox()
