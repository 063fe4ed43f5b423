"""The job that enrolls contacts that match an entry trigger. `sensors/entry_triggers.py` decides
when it starts. Apart from the minute job, so that a schedule for a million people holds nobody
else up.
"""

# No `from __future__ import annotations` where there are ops: Dagster reads the types of their
# parameters, and would find texts.
from typing import Any, Final

import dagster as dg

from drip_pipeline.engine.deadline import Deadline
from drip_pipeline.engine.enrollment.entry_triggers import NewEnrollments, run_entry_triggers
from drip_pipeline.orchestration.failures import RETRY_POLICY, translate_errors
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.metadata.common import table
from drip_pipeline.orchestration.resources import EngineResource, RunClock

ENTRY_TRIGGERS_KIND: Final = "entry_triggers"


@dg.op(out=dg.Out(dg.Nothing), retry_policy=RETRY_POLICY, tags={"dagster/kind": "postgres"})
def enroll_matching_contacts(
    context: dg.OpExecutionContext, engine: EngineResource, clock: RunClock
) -> None:
    """Let people into campaigns by tag, score, event and schedule, slice by slice. What the run's
    time does not suffice for, the next run goes on with.
    """
    with translate_errors("letting newcomers in"):
        reports = run_entry_triggers(
            engine.database,
            now=clock.moment(),
            deadline=Deadline.after(clock.budget_seconds),
            progress=context.log.info,
        )
    context.add_output_metadata(enrolled_metadata(reports))


@dg.job(
    tags={KIND_TAG: ENTRY_TRIGGERS_KIND, "dagster/max_runtime": "120"},
    description="Let in who came to match a campaign's entry trigger (tag, score, event, schedule) "
    "since the last look. Safe to repeat and beside `drip run`: nobody enters twice.",
)
def enroll_by_triggers() -> None:
    """One op."""
    enroll_matching_contacts()


def enrolled_metadata(reports: list[NewEnrollments]) -> dict[str, Any]:
    """How many entered which campaign, and why others did not."""
    rows = [
        {
            "campaign": one.campaign,
            "trigger": one.kind,
            "enrolled": one.enrolled,
            "already in": one.already_in,
            "refused": ", ".join(f"{people:,} {why}" for why, people in one.refused.items()) or "-",
        }
        for one in reports
    ]
    told: dict[str, Any] = {"enrolled": sum(one.enrolled for one in reports)}
    return told | ({"campaigns": table(rows)} if rows else {})
