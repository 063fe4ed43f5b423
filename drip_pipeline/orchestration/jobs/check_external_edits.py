"""The job that checks edits of published campaigns; when, `sensors/external_edits.py` decides."""

# No `from __future__ import annotations` where there are ops: Dagster reads the types of their
# parameters, and would find texts.
from typing import Final

import dagster as dg

from drip_pipeline.db.connection import Database
from drip_pipeline.db.publishing import external_drafts as drafts_db
from drip_pipeline.engine.publishing.external_drafts import DraftReport, check_drafts
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.orchestration.failures import translate_errors
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.metadata.common import table
from drip_pipeline.orchestration.resources import EngineResource, RunClock
from drip_pipeline.settings import Settings

EXTERNAL_EDITS_KIND: Final = "external_edits"


def describe_pending_edits(database: Database, settings: Settings) -> str | None:
    """What a run would have to look at, in one line; None when nothing is new since the last."""
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
    """Check each edit as a file is checked; what is valid is published where DRIP_CANVAS_EDITS says
    so, and told otherwise."""
    with translate_errors("checking edits of campaigns"):
        found = check_drafts(
            engine.database, PublishOptions(now=clock.moment(), settings=Settings.from_env())
        )
    context.add_output_metadata(edits_metadata(found))


def edits_metadata(found: list[DraftReport]) -> dict[str, dg.MetadataValue]:
    """Metadata of a look: the edits, and everything that is wrong with them, by node."""
    edits = [
        {
            "campaign": edit.name,
            "edited_since": edit.base_version,
            "status": edit.status,
            "new": edit.is_new,
            "changes": edit.changes,
        }
        for edit in found
    ]
    problems = [
        {
            "campaign": edit.name,
            "node": problem["node_id"] or "",
            "step": problem["step"] or "",
            "problem": problem["message"],
        }
        for edit in found
        for problem in edit.problems
    ]
    return {"edits": table(edits), "problems": table(problems, most_rows=100)}


@dg.job(
    tags={KIND_TAG: EXTERNAL_EDITS_KIND},
    description="Look at edits that another application made in the tables of published campaigns: "
    "check them, note them, and publish them where DRIP_CANVAS_EDITS=publish.",
)
def check_external_edits() -> None:
    """One op."""
    check_edited_campaigns()
