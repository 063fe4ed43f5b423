"""`drip campaign versions, diff, snapshot, rollback, clone`: the history of a campaign."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drip_pipeline.cli.campaign.in_flight import (
    map_options,
    node_map,
    policy_option,
    told,
    trial_options,
)
from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import now_option

if TYPE_CHECKING:
    from drip_pipeline.engine.publishing.history import History, VersionComparison
    from drip_pipeline.engine.publishing.in_flight_policy import Policy
    from drip_pipeline.engine.publishing.publish import PublishReport


@command()
@click.argument("campaign")
def versions(invocation: Invocation, campaign: str) -> CommandResult:
    """List the versions of CAMPAIGN, newest first: what made them, and who is inside."""
    from drip_pipeline.engine.publishing.history import history

    found = history(invocation.database, campaign)
    data = {
        "campaign_id": found.campaign.campaign_id,
        "name": found.campaign.name,
        "published_version": found.campaign.published_version,
        "lineage": found.lineage,
        "versions": found.versions,
    }
    return CommandResult(data, _versions_text(found))


@command()
@click.argument("campaign")
@click.argument("before", metavar="V1", type=click.IntRange(min=1))
@click.argument("after", metavar="V2|FILE")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE.html",
    help="Write a page with both flows side by side.",
)  # fmt: skip
def diff(
    invocation: Invocation, campaign: str, before: int, after: str, out: Path | None
) -> CommandResult:
    """Say what changed in CAMPAIGN from version V1 to V2, or from V1 to a campaign FILE.

    Steps that came, went, moved or were renamed; texts word by word; delays, weights, branches,
    test, goal and entry; the drawing apart.
    """
    from drip_pipeline.engine.publishing.history import compare_versions
    from drip_pipeline.reports.diff_text import diff_lines

    found = (
        compare_versions(invocation.database, campaign, before, int(after))
        if after.isdecimal()
        else _with_file(invocation, campaign, before, Path(after))
    )
    head = f"{found.name}: {found.before_label} → {found.after_label}"
    lines = [head, *diff_lines(found.diff)]
    data = found.to_dict()
    if out is not None:
        from drip_pipeline.reports.diff_page import diff_page

        out.write_text(diff_page(found), encoding="utf-8")
        data |= {"file": out}
        lines.append(f"written to {out}")
    return CommandResult(data, "\n".join(lines))


@command()
@click.argument("campaign")
@click.option("--description", metavar="TEXT", help="What is worth remembering about it.")
@now_option
def snapshot(
    invocation: Invocation, campaign: str, description: str | None, now: datetime
) -> CommandResult:
    """Keep CAMPAIGN as it stands in its history. What newcomers enter does not change."""
    from drip_pipeline.engine.publishing.history import snapshot as take_snapshot

    made = take_snapshot(invocation.database, campaign, now=now, description=description)
    return CommandResult(made, f"kept {made.name!r} as version {made.version}")


@command()
@click.argument("campaign")
@click.argument("version", metavar="V", type=click.IntRange(min=1))
@click.option(
    "--based-on", type=click.IntRange(min=0), metavar="N",
    help="Refuse when another version than N is published by now.",
)  # fmt: skip
@policy_option
@map_options
@trial_options
@now_option
def rollback(
    invocation: Invocation,
    campaign: str,
    version: int,
    based_on: int | None,
    policy: Policy,
    pairs: tuple[str, ...],
    map_file: Path | None,
    overwrite_canvas: bool,
    dry_run: bool,
    now: datetime,
) -> CommandResult:
    """Go back to version V of CAMPAIGN: a copy of it is published as a new version.

    The history and the results of tests stay as they are.
    """
    from drip_pipeline.cli.campaign.publish_output import published_report
    from drip_pipeline.engine.publishing.history import rollback as roll_back
    from drip_pipeline.engine.publishing.in_flight_policy import InFlight
    from drip_pipeline.engine.runner.factory import AVAILABLE_CHANNELS

    report = roll_back(
        invocation.database,
        campaign,
        version,
        now=now,
        channels=AVAILABLE_CHANNELS,
        settings=invocation.settings,
        based_on=based_on,
        dry_run=dry_run,
        in_flight=InFlight(policy, node_map(pairs, map_file)),
        overwrites_edit=overwrite_canvas,
    )
    is_refused = report.in_flight is not None and bool(report.in_flight.stranded)
    shown = told(_rolled_back(report, version), report.in_flight)
    return CommandResult(published_report(report), shown, exit_code=1 if is_refused else 0)


@command()
@click.argument("campaign")
@click.option("--name", required=True, metavar="NAME", help="What the new campaign is called.")
@click.option(
    "--version", type=click.IntRange(min=1), metavar="V",
    help="Which version to copy. Default: the published one.",
)  # fmt: skip
@click.option("--publish", "is_published", is_flag=True, help="Publish it; without, it is a draft.")
@now_option
def clone(
    invocation: Invocation,
    campaign: str,
    name: str,
    version: int | None,
    is_published: bool,
    now: datetime,
) -> CommandResult:
    """Make a campaign like CAMPAIGN under another NAME, without its people and results."""
    from drip_pipeline.engine.publishing.clone import clone as make_clone
    from drip_pipeline.engine.runner.factory import AVAILABLE_CHANNELS

    made = make_clone(
        invocation.database,
        campaign,
        name,
        now=now,
        channels=AVAILABLE_CHANNELS,
        settings=invocation.settings,
        version=version,
        is_published=is_published,
    )
    source = f"version {made.of_version} of " if made.of_version else ""
    text = f"{made.name!r} is a copy of {source}{made.parent!r}"
    text += f" and {'active' if is_published else 'a draft'} (campaign {made.campaign_id})"
    return CommandResult(made, text)


def _with_file(invocation: Invocation, campaign: str, before: int, path: Path) -> VersionComparison:
    from drip_pipeline.cli.campaign.files import text_of
    from drip_pipeline.engine.publishing.history import compare_versions

    return compare_versions(
        invocation.database, campaign, before, text_of(path), file_name=path.name
    )


def _rolled_back(report: PublishReport, version: int) -> str:
    match report.status:
        case "unchanged":
            return f"{report.name!r} is as in version {version} already (version {report.version})"
        case "dry_run":
            return (
                f"{report.name!r} would go back to version {version}, as version {report.version};"
                " nothing was changed"
            )
    return f"{report.name!r} is back at version {version}, as version {report.version}"


def lineage_lines(lineage: Any) -> list[str]:
    """Where a campaign comes from, and what was made from it."""
    parents = [row["name"] for row in lineage if row["relation"] == "parent"]
    clones = [row["name"] for row in lineage if row["relation"] == "clone"]
    lines = [f"cloned from {parents[0]}"] if parents else []
    return [*lines, f"cloned as {', '.join(clones)}"] if clones else lines


def _versions_text(found: History) -> Any:
    from rich.console import Group
    from rich.text import Text

    from drip_pipeline.engine.publishing.history import HISTORY_COLUMNS

    head = f"{found.campaign.name} · {found.campaign.campaign_id}"
    lines = [head, *lineage_lines(found.lineage)]
    if not found.versions:
        return "\n".join([*lines, "no versions yet"])
    texts = [Text(line, no_wrap=True, overflow="ignore") for line in lines]
    return Group(*texts, table(found.versions, HISTORY_COLUMNS))
