"""`drip campaign …`: publishing a file, and campaigns as a whole: list, show, pause, resume,
archive, export. History, folders of files and people in flight have modules of their own.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drip_pipeline.cli.campaign import drafts as edits
from drip_pipeline.cli.campaign import files as campaign_files
from drip_pipeline.cli.campaign import funnel as funnels
from drip_pipeline.cli.campaign import versions
from drip_pipeline.cli.campaign.in_flight import (
    map_options,
    node_map,
    policy_option,
    register,
    told,
    trial_options,
)
from drip_pipeline.cli.campaign.publish_output import published_report, published_text
from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, json_text, table
from drip_pipeline.cli.framework.options import now_option

if TYPE_CHECKING:
    from drip_pipeline.engine.campaigns.campaign import CampaignDetail, StatusChange
    from drip_pipeline.engine.publishing.in_flight_policy import Policy


@click.group(
    help="Campaigns: publish, list, show, migrate, pause, resume, archive; their versions; files."
)
def campaign() -> None:
    """Commands of campaigns."""


register(campaign)
for _made in (
    versions.versions,
    versions.diff,
    versions.snapshot,
    versions.rollback,
    versions.clone,
    campaign_files.plan,
    campaign_files.apply,
    campaign_files.schema,
    funnels.funnel,
    edits.drafts,
):
    campaign.add_command(_made)


@command(campaign)
@click.argument("file", metavar="FILE|FOLDER", type=click.Path(path_type=Path))
@click.option("--workspace", metavar="NAME", help="Where it belongs; made if it is missing.")
@click.option(
    "--based-on",
    type=click.IntRange(min=0),
    metavar="N",
    help="The version that was edited (0: none): refuse when another one is published by now.",
)
@click.option("--description", metavar="TEXT", help="What the history says of this version.")
@policy_option
@map_options
@trial_options
@now_option
def publish(
    invocation: Invocation,
    file: Path,
    workspace: str | None,
    based_on: int | None,
    description: str | None,
    policy: Policy,
    pairs: tuple[str, ...],
    map_file: Path | None,
    overwrite_canvas: bool,
    dry_run: bool,
    now: datetime,
) -> CommandResult:
    """Publish a campaign FILE (JSON or YAML): check it, compile it, keep it as a version, start it.
    Of a FOLDER all files, if all are valid.

    All problems are reported at once, each with its node. Publishing what is published already
    changes nothing. --dry-run says for each policy how many people would go from where to where,
    and who would have nowhere to go.
    """
    from drip_pipeline.engine.publishing.in_flight_policy import InFlight
    from drip_pipeline.engine.publishing.publish import publish as publish_campaign
    from drip_pipeline.engine.runner.factory import AVAILABLE_CHANNELS

    in_flight = InFlight(policy, node_map(pairs, map_file))
    if file.is_dir():
        if based_on is not None or overwrite_canvas:
            only = "--overwrite-canvas" if overwrite_canvas else "--based-on"
            raise click.BadParameter("is for one file", param_hint=only)
        return campaign_files.publish_folder(
            invocation,
            file,
            workspace=workspace,
            description=description,
            in_flight=in_flight,
            dry_run=dry_run,
            now=now,
        )
    report = publish_campaign(
        invocation.database,
        campaign_files.text_of(file),
        now=now,
        channels=AVAILABLE_CHANNELS,
        settings=invocation.settings,
        workspace=workspace,
        dry_run=dry_run,
        in_flight=in_flight,
        based_on=based_on,
        overwrites_edit=overwrite_canvas,
        description=description,
    )
    is_refused = report.in_flight is not None and bool(report.in_flight.stranded)
    shown = told(published_text(report), report.in_flight)
    return CommandResult(published_report(report), shown, exit_code=1 if is_refused else 0)


@command(campaign, name="list")
@click.option("--workspace", metavar="NAME", help="Only those of this workspace.")
def list_(invocation: Invocation, workspace: str | None) -> CommandResult:
    """List campaigns with how many people are in them."""
    from drip_pipeline.engine.campaigns.campaign import list_campaigns

    found = list_campaigns(invocation.database, workspace=workspace)
    clones = any(row["cloned_from"] for row in found)
    columns = (*_LIST_COLUMNS, "cloned_from") if clones else _LIST_COLUMNS
    return CommandResult(found, _aligned(found, columns) if found else "no campaigns")


@command(campaign)
@click.argument("campaign")
def show(invocation: Invocation, campaign: str) -> CommandResult:
    """Show CAMPAIGN: where its people are, who left and why, and its versions."""
    from drip_pipeline.engine.campaigns.campaign import show_campaign

    found = show_campaign(invocation.database, campaign)
    return CommandResult(found, _shown(found))


@command(campaign)
@click.argument("campaign")
@now_option
def pause(invocation: Invocation, campaign: str, now: datetime) -> CommandResult:
    """Pause CAMPAIGN: nothing is done and nothing is sent; everybody stays where they are."""
    from drip_pipeline.engine.campaigns.campaign import pause as pause_campaign

    return _changed(pause_campaign(invocation.database, campaign, now=now), "are held")


@command(campaign)
@click.argument("campaign")
@click.option(
    "--spread",
    type=click.FloatRange(min=0),
    metavar="MINUTES",
    help="Spread overdue work over this time. Default: the campaign's resume_spread_minutes, or"
    " all at once.",
)
@now_option
def resume(
    invocation: Invocation, campaign: str, spread: float | None, now: datetime
) -> CommandResult:
    """Resume CAMPAIGN: what is overdue runs, and nobody was lost."""
    from drip_pipeline.engine.campaigns.campaign import resume as resume_campaign

    change = resume_campaign(invocation.database, campaign, now=now, spread_minutes=spread)
    return _changed(change, "go on")


@command(campaign)
@click.argument("campaign")
@now_option
def archive(invocation: Invocation, campaign: str, now: datetime) -> CommandResult:
    """Archive CAMPAIGN for good: whoever is in it leaves, and nothing more is sent."""
    from drip_pipeline.engine.campaigns.campaign import archive as archive_campaign

    return _changed(archive_campaign(invocation.database, campaign, now=now), "have left")


@command(campaign)
@click.argument("campaign")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write it there.")
@click.option(
    "--version", type=click.IntRange(min=1), metavar="V",
    help="An earlier version. Default: the campaign as it stands.",
)  # fmt: skip
def export(
    invocation: Invocation, campaign: str, out: Path | None, version: int | None
) -> CommandResult:
    """Print CAMPAIGN as a campaign file (YAML; JSON with --json, or where FILE ends in .json).

    Publishing it again, unchanged, changes nothing.
    """
    from drip_pipeline.engine.publishing.export import export_file

    exported = export_file(invocation.database, campaign, version)
    if out is None:
        return CommandResult(exported.file, _yaml(exported.file))
    text = json_text(exported.file) if out.suffix == ".json" else _yaml(exported.file)
    out.write_text(text + "\n", encoding="utf-8")
    published = exported.published_version
    return CommandResult(
        {"file": out, "published_version": published},
        f"written to {out}; `drip campaign publish {out} --based-on {published}` takes the edited"
        " file unless somebody was faster",
    )


_LIST_COLUMNS = (
    "name", "status", "version", "active", "completed", "exited", "failed", "workspace", "id",
)  # fmt: skip


def _aligned(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> str:
    """Rows as plain lines, never folded: names and ids are there to be copied."""
    cells = [columns, *([_cell(row[column]) for column in columns] for row in rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(columns))]
    lines = ("  ".join(map(str.ljust, row, widths)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _changed(change: StatusChange, people: str) -> CommandResult:
    if not change.has_changed:
        return CommandResult(change, f"{change.name!r} was {change.status} already")
    text = f"{change.name!r} is {change.status}; {change.people:,} people {people}"
    if change.spread_minutes:
        text += f", what was overdue within {change.spread_minutes:g} minutes"
    return CommandResult(change, text)


def _shown(found: CampaignDetail) -> Any:
    from rich.console import Group
    from rich.text import Text

    from drip_pipeline.engine.publishing.history import HISTORY_COLUMNS

    campaign = found.campaign
    version = campaign.published_version
    head = (
        f"{campaign.name} · {campaign.status} · {campaign.campaign_type} ·"
        f" {f'version {version}' if version else 'not published'} · {campaign.campaign_id}"
    )
    nodes = [
        {
            "node": node.node_id,
            "type": node.node_type,
            "step": node.step_name,
            "now": node.now,
            "failed": node.failed,
            "passed": node.passed,
        }
        for node in found.nodes
    ]
    parts = (
        ("People", found.population, _PEOPLE_COLUMNS),
        ("Left before the end", found.exits, ("campaign_version", "exit_reason", "people")),
        ("Nodes", nodes, None),
        ("Versions", found.versions, HISTORY_COLUMNS),
    )
    tables = [table(rows, columns, title=title) for title, rows, columns in parts if rows]
    lines = [Text(line) for line in versions.lineage_lines(found.lineage)]
    if found.edit is not None:
        edit = found.edit
        told_edit = edits.edit_lines(
            "Draft", edit["kind"], edit["base_version"], edit["changes"], edit["problems"]
        )
        lines += [Text(line) for line in told_edit]
    # Not wrapped: the id is there to be copied.
    return Group(Text(head, style="bold", no_wrap=True, overflow="ignore"), *lines, *tables)


_PEOPLE_COLUMNS = ("campaign_version", "entered", "active", "completed", "exited", "failed")


def _yaml(exported: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(exported, sort_keys=False, allow_unicode=True, width=100).rstrip()
