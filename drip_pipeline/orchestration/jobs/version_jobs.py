"""Jobs for the version history of a campaign, started from the launchpad.

They call the use cases of `drip campaign versions`, `diff`, `snapshot` and `rollback`.
"""

from typing import Final, Literal

import dagster as dg
from pydantic import Field

from drip_pipeline.engine.publishing.history import (
    HISTORY_COLUMNS,
    CampaignHistory,
    VersionComparison,
    compare_versions,
    history,
    rollback,
    snapshot,
)
from drip_pipeline.engine.publishing.publish_options import InFlightPolicy, PublishOptions
from drip_pipeline.orchestration.actors import actor_of_run
from drip_pipeline.orchestration.failures import translate_errors
from drip_pipeline.orchestration.jobs.job_form import (
    OPERATOR_TAGS,
    CampaignChangeForm,
    CampaignForm,
    WithoutAddress,
    form_of,
)
from drip_pipeline.orchestration.metadata.common import Metadata, table
from drip_pipeline.orchestration.metadata.in_flight import migrated_metadata
from drip_pipeline.orchestration.resources import EngineResource, RunClock
from drip_pipeline.redaction import redact
from drip_pipeline.reports.diff_page import flow_diagrams
from drip_pipeline.reports.diff_text import diff_markdown
from drip_pipeline.reports.svg import as_markdown
from drip_pipeline.settings import Settings

MAX_DIAGRAM_BYTES: Final = 60_000
"""The event log stores metadata permanently. `drip campaign diff --out` draws larger diagrams."""


class HistoryForm(CampaignForm):
    """The campaign."""


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def list_versions(
    context: dg.OpExecutionContext, config: HistoryForm, engine: EngineResource
) -> None:
    """List the versions of a campaign, their origin, and their open enrollments."""
    with translate_errors("listing versions"):
        versions = history(engine.database, config.campaign)
    context.add_output_metadata(_history_metadata(versions))


@dg.job(
    description="List the versions of a campaign: their origin, and their open enrollments.",
    tags=OPERATOR_TAGS,
    config=form_of(HistoryForm, list_versions.name),
)
def list_campaign_versions() -> None:
    """Run the only op."""
    list_versions()


class CompareForm(CampaignForm):
    """The two versions."""

    before: int = Field(
        default=0, ge=1, validate_default=True, description="The earlier version's number."
    )
    after: int = Field(
        default=0, ge=1, validate_default=True, description="The later version's number."
    )


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def diff_versions(
    context: dg.OpExecutionContext, config: CompareForm, engine: EngineResource
) -> None:
    """Describe the differences between two versions, and draw both flows."""
    with translate_errors("comparing versions"):
        comparison = compare_versions(engine.database, config.campaign, config.before, config.after)
    context.add_output_metadata(_comparison_metadata(comparison))


@dg.job(
    description="Compare two versions of a campaign: steps, texts word by word, delays, weights, "
    "branches, test and goal. Both flows are drawn in the run's metadata.",
    tags=OPERATOR_TAGS,
    config=form_of(CompareForm, diff_versions.name),
)
def compare_campaign_versions() -> None:
    """Run the only op."""
    diff_versions()


class SnapshotForm(CampaignForm):
    """The campaign, and a description of the snapshot."""

    description: WithoutAddress = Field(default="", description="A note for the history.")


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def save_snapshot(
    context: dg.OpExecutionContext, config: SnapshotForm, engine: EngineResource, clock: RunClock
) -> None:
    """Save the current state of a campaign in its history; the published version stays."""
    with translate_errors("saving a snapshot"):
        saved = snapshot(
            engine.database,
            config.campaign,
            now=clock.current(),
            description=config.description or None,
            actor=actor_of_run(context),
        )
    context.add_output_metadata({"campaign": saved.name, "version": saved.version})


@dg.job(
    description="Save a campaign with its steps and its canvas under the next version number. The "
    "published version does not change.",
    tags=OPERATOR_TAGS,
    config=form_of(SnapshotForm, save_snapshot.name),
)
def snapshot_campaign() -> None:
    """Run the only op."""
    save_snapshot()


class RollbackForm(CampaignChangeForm):
    """The version to publish again, and what happens to open enrollments."""

    version: int = Field(
        default=0,
        ge=1,
        validate_default=True,
        description="The number of the version to publish again.",
    )
    policy: Literal["pin", "migrate", "exit"] = Field(
        default="pin",
        description="Open enrollments of other versions: finish there, move to the new version, or "
        "exit.",
    )
    node_map: dict[str, str] = Field(
        default={}, description="With `migrate`: old node: new node, where the ids differ."
    )
    based_on: int = Field(
        default=0,
        ge=0,
        description="Refuse if another version than this is published meanwhile. 0: do not check.",
    )
    dry_run: bool = Field(default=True, description="Report what would happen; change nothing.")


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def publish_earlier_version(
    context: dg.OpExecutionContext, config: RollbackForm, engine: EngineResource, clock: RunClock
) -> None:
    """Publish a copy of an earlier version as the newest. History and test results stay."""
    with translate_errors("rolling back"):
        report = rollback(
            engine.database,
            config.campaign,
            config.version,
            PublishOptions(
                now=clock.current(),
                settings=Settings.from_env(),
                based_on=config.based_on or None,
                dry_run=config.dry_run,
                in_flight=InFlightPolicy(config.policy, config.node_map),
                actor=actor_of_run(context),
                reason=config.reason or None,
            ),
        )
    moved = report.in_flight
    moves = {} if moved is None else migrated_metadata(moved, is_dry_run=config.dry_run)
    context.add_output_metadata({"status": report.status, "version": report.version, **moves})


@dg.job(
    description="Roll back to an earlier version of a campaign: a copy of it becomes the newest "
    "version. History and test results stay; `policy` decides about open enrollments. Starts as a "
    "dry run; set `dry_run: false` to publish.",
    tags=OPERATOR_TAGS,
    config=form_of(RollbackForm, publish_earlier_version.name),
)
def roll_back_campaign() -> None:
    """Run the only op."""
    publish_earlier_version()


def _history_metadata(versions: CampaignHistory) -> Metadata:
    return {
        "campaign": versions.campaign.name,
        "published_version": versions.campaign.published_version or 0,
        "versions": table(versions.versions, HISTORY_COLUMNS, max_rows=200),
        "lineage": table(versions.lineage),
    }


def _comparison_metadata(comparison: VersionComparison) -> Metadata:
    diagrams = {
        label: dg.MetadataValue.md(as_markdown(svg, label))
        for label, svg in flow_diagrams(comparison).items()
        if len(svg) <= MAX_DIAGRAM_BYTES
    }
    return {
        "campaign": comparison.name,
        "summary": comparison.diff.summary(),
        "changes": dg.MetadataValue.md(redact(diff_markdown(comparison.diff))),
        **diagrams,
    }
