"""`drip campaign drafts`: unpublished external changes of published campaigns."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import click

from drip_pipeline.cli.campaign.in_flight import map_options
from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import now_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drip_pipeline.db.publishing.external_drafts import DraftProblem
    from drip_pipeline.engine.publishing.external_drafts import DraftReport
    from drip_pipeline.engine.publishing.publish_options import PolicyName


@command()
@click.argument("campaign", required=False)
@click.option("--publish", is_flag=True, help="Publish the draft of CAMPAIGN.")
@click.option(
    "--policy",
    type=click.Choice(["pin", "migrate", "exit"]),
    default="pin",
    help="With --publish: what happens to contacts inside an earlier version.",
)
@map_options
@now_option
def drafts(
    invocation: Invocation,
    campaign: str | None,
    publish: bool,
    policy: PolicyName,
    node_map: dict[str, str],
    now: datetime,
) -> CommandResult:
    """Check and list unpublished external changes.

    Checks all published campaigns, or CAMPAIGN; also lists campaigns that an application made
    active without publishing them, whose enrollments stand still until --publish.

    An external change is made by another application (a visual builder) in the database. Layout
    changes (positions, viewport) are no draft: the published version takes them over. Exit code 1
    if a draft is not valid.
    """
    from drip_pipeline.engine.publishing.external_drafts import check_drafts, publish_draft
    from drip_pipeline.engine.publishing.publish_options import InFlightPolicy, PublishOptions

    options = PublishOptions(now=now, settings=invocation.settings)
    if publish:
        if campaign is None:
            raise click.UsageError("--publish needs the argument CAMPAIGN.")
        options = replace(
            options, in_flight=InFlightPolicy(policy, node_map), actor=invocation.actor
        )
        report = publish_draft(invocation.database, campaign, options)
        text = f"published {report.name!r} as version {report.version}: {report.changes}"
        return CommandResult(report, text)
    reports = check_drafts(invocation.database, options, campaign=campaign)
    has_invalid = any(report.status == "invalid" for report in reports)
    text = "\n".join(map(_report_text, reports)) or "no drafts"
    return CommandResult(reports, text, exit_code=int(has_invalid))


def _report_text(report: DraftReport) -> str:
    if report.status == "published":
        return f"{report.name}: published as version {report.version} ({report.changes})"
    return "\n".join(
        draft_lines(
            report.name, report.status, report.base_version, report.changes, report.problems
        )
    )


def draft_lines(
    name: str, status: str, base_version: int, changes: str, problems: Sequence[DraftProblem]
) -> list[str]:
    """Return the lines of an unpublished draft: its changes and its problems."""
    if base_version == 0:
        state = "can be published" if status == "valid" else "cannot be published"
        return [
            f"{name}: {changes}; {state}",
            *(f"  - {_place(problem)}{problem['message']}" for problem in problems),
        ]
    state = "not published" if status == "valid" else "not valid, not published"
    return [
        f"{name}: edited since version {base_version}, {state} ({changes})",
        *(f"  - {_place(problem)}{problem['message']}" for problem in problems),
    ]


def _place(problem: DraftProblem) -> str:
    return f"{problem['step'] or problem['node_id']}: " if problem["node_id"] else ""
