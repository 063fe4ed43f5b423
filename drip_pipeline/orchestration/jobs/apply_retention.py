"""The nightly job that archives and deletes by age; when it starts, `sensors/nightly_retention.py`
says. The same as `drip retention run`.
"""

# No `from __future__ import annotations` where there are ops: Dagster reads the types of their
# parameters, and would find texts.
import dagster as dg
from pydantic import Field

from drip_pipeline.engine.operations.run_retention import run_retention
from drip_pipeline.orchestration.failures import RETRY_POLICY, translate_errors
from drip_pipeline.orchestration.metadata.common import counts
from drip_pipeline.orchestration.resources import EngineResource, RunClock
from drip_pipeline.settings import Settings


class RetentionConfig(dg.Config):
    """Whether to look only."""

    dry_run: bool = Field(default=False, description="Say what would go, and change nothing.")


@dg.op(out=dg.Out(dg.Nothing), retry_policy=RETRY_POLICY, tags={"dagster/kind": "postgres"})
def archive_and_delete(
    context: dg.OpExecutionContext, config: RetentionConfig, engine: EngineResource, clock: RunClock
) -> None:
    """Archive months of the event log to Parquet, delete what is older than DRIP_RETENTION says,
    and prune Dagster's own runs, events and ticks.
    """
    with translate_errors("retention"):
        done = run_retention(
            Settings.from_env(), engine.database, now=clock.moment(), dry_run=config.dry_run,
            progress=context.log.info,
        )  # fmt: skip
    context.add_output_metadata(
        {
            "archived": counts(done.engine.archived, "file", "events"),
            "deleted": counts(done.engine.deleted, "table", "rows"),
            "months still needed or in use": len(done.engine.months_waiting),
            "dagster_runs": done.dagster.runs,
            "dagster_events": done.dagster.events,
            "dagster_ticks": done.dagster.ticks,
        }
    )


@dg.job(
    tags={"drip/kind": "retention", "dagster/max_runtime": "3600"},
    description="Archive and delete what is older than DRIP_RETENTION says, Dagster's own runs, "
    "events and ticks included. Safe to repeat and to interrupt.",
)
def apply_retention() -> None:
    """One op."""
    archive_and_delete()
