"""The job that enrolls contacts that match an entry trigger.

`sensors/entry_triggers.py` decides when it starts. It is separate from the minute job, so that a
schedule for a million contacts does not delay running campaigns.
"""

# No `from __future__ import annotations` in modules with ops: Dagster reads the types of their
# parameters and would get strings.
from collections.abc import Sequence
from typing import Final

import dagster as dg

from drip_pipeline.engine.deadline import Deadline
from drip_pipeline.engine.enrollment.entry_triggers import NewEnrollments, run_entry_triggers
from drip_pipeline.orchestration.failures import RETRY_POLICY, translate_errors
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.metadata.common import Metadata, table
from drip_pipeline.orchestration.resources import EngineResource, RunClock

ENTRY_TRIGGERS_KIND: Final = "entry_triggers"


@dg.op(out=dg.Out(dg.Nothing), retry_policy=RETRY_POLICY, tags={"dagster/kind": "postgres"})
def enroll_matching_contacts(
    context: dg.OpExecutionContext, engine: EngineResource, clock: RunClock
) -> None:
    """Enroll contacts by tag, score, event and schedule, in chunks. The next run continues where
    the time of this run ends.
    """
    with translate_errors("enrolling by entry triggers"):
        reports = run_entry_triggers(
            engine.database,
            now=clock.current(),
            deadline=Deadline.after(clock.budget_seconds),
            progress=context.log.info,
        )
    context.add_output_metadata(enrolled_metadata(reports))


@dg.job(
    tags={KIND_TAG: ENTRY_TRIGGERS_KIND, "dagster/max_runtime": "120"},
    description="Enroll contacts that now match a campaign's entry trigger (tag, score, event, "
    "schedule). Safe to repeat and beside `drip run`: no contact enters twice.",
)
def enroll_by_triggers() -> None:
    """Run the only op."""
    enroll_matching_contacts()


def enrolled_metadata(reports: Sequence[NewEnrollments]) -> Metadata:
    """Return the enrollments of each campaign, and the refusals by reason."""
    rows = [
        {
            "campaign": one.campaign,
            "trigger": one.kind,
            "enrolled": one.enrolled,
            "already in": one.already_in,
            "refused": ", ".join(f"{count:,} {why}" for why, count in one.refused.items()) or "-",
        }
        for one in reports
    ]
    metadata: Metadata = {"enrolled": sum(one.enrolled for one in reports)}
    return metadata | ({"campaigns": table(rows)} if rows else {})
