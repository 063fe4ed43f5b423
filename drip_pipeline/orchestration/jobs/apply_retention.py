"""The nightly job that archives and deletes by age, as `drip retention run` does.

`sensors/nightly_retention.py` has its schedule.
"""

# No `from __future__ import annotations` in modules with ops: Dagster reads the types of their
# parameters and would get strings.
import dagster as dg
from pydantic import Field

from drip_pipeline.engine.operations.run_retention import run_retention
from drip_pipeline.orchestration.failures import RETRY_POLICY, translate_errors
from drip_pipeline.orchestration.metadata.common import counts
from drip_pipeline.orchestration.resources import EngineResource, RunClock
from drip_pipeline.settings import Settings


class RetentionConfig(dg.Config):
    """Options of a retention run."""

    dry_run: bool = Field(
        default=False, description="Report what would be removed; change nothing."
    )


@dg.op(out=dg.Out(dg.Nothing), retry_policy=RETRY_POLICY, tags={"dagster/kind": "postgres"})
def archive_and_delete(
    context: dg.OpExecutionContext, config: RetentionConfig, engine: EngineResource, clock: RunClock
) -> None:
    """Archive months of the event log to Parquet, delete what is older than DRIP_RETENTION, and
    prune Dagster's own runs, events and ticks.
    """
    with translate_errors("retention"):
        report = run_retention(
            Settings.from_env(), engine.database, now=clock.current(), dry_run=config.dry_run,
            progress=context.log.info,
        )  # fmt: skip
    context.add_output_metadata(
        {
            "archived": counts(report.engine.archived, "file", "events"),
            "deleted": counts(report.engine.deleted, "table", "rows"),
            "months_still_needed_or_in_use": len(report.engine.months_waiting),
            "dagster_runs": report.dagster.runs,
            "dagster_events": report.dagster.events,
            "dagster_ticks": report.dagster.ticks,
        }
    )


@dg.job(
    tags={"drip/kind": "retention", "dagster/max_runtime": "3600"},
    description="Archive and delete what is older than DRIP_RETENTION, including Dagster's own "
    "runs, events and ticks. Safe to repeat and to interrupt.",
)
def apply_retention() -> None:
    """Run the only op."""
    archive_and_delete()
