"""`drip campaign versions, diff, snapshot, rollback, clone`: the version history."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drip_pipeline.cli.campaign.in_flight import (
    publish_options,
    with_in_flight,
)
from drip_pipeline.cli.campaign.publish_output import has_stranded, report_json
from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import now_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Group

    from drip_pipeline.db.publishing.versions import RelatedCampaign
    from drip_pipeline.engine.publishing.history import CampaignHistory, VersionComparison
    from drip_pipeline.engine.publishing.publish import PublishReport
    from drip_pipeline.engine.publishing.publish_options import PublishOptions


@command()
@click.argument("campaign")
def versions(invocation: Invocation, campaign: str) -> CommandResult:
    """List the versions of CAMPAIGN, newest first.

    Each has its origin and its number of active enrollments.
    """
    from drip_pipeline.engine.publishing.history import history

    result = history(invocation.database, campaign)
    data = {
        "campaign_id": result.campaign.campaign_id,
        "name": result.campaign.name,
        "published_version": result.campaign.published_version,
        "lineage": result.lineage,
        "versions": result.versions,
    }
    return CommandResult(data, _versions_text(result))


@command()
@click.argument("campaign")
@click.argument("before", metavar="V1", type=click.IntRange(min=1))
@click.argument("after", metavar="V2|FILE")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE.html",
    help="Write a page with both flow diagrams side by side.",
)  # fmt: skip
def diff(
    invocation: Invocation, campaign: str, before: int, after: str, out: Path | None
) -> CommandResult:
    """Compare two versions of CAMPAIGN, or a version and a file.

    Lists steps that were added, removed, moved or renamed; texts word by word; delays, weights,
    branches, test, goal and entry. Layout changes are listed separately.
    """
    from drip_pipeline.engine.publishing.history import compare_versions
    from drip_pipeline.reports.diff_text import diff_lines

    comparison = (
        compare_versions(invocation.database, campaign, before, int(after))
        if after.isdecimal()
        else _with_file(invocation, campaign, before, Path(after))
    )
    head = f"{comparison.name}: {comparison.before_label} → {comparison.after_label}"
    lines = [head, *diff_lines(comparison.diff)]
    data = comparison.to_dict()
    if out is not None:
        from drip_pipeline.engine.replace_file import replace_file
        from drip_pipeline.reports.diff_page import diff_page

        replace_file(out, diff_page(comparison))
        data |= {"file": out}
        lines.append(f"written to {out}")
    return CommandResult(data, "\n".join(lines))


@command()
@click.argument("campaign")
@click.option("--description", metavar="TEXT", help="Description in the history.")
@now_option
def snapshot(
    invocation: Invocation, campaign: str, description: str | None, now: datetime
) -> CommandResult:
    """Store a snapshot of CAMPAIGN in its history. The published version does not change."""
    from drip_pipeline.engine.publishing.history import snapshot as take_snapshot

    stored = take_snapshot(
        invocation.database,
        campaign,
        now=now,
        description=description,
        actor=invocation.actor,
    )
    return CommandResult(stored, f"stored {stored.name!r} as version {stored.version}")


@command()
@click.argument("campaign")
@click.argument("version", metavar="V", type=click.IntRange(min=1))
@publish_options
def rollback(
    invocation: Invocation,
    campaign: str,
    version: int,
    options: PublishOptions,
) -> CommandResult:
    """Publish a copy of version V of CAMPAIGN as a new version.

    The history and the results of A/B tests do not change.
    """
    from drip_pipeline.engine.publishing.history import rollback as roll_back

    report = roll_back(invocation.database, campaign, version, options)
    text = with_in_flight(_rollback_text(report, version), report.in_flight)
    return CommandResult(report_json(report), text, exit_code=int(has_stranded(report)))


@command()
@click.argument("campaign")
@click.option("--name", required=True, metavar="NAME", help="Name of the new campaign.")
@click.option(
    "--version", type=click.IntRange(min=1), metavar="V",
    help="The version to copy. Default: the published one.",
)  # fmt: skip
@click.option("--publish", "is_published", is_flag=True, help="Publish it; the default is a draft.")
@now_option
def clone(
    invocation: Invocation,
    campaign: str,
    name: str,
    version: int | None,
    is_published: bool,
    now: datetime,
) -> CommandResult:
    """Copy CAMPAIGN to a new campaign.

    Enrollments and results are not copied.
    """
    from drip_pipeline.engine.publishing.clone import clone as clone_campaign
    from drip_pipeline.engine.publishing.publish_options import PublishOptions

    options = PublishOptions(now=now, settings=invocation.settings, actor=invocation.actor)
    cloned = clone_campaign(
        invocation.database, campaign, name, options, version=version, is_published=is_published
    )
    source = f"version {cloned.of_version} of " if cloned.of_version else ""
    text = f"{cloned.name!r} is a copy of {source}{cloned.parent!r}"
    text += f" and {'active' if is_published else 'a draft'} (campaign {cloned.campaign_id})"
    return CommandResult(cloned, text)


def _with_file(invocation: Invocation, campaign: str, before: int, path: Path) -> VersionComparison:
    from drip_pipeline.cli.campaign.files import text_of
    from drip_pipeline.engine.publishing.history import compare_versions
    from drip_pipeline.engine.publishing.template_folder import definition_of_file

    definition = definition_of_file(path, text_of(path), settings=invocation.settings)
    return compare_versions(invocation.database, campaign, before, definition, file_name=path.name)


def _rollback_text(report: PublishReport, version: int) -> str:
    match report.status:
        case "unchanged":
            return f"{report.name!r} is as in version {version} already (version {report.version})"
        case "dry_run":
            return (
                f"{report.name!r} would go back to version {version}, as version {report.version};"
                " nothing was changed"
            )
    return f"{report.name!r} is back at version {version}, as version {report.version}"


def lineage_lines(lineage: Sequence[RelatedCampaign]) -> list[str]:
    """Return the lines about the campaign's parent and its clones."""
    parents = [related.name for related in lineage if related.relation == "parent"]
    clones = [related.name for related in lineage if related.relation == "clone"]
    lines = [f"cloned from {parents[0]}"] if parents else []
    return [*lines, f"cloned as {', '.join(clones)}"] if clones else lines


def _versions_text(result: CampaignHistory) -> str | Group:
    from rich.console import Group
    from rich.text import Text

    from drip_pipeline.engine.publishing.history import HISTORY_COLUMNS

    head = f"{result.campaign.name} · {result.campaign.campaign_id}"
    lines = [head, *lineage_lines(result.lineage)]
    if not result.versions:
        return "\n".join([*lines, "no versions yet"])
    texts = [Text(line, no_wrap=True, overflow="ignore") for line in lines]
    return Group(*texts, table(result.versions, HISTORY_COLUMNS))
