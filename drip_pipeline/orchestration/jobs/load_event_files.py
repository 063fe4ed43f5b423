"""The job that loads event files from the landing folder.

`sensors/imported_files.py` decides when it starts.
"""

# No `from __future__ import annotations` in modules with ops: Dagster reads the types of their
# parameters and would get strings.
from typing import Final

import dagster as dg
from pydantic import Field

from drip_pipeline.domain.events.soft_bounces import SoftBounceLimit
from drip_pipeline.engine.events.landing_folder import load_files
from drip_pipeline.orchestration.failures import RETRY_POLICY, translate_errors
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.metadata.landing import report_loaded
from drip_pipeline.orchestration.resources import EngineResource, RunClock
from drip_pipeline.settings import Settings

LANDING_KIND: Final = "landing"
_MAX_RUNTIME_SECONDS: Final = "14400"


class LandingConfig(dg.Config):
    """The files to load."""

    files: dict[str, str] = Field(
        description="Path in the landing folder → size and modification time, such as "
        "`ses/monday.ndjson: 1024:1767603600000000000`. A file that has changed since is left for "
        "a later run.",
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
    """Load the files one after the other. Each event counts once; rejected lines are stored with
    the reason. Files that cannot be read are named in a failure at the end.
    """
    loaded = []
    settings = Settings.from_env()
    with translate_errors("loading event files"):
        for file in load_files(
            engine.database,
            settings.landing_folder(),
            config.files,
            now=clock.current(),
            run_id=context.run_id,
            progress=context.log.debug,
            soft_bounces=SoftBounceLimit.of(settings),
        ):
            context.log.info("%s: %d lines, %d new events", file.path, file.lines, file.accepted)
            loaded.append(file)
    report_loaded(context, loaded)


@dg.job(
    tags={KIND_TAG: LANDING_KIND, "dagster/max_runtime": _MAX_RUNTIME_SECONDS},
    description="Load event files from the landing folder. Each file is loaded once and recorded "
    "in `landed_files`. If a run crashes, the next one loads the rest; events count once.",
)
def load_event_files() -> None:
    """Run the only op."""
    load_landed_files()
