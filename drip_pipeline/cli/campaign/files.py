"""`drip campaign plan, apply, schema`, and publishing a folder: campaigns kept as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, json_text
from drip_pipeline.cli.framework.options import now_option

if TYPE_CHECKING:
    from drip_pipeline.engine.publishing.in_flight_policy import InFlight
    from drip_pipeline.engine.publishing.plan import Applied, Plan

CHANGES_EXIT_CODE = 3
_workspace_option = click.option(
    "--workspace", metavar="NAME", help="Where files belong that name no workspace."
)


def text_of(path: Path) -> str:
    """A campaign file's text. Raises ImportFileError when it is not UTF-8."""
    from drip_pipeline.errors import ImportFileError

    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ImportFileError(str(path), "is not UTF-8") from None


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
    help="Keep the plan, for `apply --plan`.",
)  # fmt: skip
def plan(
    invocation: Invocation,
    path: Path,
    workspace: str | None,
    detailed_exitcode: bool,
    out: Path | None,
) -> CommandResult:
    """Say what publishing PATH (a campaign file or a folder of them) would change; change nothing.

    Exit code 0, also when there is something to do; 1 when a file has problems.
    """
    from drip_pipeline.engine.publishing.plan import plan as make_plan
    from drip_pipeline.engine.runner.factory import AVAILABLE_CHANNELS

    found = make_plan(
        invocation.database,
        path,
        channels=AVAILABLE_CHANNELS,
        settings=invocation.settings,
        workspace=workspace,
    )
    if out is not None:
        out.write_text(json_text(found.to_dict()) + "\n", encoding="utf-8")
    exit_code = CHANGES_EXIT_CODE if detailed_exitcode and not found.is_empty else 0
    return CommandResult(
        found.to_dict(), "\n".join(_plan_lines(found)), exit_code=exit_code if found.is_valid else 1
    )


@command()
@click.argument("path", type=click.Path(path_type=Path))
@_workspace_option
@click.option(
    "--plan", "plan_file", type=click.Path(path_type=Path), metavar="FILE.json",
    help="A plan that was kept: what somebody published since then is refused, not overwritten.",
)  # fmt: skip
@click.option("--description", metavar="TEXT", help="What the history says of new versions.")
@now_option
def apply(
    invocation: Invocation,
    path: Path,
    workspace: str | None,
    plan_file: Path | None,
    description: str | None,
    now: datetime,
) -> CommandResult:
    """Do what `plan` says of PATH, a transaction a campaign.

    Files without problems are published where others fail, which are named; repeating it changes
    nothing. Campaigns that no file speaks of are left alone.
    """
    from drip_pipeline.engine.publishing.plan import apply as apply_plan
    from drip_pipeline.engine.publishing.plan import plan as make_plan
    from drip_pipeline.engine.publishing.plan import versions_of
    from drip_pipeline.engine.runner.factory import AVAILABLE_CHANNELS

    based_on = versions_of(_kept_plan(plan_file)) if plan_file is not None else None
    planned = make_plan(
        invocation.database,
        path,
        channels=AVAILABLE_CHANNELS,
        settings=invocation.settings,
        workspace=workspace,
    )
    done = apply_plan(
        invocation.database,
        planned,
        now=now,
        channels=AVAILABLE_CHANNELS,
        settings=invocation.settings,
        workspace=workspace,
        based_on=based_on,
        description=description,
    )
    data = _applied(done) | {"not_in_folder": planned.not_in_folder}
    text = "\n".join([*_applied_lines(done), *_others(planned)])
    return CommandResult(data, text, exit_code=1 if done.failed else 0)


def publish_folder(
    invocation: Invocation,
    path: Path,
    *,
    workspace: str | None,
    description: str | None,
    in_flight: InFlight,
    dry_run: bool,
    now: datetime,
) -> CommandResult:
    """Publish every file of a folder, if all are valid."""
    from drip_pipeline.cli.campaign.publish_output import published_report, published_text
    from drip_pipeline.engine.publishing.plan import publish_all
    from drip_pipeline.engine.runner.factory import AVAILABLE_CHANNELS

    reports = publish_all(
        invocation.database,
        path,
        now=now,
        channels=AVAILABLE_CHANNELS,
        settings=invocation.settings,
        workspace=workspace,
        description=description,
        in_flight=in_flight,
        dry_run=dry_run,
    )
    stranded = any(report.in_flight and report.in_flight.stranded for report in reports.values())
    return CommandResult(
        {label: published_report(report) for label, report in reports.items()},
        "\n".join(f"{label}: {published_text(report)}" for label, report in reports.items()),
        exit_code=1 if stranded else 0,
    )


@command()
def schema(_invocation: Invocation) -> CommandResult:
    """Print the JSON Schema of the campaign file, for editors, front ends and reviews."""
    from drip_pipeline.domain.definition.campaign_file import json_schema

    found = json_schema()
    return CommandResult(found, json_text(found))


def _kept_plan(path: Path) -> Mapping[str, Any]:
    from drip_pipeline.errors import ImportFileError

    try:
        told = json.loads(text_of(path))
    except ValueError:
        told = None
    if not isinstance(told, dict) or not isinstance(told.get("files"), list):
        raise ImportFileError(
            str(path), "is no plan", hint="`drip campaign plan PATH --out FILE.json` writes one."
        )
    return told


# --- in words -------------------------------------------------------------------------------------


def _plan_lines(found: Plan) -> list[str]:
    from drip_pipeline.reports.diff_text import diff_lines

    lines = []
    for file in found.files:
        if file.problems:
            lines.append(f"{file.label}: cannot be published")
            lines += [f"  ! {_problem(problem)}" for problem in file.problems]
        elif file.step == "create":
            lines.append(f"{file.label}: creates {file.name!r}")
        elif file.step == "unchanged":
            lines.append(f"{file.label}: {file.name!r} is unchanged (version {file.version})")
        else:
            lines.append(f"{file.label}: {file.name!r}, a new version after {file.version}")
            lines += [f"    {line}".rstrip() for line in diff_lines(file.diff)]
        lines += [f"  warning: {_problem(warning)}" for warning in file.warnings]
    lines += _others(found)
    bad = sum(bool(file.problems) for file in found.files)
    lines.append(
        f"{found.count('create')} to create, {found.count('new_version')} to change,"
        f" {found.count('unchanged')} unchanged" + (f", {bad} with problems" if bad else "")
    )
    return lines


def _others(found: Plan) -> list[str]:
    return [
        f"{row['name']!r} is in the database but not in the folder (version {row['version']});"
        " it is left alone"
        for row in found.not_in_folder
    ]


def _problem(problem: Any) -> str:
    return f"{problem.node_id}: {problem.message}" if problem.node_id else str(problem.message)


def _applied(done: Applied) -> dict[str, Any]:
    from drip_pipeline.cli.campaign.publish_output import published_report

    return {
        "done": {label: published_report(report) for label, report in done.done.items()},
        "failed": {
            label: {"error": error.message, "hint": error.hint, **error.details()}
            for label, error in done.failed.items()
        },
    }


def _applied_lines(done: Applied) -> list[str]:
    from drip_pipeline.cli.campaign.publish_output import published_text

    lines = [f"{label}: {published_text(report)}" for label, report in done.done.items()]
    for label, error in done.failed.items():
        lines.append(f"{label}: {error.message}")
        lines += [f"  ! {item}" for item in error.items()]
    return lines
