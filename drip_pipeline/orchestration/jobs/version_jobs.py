"""Jobs about the history of a campaign, started from the launchpad: showing its versions, comparing
two, keeping a snapshot, going back. The same verbs as `drip campaign versions, diff, snapshot,
rollback`.
"""

from typing import Any, Final, Literal

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
from drip_pipeline.orchestration.failures import translate_errors
from drip_pipeline.orchestration.metadata.common import table
from drip_pipeline.orchestration.metadata.in_flight import moved_people
from drip_pipeline.orchestration.resources import EngineResource, RunClock
from drip_pipeline.redaction import redact
from drip_pipeline.reports.diff_page import drawings
from drip_pipeline.reports.diff_text import diff_markdown
from drip_pipeline.reports.svg import as_markdown
from drip_pipeline.settings import Settings

LARGEST_PICTURE_BYTES: Final = 60_000
"""Metadata stays in the event log for good; a larger picture is for `drip campaign diff --out`."""


class HistoryConfig(dg.Config):
    """Whose history."""

    campaign: str = Field(description="The campaign's id or exact name.")


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def list_versions(
    context: dg.OpExecutionContext, config: HistoryConfig, engine: EngineResource
) -> None:
    """List the versions of a campaign, what made them, and who is inside."""
    with translate_errors("listing versions"):
        found = history(engine.database, config.campaign)
    context.add_output_metadata(_history_metadata(found))


@dg.job(description="The versions of a campaign: what made each of them, and how many are inside.")
def list_campaign_versions() -> None:
    """One op."""
    list_versions()


class CompareConfig(dg.Config):
    """Which two versions."""

    campaign: str = Field(description="The campaign's id or exact name.")
    before: int = Field(description="The earlier version.")
    after: int = Field(description="The later version.")


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def diff_versions(
    context: dg.OpExecutionContext, config: CompareConfig, engine: EngineResource
) -> None:
    """Say in people's terms what differs between two versions, and draw both flows."""
    with translate_errors("comparing versions"):
        found = compare_versions(engine.database, config.campaign, config.before, config.after)
    context.add_output_metadata(_comparison_metadata(found))


@dg.job(
    description="What changed between two versions of a campaign: steps, texts word by word, "
    "delays, weights, branches, test and goal; both flows are drawn in the run's metadata.",
)
def compare_campaign_versions() -> None:
    """One op."""
    diff_versions()


class SnapshotConfig(dg.Config):
    """What to keep."""

    campaign: str = Field(description="The campaign's id or exact name.")
    description: str | None = Field(default=None, description="What is worth remembering.")


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def save_snapshot(
    context: dg.OpExecutionContext, config: SnapshotConfig, engine: EngineResource, clock: RunClock
) -> None:
    """Keep a campaign as it stands in its history. What newcomers enter does not change."""
    with translate_errors("keeping a snapshot"):
        made = snapshot(
            engine.database, config.campaign, now=clock.moment(), description=config.description
        )
    context.add_output_metadata({"campaign": made.name, "version": made.version})


@dg.job(
    description="Keep a campaign, its steps and its canvas as they stand, under the next version "
    "number. What newcomers enter stays as it is.",
)
def snapshot_campaign() -> None:
    """One op."""
    save_snapshot()


class RollbackConfig(dg.Config):
    """Where to go back to, and what becomes of people inside."""

    campaign: str = Field(description="The campaign's id or exact name.")
    version: int = Field(description="The version to go back to.")
    policy: Literal["pin", "migrate", "exit"] = Field(
        default="pin",
        description="People inside other versions: finish theirs, move to the new one, or leave.",
    )
    node_map: dict[str, str] = Field(
        default={}, description="With `migrate`: old node: new node, where ids differ."
    )
    based_on: int | None = Field(
        default=None, description="Refuse when another version than this is published by now."
    )
    dry_run: bool = Field(default=False, description="Say what would happen, and change nothing.")


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def publish_earlier_version(
    context: dg.OpExecutionContext, config: RollbackConfig, engine: EngineResource, clock: RunClock
) -> None:
    """Publish a copy of an old version as the newest; history and results of tests stay."""
    with translate_errors("going back to an earlier version"):
        report = rollback(
            engine.database,
            config.campaign,
            config.version,
            PublishOptions(
                now=clock.moment(),
                settings=Settings.from_env(),
                based_on=config.based_on,
                dry_run=config.dry_run,
                in_flight=InFlightPolicy(config.policy, config.node_map),
            ),
        )
    moved = report.in_flight
    people = {} if moved is None else moved_people(moved, is_dry_run=config.dry_run)
    context.add_output_metadata({"status": report.status, "version": report.version, **people})


@dg.job(
    description="Go back to an earlier version of a campaign: a copy of it becomes the newest "
    "version. The history and the results of tests stay; `policy` says what becomes of people.",
)
def roll_back_campaign() -> None:
    """One op."""
    publish_earlier_version()


def _history_metadata(found: CampaignHistory) -> dict[str, Any]:
    return {
        "campaign": found.campaign.name,
        "published_version": found.campaign.published_version or 0,
        "versions": table(
            [entry._asdict() for entry in found.versions], HISTORY_COLUMNS, most_rows=200
        ),
        "lineage": table([related._asdict() for related in found.lineage]),
    }


def _comparison_metadata(found: VersionComparison) -> dict[str, Any]:
    pictures = {
        label: dg.MetadataValue.md(as_markdown(svg, label))
        for label, svg in drawings(found).items()
        if len(svg) <= LARGEST_PICTURE_BYTES
    }
    return {
        "campaign": found.name,
        "summary": found.diff.summary(),
        "changes": dg.MetadataValue.md(redact(diff_markdown(found.diff))),
        **pictures,
    }
