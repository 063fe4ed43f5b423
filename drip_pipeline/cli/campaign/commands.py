"""`drip campaign publish, list, show, pause, resume, archive, export`, and the group itself.

The commands for history, folders of files and contacts in flight are in modules of their own.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drip_pipeline.cli.campaign import drafts as drafts_commands
from drip_pipeline.cli.campaign import files as campaign_files
from drip_pipeline.cli.campaign import funnel as funnels
from drip_pipeline.cli.campaign import preview as previews
from drip_pipeline.cli.campaign import scenarios as scenario_commands
from drip_pipeline.cli.campaign import send_test as test_sends
from drip_pipeline.cli.campaign import simulate as simulations
from drip_pipeline.cli.campaign import versions
from drip_pipeline.cli.campaign.exit_lines import exit_lines
from drip_pipeline.cli.campaign.guard_lines import guard_lines
from drip_pipeline.cli.campaign.in_flight import (
    publish_options,
    register,
    with_in_flight,
)
from drip_pipeline.cli.campaign.publish_output import has_stranded, report_json, report_text
from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, json_text, table
from drip_pipeline.cli.framework.options import now_option, reason_option

if TYPE_CHECKING:
    from rich.console import Group

    from drip_pipeline.engine.campaigns.campaign import CampaignDetail, StatusChange
    from drip_pipeline.engine.publishing.publish_options import PublishOptions


@click.group()
def campaign() -> None:
    """Publish, show and control campaigns, their versions and their files."""


register(campaign)
for _command in (
    versions.versions,
    versions.diff,
    versions.snapshot,
    versions.rollback,
    versions.clone,
    campaign_files.plan,
    campaign_files.apply,
    campaign_files.schema,
    funnels.funnel,
    previews.preview,
    test_sends.test_send,
    drafts_commands.drafts,
    scenario_commands.scenario_tests,
    simulations.simulate,
):
    campaign.add_command(_command)


@command(campaign)
@click.argument("file", metavar="FILE|FOLDER", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--workspace", metavar="NAME", help="The workspace; created if it does not exist.")
@click.option("--description", metavar="TEXT", help="Description of the version in the history.")
@publish_options
def publish(
    invocation: Invocation,
    file: Path,
    workspace: str | None,
    description: str | None,
    options: PublishOptions,
) -> CommandResult:
    """Publish a campaign file, or a folder of them.

    The file (JSON or YAML; `-` is standard input) is validated, compiled and stored as a version,
    and the campaign is active. A folder is published if all of its files are valid. All problems
    are reported at once, each with its node. Publishing a published file again changes nothing.

    --dry-run shows, for the chosen policy, how many contacts would move between which nodes, and
    how many have no target node.
    """
    from drip_pipeline.engine.publishing.publish import publish as publish_campaign
    from drip_pipeline.engine.publishing.template_folder import definition_of_file

    options = replace(options, workspace=workspace, description=description)
    if file.is_dir():
        if options.based_on is not None or options.overwrites_draft:
            only = "--overwrite-canvas" if options.overwrites_draft else "--based-on"
            raise click.BadParameter("applies to one file only", param_hint=only)
        return campaign_files.publish_folder(invocation, file, options)
    definition = definition_of_file(
        file, campaign_files.text_of(file), settings=invocation.settings
    )
    report = publish_campaign(invocation.database, definition, options)
    text = with_in_flight(report_text(report), report.in_flight)
    return CommandResult(report_json(report), text, exit_code=int(has_stranded(report)))


@command(campaign, name="list")
@click.option("--workspace", metavar="NAME", help="Only those of this workspace.")
def list_(invocation: Invocation, workspace: str | None) -> CommandResult:
    """List campaigns with their numbers of enrollments, and why an active one is not published."""
    from drip_pipeline.engine.campaigns.campaign import list_campaigns
    from drip_pipeline.engine.publishing.adopt_legacy import unpublished_campaigns
    from drip_pipeline.engine.publishing.publish_options import PublishOptions

    campaigns = list_campaigns(invocation.database, workspace=workspace)
    has_clones = any(row.cloned_from for row in campaigns)
    columns = (*_LIST_COLUMNS, "cloned_from") if has_clones else _LIST_COLUMNS
    reasons: dict[object, list[str]] = {}
    if any(row.version is None and row.status in ("active", "paused") for row in campaigns):
        options = PublishOptions(now=datetime.now(UTC), settings=invocation.settings)
        for one in unpublished_campaigns(invocation.database, options):
            reasons[one.campaign_id] = [
                f"{p.node_id}: {p.message}" if p.node_id else p.message for p in one.problems
            ] or ["`drip campaign drafts CAMPAIGN --publish` publishes it"]
    records = [{**row._asdict(), "not_published": reasons.get(row.id)} for row in campaigns]
    lines = [
        f"{row.name} is {row.status} but was never published: {'; '.join(reasons[row.id])}"
        for row in campaigns
        if row.id in reasons
    ]
    listed = [_aligned(records, columns)] if records else ["no campaigns"]
    return CommandResult(records, "\n".join([*listed, *lines]))


@command(campaign)
@click.argument("campaign")
@now_option
def show(invocation: Invocation, campaign: str, now: datetime) -> CommandResult:
    """Show enrollments per node, held messages, exits and versions of CAMPAIGN."""
    from drip_pipeline.engine.campaigns.campaign import show_campaign

    detail = show_campaign(invocation.read_database, campaign, now=now)
    return CommandResult(detail, _detail(detail))


@command(campaign)
@click.argument("campaign")
@reason_option
@now_option
def pause(
    invocation: Invocation, campaign: str, reason: str | None, now: datetime
) -> CommandResult:
    """Pause CAMPAIGN.

    No step is executed and no message is sent until it is resumed.
    """
    from drip_pipeline.engine.campaigns.campaign import pause as pause_campaign

    change = pause_campaign(
        invocation.database, campaign, now=now, actor=invocation.actor, reason=reason
    )
    return _changed(change, "paused")


@command(campaign)
@click.argument("campaign")
@click.option(
    "--spread",
    type=click.FloatRange(min=0),
    metavar="MINUTES",
    help="Spread overdue work over this time. Default: the campaign's resume_spread_minutes, or"
    " all at once.",
)
@reason_option
@now_option
def resume(
    invocation: Invocation,
    campaign: str,
    spread: float | None,
    reason: str | None,
    now: datetime,
) -> CommandResult:
    """Resume CAMPAIGN: overdue steps and messages run.

    A campaign that its guard has paused needs a reason.
    """
    from drip_pipeline.engine.campaigns.campaign import resume as resume_campaign

    change = resume_campaign(
        invocation.database,
        campaign,
        now=now,
        spread_minutes=spread,
        actor=invocation.actor,
        reason=reason,
    )
    return _changed(change, "resumed")


@command(campaign, name="confirm-entry")
@click.argument("campaign")
@click.option(
    "--size",
    required=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Contacts a day that the entry trigger may enroll.",
)
@reason_option
@now_option
def confirm_entry(
    invocation: Invocation, campaign: str, size: int, reason: str | None, now: datetime
) -> CommandResult:
    """Let the entry trigger of CAMPAIGN enroll up to N contacts a day.

    A trigger that would enroll more than the workspace's agreed size on a day stops, and `drip
    alerts list` shows how many contacts wait. With this it continues at the next tick.
    """
    from drip_pipeline.engine.campaigns.volume_guards import confirm_entries

    change = confirm_entries(
        invocation.database, campaign, size, now=now, actor=invocation.actor, reason=reason
    )
    text = f"{change.campaign!r}: its trigger may enroll {change.size:,} contacts a day"
    return CommandResult(change, text if change.is_changed else f"{text}; unchanged")


@command(campaign)
@click.argument("campaign")
@reason_option
@now_option
def archive(
    invocation: Invocation, campaign: str, reason: str | None, now: datetime
) -> CommandResult:
    """Archive CAMPAIGN: exit its enrollments and send nothing more. This cannot be undone."""
    from drip_pipeline.engine.campaigns.campaign import archive as archive_campaign

    change = archive_campaign(
        invocation.database, campaign, now=now, actor=invocation.actor, reason=reason
    )
    return _changed(change, "exited")


@command(campaign)
@click.argument("campaign")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write to FILE.")
@click.option(
    "--version", type=click.IntRange(min=1), metavar="V",
    help="A version. Default: the campaign's present steps.",
)  # fmt: skip
def export(
    invocation: Invocation, campaign: str, out: Path | None, version: int | None
) -> CommandResult:
    """Print CAMPAIGN as a campaign file.

    The format is YAML; with --json, or if FILE ends in .json, it is JSON. Publishing it
    again, unchanged, changes nothing.
    """
    from drip_pipeline.engine.publishing.export import export_file
    from drip_pipeline.engine.replace_file import replace_file

    exported = export_file(invocation.database, campaign, version)
    if out is None:
        return CommandResult(exported.file, _yaml(exported.file))
    text = json_text(exported.file) if out.suffix == ".json" else _yaml(exported.file)
    replace_file(out, text + "\n")
    published = exported.published_version
    return CommandResult(
        {"file": out, "published_version": published},
        f"written to {out}; `drip campaign publish {out} --based-on {published}` publishes the"
        " edited file unless the campaign changed meanwhile",
    )


_LIST_COLUMNS = (
    "name", "status", "version", "active", "completed", "exited", "failed", "workspace", "id",
)  # fmt: skip


def _aligned(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> str:
    """Format rows as aligned lines without folding, because names and ids are copied from them."""
    cells = [columns, *([_cell(row[column]) for column in columns] for row in rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(columns))]
    lines = ("  ".join(map(str.ljust, row, widths)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: object) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _changed(change: StatusChange, effect: str) -> CommandResult:
    if not change.has_changed:
        return CommandResult(change, f"{change.name!r} is already {change.status}")
    text = f"{change.name!r} is {change.status}; {change.enrollments:,} enrollments {effect}"
    if change.spread_minutes:
        text += f", overdue work spread over {change.spread_minutes:g} minutes"
    return CommandResult(change, text)


def _detail(detail: CampaignDetail) -> Group:
    from rich.console import Group
    from rich.text import Text

    from drip_pipeline.domain.diff.describe import local_range
    from drip_pipeline.engine.publishing.history import HISTORY_COLUMNS

    campaign = detail.campaign
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
        for node in detail.nodes
    ]
    parts = (
        ("Enrollments", detail.population, _POPULATION_COLUMNS),
        ("Exits", detail.exits, ("campaign_version", "exit_reason", "enrollments")),
        ("Nodes", nodes, None),
        ("Held messages", detail.held, None),
        ("Versions", detail.versions, HISTORY_COLUMNS),
    )
    tables = [table(rows, columns, title=title) for title, rows, columns in parts if rows]
    lines = [Text(line) for line in versions.lineage_lines(detail.lineage)]
    window = campaign.settings.get("send_window")
    if isinstance(window, dict):
        lines.append(Text(f"Send window: {local_range(window)}"))
    if campaign.settings.get("topic"):
        lines.append(Text(f"Topic: {campaign.settings['topic']}"))
    if campaign.settings.get("cap_exempt"):
        lines.append(Text("Frequency caps: exempt"))
    elif campaign.settings.get("priority"):
        lines.append(Text(f"Priority: {campaign.settings['priority']}"))
    lines += [Text(line) for line in exit_lines(campaign.settings)]
    lines += [Text(line) for line in guard_lines(campaign.settings, detail.guard)]
    if detail.edit is not None:
        draft = detail.edit
        lines += [
            Text(line)
            for line in drafts_commands.draft_lines(
                "Draft", draft.kind, draft.base_version, draft.changes, draft.problems
            )
        ]
    # Not wrapped, because the id is copied from it.
    return Group(Text(head, style="bold", no_wrap=True, overflow="ignore"), *lines, *tables)


_POPULATION_COLUMNS = ("campaign_version", "entered", "active", "completed", "exited", "failed")


def _yaml(exported: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(exported, sort_keys=False, allow_unicode=True, width=100).rstrip()
