"""`drip campaign plan, apply, schema`, and publishing a folder of campaign files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drip_pipeline.cli.campaign.publish_output import has_stranded, report_json, report_text
from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, json_text
from drip_pipeline.cli.framework.options import now_option

if TYPE_CHECKING:
    from drip_pipeline.domain.definition.problems import Problem
    from drip_pipeline.engine.publishing.plan import AppliedPlan, PublishPlan
    from drip_pipeline.engine.publishing.publish_options import PublishOptions

CHANGES_EXIT_CODE = 3
_workspace_option = click.option(
    "--workspace", metavar="NAME", help="The workspace of files that name none."
)


def text_of(path: Path) -> str:
    """Return the text of a campaign file, or of standard input (`-`).

    Raises ImportFileError when it is not UTF-8 or too large, or OSError.
    """
    from drip_pipeline.domain.definition.text_formats import MAX_TEXT_BYTES
    from drip_pipeline.engine.contacts.sources import Source
    from drip_pipeline.errors import ImportFileError

    source = Source(path)
    with source.read_errors(), source.open() as file:
        content = file.read(MAX_TEXT_BYTES + 1)
    if len(content) > MAX_TEXT_BYTES:
        raise ImportFileError(str(source.path), f"is larger than {MAX_TEXT_BYTES // 1_000_000} MB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ImportFileError(str(source.path), "is not UTF-8") from None


@command()
@click.argument("path", type=click.Path(path_type=Path))
@_workspace_option
@click.option(
    "--detailed-exitcode",
    is_flag=True,
    help=f"Exit with {CHANGES_EXIT_CODE} when there is something to do (0: nothing, 1: problems).",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE.json",
    help="Write the plan to a file, for `apply --plan`.",
)  # fmt: skip
def plan(
    invocation: Invocation,
    path: Path,
    workspace: str | None,
    detailed_exitcode: bool,
    out: Path | None,
) -> CommandResult:
    """Show what publishing PATH would change.

    PATH is a campaign file or a folder of them. Nothing is changed. The exit code is 0
    even if there are changes, and 1 if a file has problems.
    """
    from drip_pipeline.engine.publishing.plan import plan as make_plan
    from drip_pipeline.engine.publishing.publish_options import PublishOptions
    from drip_pipeline.engine.replace_file import replace_file

    options = PublishOptions(
        now=datetime.now(UTC), settings=invocation.settings, workspace=workspace
    )
    planned = make_plan(invocation.database, path, options)
    data = planned.to_dict()
    if out is not None:
        replace_file(out, json_text(data) + "\n")
    exit_code = CHANGES_EXIT_CODE if detailed_exitcode and not planned.is_empty else 0
    text = "\n".join(_plan_lines(planned))
    return CommandResult(data, text, exit_code=exit_code if planned.is_valid else 1)


@command()
@click.argument("path", type=click.Path(path_type=Path))
@_workspace_option
@click.option(
    "--plan", "plan_file", type=click.Path(path_type=Path), metavar="FILE.json",
    help="A written plan: campaigns published since then are refused, not overwritten.",
)  # fmt: skip
@click.option("--description", metavar="TEXT", help="Description of new versions in the history.")
@now_option
def apply(
    invocation: Invocation,
    path: Path,
    workspace: str | None,
    plan_file: Path | None,
    description: str | None,
    now: datetime,
) -> CommandResult:
    """Publish the changes that `plan` shows.

    PATH is a campaign file or a folder of them; each campaign is one transaction.

    Valid files are published even if others fail; the failed ones are listed. Repeating the command
    changes nothing. Campaigns without a file are left alone.
    """
    from drip_pipeline.engine.publishing.plan import apply as apply_plan
    from drip_pipeline.engine.publishing.plan import plan as make_plan
    from drip_pipeline.engine.publishing.plan import planned_versions
    from drip_pipeline.engine.publishing.publish_options import PublishOptions

    options = PublishOptions(
        now=now,
        settings=invocation.settings,
        workspace=workspace,
        description=description,
        actor=invocation.actor,
    )
    based_on = planned_versions(_read_plan(plan_file)) if plan_file is not None else None
    planned = make_plan(invocation.database, path, options)
    applied = apply_plan(invocation.database, planned, options, based_on=based_on)
    data = _applied_json(applied) | {"not_in_folder": planned.not_in_folder}
    text = "\n".join([*_applied_lines(applied), *_not_in_folder_lines(planned)])
    return CommandResult(data, text, exit_code=1 if applied.failed else 0)


def publish_folder(invocation: Invocation, path: Path, options: PublishOptions) -> CommandResult:
    """Publish every file of a folder, if all are valid."""
    from drip_pipeline.engine.publishing.plan import publish_all

    reports = publish_all(invocation.database, path, options)
    return CommandResult(
        {label: report_json(report) for label, report in reports.items()},
        "\n".join(f"{label}: {report_text(report)}" for label, report in reports.items()),
        exit_code=int(any(map(has_stranded, reports.values()))),
    )


@command()
@click.option("--scenarios", is_flag=True, help="The schema of scenario files instead.")
def schema(_invocation: Invocation, scenarios: bool) -> CommandResult:
    """Print the JSON Schema of campaign files.

    Editors and front ends can validate campaign files with it.
    """
    from drip_pipeline.domain.definition.campaign_file import json_schema
    from drip_pipeline.domain.scenarios.scenario_file import json_schema as scenario_schema

    document = scenario_schema() if scenarios else json_schema()
    return CommandResult(document, json_text(document))


def _read_plan(path: Path) -> Mapping[str, object]:
    from drip_pipeline.errors import ImportFileError

    try:
        content = json.loads(text_of(path))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("files"), list):
        raise ImportFileError(
            str(path), "is not a plan", hint="`drip campaign plan PATH --out FILE.json` writes one."
        )
    return content


# --- text -----------------------------------------------------------------------------------------


def _plan_lines(planned: PublishPlan) -> list[str]:
    from drip_pipeline.reports.diff_text import diff_lines

    lines = []
    for file in planned.files:
        if file.problems:
            lines.append(f"{file.label}: cannot be published")
            lines += [f"  ! {_problem(problem)}" for problem in file.problems]
        elif file.action == "create":
            lines.append(f"{file.label}: creates {file.name!r}")
        elif file.action == "unchanged":
            lines.append(f"{file.label}: {file.name!r} is unchanged (version {file.version})")
        else:
            lines.append(f"{file.label}: {file.name!r}, a new version after {file.version}")
            lines += [f"    {line}".rstrip() for line in diff_lines(file.diff)]
        lines += [f"  warning: {_problem(warning)}" for warning in file.warnings]
    lines += _not_in_folder_lines(planned)
    invalid = sum(bool(file.problems) for file in planned.files)
    lines.append(
        f"{planned.count('create')} to create, {planned.count('new_version')} to change,"
        f" {planned.count('unchanged')} unchanged"
        + (f", {invalid} with problems" if invalid else "")
    )
    return lines


def _not_in_folder_lines(planned: PublishPlan) -> list[str]:
    return [
        f"{campaign.name!r} is in the database but not in the folder (version {campaign.version});"
        " it is left alone"
        for campaign in planned.not_in_folder
    ]


def _problem(problem: Problem) -> str:
    return f"{problem.node_id}: {problem.message}" if problem.node_id else problem.message


def _applied_json(applied: AppliedPlan) -> dict[str, object]:
    return {
        "done": {label: report_json(report) for label, report in applied.published.items()},
        "failed": {
            label: {"error": error.message, "hint": error.hint, **error.details()}
            for label, error in applied.failed.items()
        },
    }


def _applied_lines(applied: AppliedPlan) -> list[str]:
    lines = [f"{label}: {report_text(report)}" for label, report in applied.published.items()]
    for label, error in applied.failed.items():
        lines.append(f"{label}: {error.message}")
        lines += [f"  ! {item}" for item in error.items()]
    return lines
