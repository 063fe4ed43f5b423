"""The command `drip doctor`. To add a check, add one line to CHECKS."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from drip_pipeline.cli.doctor.check_result import CheckResult
from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.errors import DripError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from drip_pipeline.settings import SettingRow

# `module:function`: each takes an Invocation and yields CheckResults.
CHECKS: tuple[str, ...] = (
    "drip_pipeline.cli.doctor.check_system:check_settings",
    "drip_pipeline.cli.doctor.check_system:check_database",
    "drip_pipeline.cli.doctor.check_zones:check_zones",
    "drip_pipeline.cli.doctor.check_role:check_role",
    "drip_pipeline.cli.doctor.check_channels:check_channels",
    "drip_pipeline.cli.doctor.check_channels:check_sender",
    "drip_pipeline.cli.doctor.check_receiver:check_receiver",
)
_STYLES = {"ok": "green", "warning": "yellow", "failure": "red"}


@command()
def doctor(invocation: Invocation) -> CommandResult:
    """Check settings, database and channels, and list all settings with their values.

    Sends nothing and changes nothing. Exits with code 1 if a check fails.
    """
    results = [result for target in CHECKS for result in _run_check(target, invocation)]
    settings = invocation.settings.described()
    is_healthy = all(result.state != "failure" for result in results)
    data = {"is_healthy": is_healthy, "findings": results, "settings": settings}
    return CommandResult(data, _render(results, settings), exit_code=0 if is_healthy else 1)


def _run_check(target: str, invocation: Invocation) -> Iterator[CheckResult]:
    module, _, name = target.partition(":")
    try:
        yield from getattr(importlib.import_module(module), name)(invocation)
    except DripError as error:
        # A check that raises an error is a failure; the other checks still run.
        yield CheckResult(name.removeprefix("check_"), "failure", str(error), error.hint)


def _render(results: Sequence[CheckResult], settings: Sequence[SettingRow]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    lines: list[Text] = []
    for result in results:
        state = (f"{result.state:8}", _STYLES[result.state])
        lines.append(Text.assemble(state, f"{result.check}: {result.message}"))
        if result.hint:
            lines.append(Text(f"        {result.hint}", style="dim"))
    rows = [
        {
            "setting": row["name"],
            "value": row["value"] or f"({row['default']})",
            "description": f"{row['consequence']} [{row['unit']}]",
        }
        for row in settings
    ]
    return Group(*lines, Text(), table(rows))
