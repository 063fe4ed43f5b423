"""The job that checks unpublished external changes of published campaigns.

`sensors/external_edits.py` decides when it starts.
"""

# No `from __future__ import annotations` in modules with ops: Dagster reads the types of their
# parameters and would get strings.
from collections.abc import Sequence
from typing import Final

import dagster as dg

from drip_pipeline.db.connection import Database
from drip_pipeline.db.publishing import external_drafts as drafts_db
from drip_pipeline.engine.publishing.external_drafts import DraftReport, check_drafts
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.orchestration.actors import actor_of_run
from drip_pipeline.orchestration.failures import translate_errors
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.metadata.common import Metadata, table
from drip_pipeline.orchestration.resources import EngineResource, RunClock
from drip_pipeline.settings import Settings

EXTERNAL_EDITS_KIND: Final = "external_edits"


def describe_pending_edits(database: Database, settings: Settings) -> str | None:
    """Describe the campaigns that a run would check, in one line; None if there are none."""
    is_publishing = settings.canvas_edits == "publish"
    with database.transaction(is_read_only=True) as connection:
        candidates = drafts_db.draft_candidates(connection)
    names = [
        candidate.name
        for candidate in candidates
        if not (candidate.is_known and candidate.is_edited)
        or (is_publishing and candidate.kind == "valid")
    ]
    return f"{len(names)} campaigns were edited: {', '.join(names[:5])}" if names else None


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def check_edited_campaigns(
    context: dg.OpExecutionContext, engine: EngineResource, clock: RunClock
) -> None:
    """Validate each edited campaign like a campaign file. Valid changes are published if
    DRIP_CANVAS_EDITS=publish; otherwise they are only reported.
    """
    with translate_errors("checking external edits"):
        edits = check_drafts(
            engine.database,
            PublishOptions(
                now=clock.current(), settings=Settings.from_env(), actor=actor_of_run(context)
            ),
        )
    context.add_output_metadata(edits_metadata(edits))


def edits_metadata(edits: Sequence[DraftReport]) -> Metadata:
    """Return the edits, and their problems by node."""
    rows = [
        {
            "campaign": edit.name,
            "edited_since": edit.base_version,
            "status": edit.status,
            "new": edit.is_new,
            "changes": edit.changes,
        }
        for edit in edits
    ]
    problems = [
        {
            "campaign": edit.name,
            "node": problem["node_id"] or "",
            "step": problem["step"] or "",
            "problem": problem["message"],
        }
        for edit in edits
        for problem in edit.problems
    ]
    return {"edits": table(rows), "problems": table(problems, max_rows=100)}


@dg.job(
    tags={KIND_TAG: EXTERNAL_EDITS_KIND},
    description="Check the changes that another application made in the tables of published "
    "campaigns, record them, and publish them if DRIP_CANVAS_EDITS=publish.",
)
def check_external_edits() -> None:
    """Run the only op."""
    check_edited_campaigns()
