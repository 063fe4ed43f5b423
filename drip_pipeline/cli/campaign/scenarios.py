"""`drip campaign test`: run scenario files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command

if TYPE_CHECKING:
    from drip_pipeline.engine.scenarios.run_scenarios import ScenarioReport

_SECONDS_BETWEEN_LOOKS = 0.5
_MOST_MISSED = 12


@command(name="test")
@click.argument("path", metavar="FOLDER|FILE", type=click.Path(path_type=Path))
@click.option(
    "--junit",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the results as JUnit XML.",
)
@click.option("--watch", is_flag=True, help="Run again whenever a file changes, until Ctrl-C.")
def scenario_tests(
    _invocation: Invocation, path: Path, junit: Path | None, watch: bool
) -> CommandResult:
    """Run the scenarios of a folder, a scenario file, or a campaign file.

    A scenario file names a campaign file and people: what happens to them, and the path, the
    messages and the end that are expected. The engine runs them on a virtual clock, in memory: no
    database is needed, and nothing is sent. Edges that no scenario walked are listed.

    Exit code 0: all passed; 1: one did not, or a file cannot be run.
    """
    if not watch:
        return _run(path, junit)
    result = CommandResult(None)
    try:
        for result in watched(path, junit):
            click.echo(f"{result.text}\n")
            click.echo("waiting for changes; Ctrl-C ends", err=True)
    except KeyboardInterrupt:
        pass
    return CommandResult(result.data, "", exit_code=result.exit_code)


def watched(path: Path, junit: Path | None) -> Iterator[CommandResult]:
    """Yield the results now, and again after each change of one of the files."""
    seen: object = None
    while True:
        state = _state(path)
        if state != seen:
            seen = state
            yield _run_or_explain(path, junit)
        sleep(_SECONDS_BETWEEN_LOOKS)


def _state(path: Path) -> object:
    folder = path if path.is_dir() else path.parent
    times = []
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in (".yaml", ".yml", ".json", ".liquid", ".html", ".txt"):
            try:
                status = file.stat()
            except OSError:  # removed meanwhile
                continue
            times.append((file, status.st_mtime_ns, status.st_size))
    return times


def _run_or_explain(path: Path, junit: Path | None) -> CommandResult:
    from drip_pipeline.errors import DripError

    try:
        return _run(path, junit)
    except (DripError, OSError) as error:  # the next change may correct it
        return CommandResult({"error": str(error)}, str(error), exit_code=1)


def _run(path: Path, junit: Path | None) -> CommandResult:
    from drip_pipeline.engine.replace_file import replace_file
    from drip_pipeline.engine.scenarios.junit import junit_xml
    from drip_pipeline.engine.scenarios.run_scenarios import run_scenarios

    report = run_scenarios(path)
    if junit is not None:
        replace_file(junit, junit_xml(report))
    return CommandResult(
        report.to_dict(), "\n".join(_lines(report)), exit_code=int(not report.has_passed)
    )


def _lines(report: ScenarioReport) -> Iterator[str]:
    for file in report.files:
        if file.problems:
            yield f"{file.label}: cannot be run"
            yield from (f"  ! {problem.text()}" for problem in file.problems)
            continue
        failed = [person for person in file.results if not person.has_passed]
        yield f"{file.label}: {len(file.results) - len(failed)} of {len(file.results)} passed"
        for person in failed:
            yield f"  FAILED {person.name}"
            yield from (f"    {line}" for line in person.differences)
    for each in report.coverage:
        missed = each.missed
        walked = len(each.edges) - len(missed)
        yield f"{each.campaign}: {walked} of {len(each.edges)} edges walked"
        yield from _missed([edge.text() for edge in missed])
    invalid = sum(bool(file.problems) for file in report.files)
    yield (
        f"{report.count(passed=True)} passed, {report.count(passed=False)} failed"
        + (f", {invalid} files cannot be run" if invalid else "")
    )


def _missed(edges: Sequence[str]) -> Iterator[str]:
    for edge in edges[:_MOST_MISSED]:
        yield f"  not walked: {edge}"
    if len(edges) > _MOST_MISSED:
        yield f"  … and {len(edges) - _MOST_MISSED} more"
