"""The job that loads files of the landing folder; when, `sensors/imported_files.py` decides."""

# No `from __future__ import annotations` where there are ops: Dagster reads the types of their
# parameters, and would find texts.
from typing import Final

import dagster as dg
from pydantic import Field

from drip_pipeline.engine.events.landing_folder import load_files
from drip_pipeline.orchestration.failures import RETRY_POLICY, translate_errors
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.metadata.landing import report_loaded
from drip_pipeline.orchestration.resources import EngineResource, RunClock
from drip_pipeline.settings import Settings

LANDING_KIND: Final = "landing"
_LONGEST_SECONDS: Final = "14400"


class LandingConfig(dg.Config):
    """Which files to load."""

    files: dict[str, str] = Field(
        description="Path within the landing folder → size and time of change as they were seen, "
        "as in `ses/monday.ndjson: 1024:1767603600000000000`. A file that has changed since is "
        "left for a later run.",
    )


@dg.op(
    out=dg.Out(dg.Nothing),
    pool="ingestion",
    retry_policy=RETRY_POLICY,
    tags={"dagster/kind": "postgres"},
)
def load_landed_files(
    context: dg.OpExecutionContext, config: LandingConfig, engine: EngineResource, clock: RunClock
) -> None:
    """Load the files one after the other: events once each, lines that cannot be taken kept aside
    with their reasons. A file that cannot be read is told by name at the end.
    """
    done = []
    with translate_errors("loading event files"):
        for file in load_files(
            engine.database,
            Settings.from_env().landing_folder(),
            config.files,
            now=clock.moment(),
            run_id=context.run_id,
            progress=context.log.debug,
        ):
            context.log.info("%s: %d lines, %d new events", file.path, file.lines, file.accepted)
            done.append(file)
    report_loaded(context, done)


@dg.job(
    tags={KIND_TAG: LANDING_KIND, "dagster/max_runtime": _LONGEST_SECONDS},
    description="Load files of events from the landing folder. Each is loaded once and stands in "
    "the ledger `landed_files` afterwards; a run that dies leaves the rest to the next one, and "
    "what it had loaded already counts once.",
)
def load_event_files() -> None:
    """One op."""
    load_landed_files()
