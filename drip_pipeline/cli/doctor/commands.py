"""`drip doctor`: every setting explained, and the findings of all checks. A new check is one line
in CHECKS.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from drip_pipeline.cli.doctor.check_result import CheckResult
from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.errors import DripError

if TYPE_CHECKING:
    from drip_pipeline.settings import SettingRow

# `module:function`; each takes an Invocation and yields Findings.
CHECKS: tuple[str, ...] = (
    "drip_pipeline.cli.doctor.check_system:check_settings",
    "drip_pipeline.cli.doctor.check_system:check_database",
    "drip_pipeline.cli.doctor.check_channels:check_channels",
    "drip_pipeline.cli.doctor.check_channels:check_sender",
    "drip_pipeline.cli.doctor.check_receiver:check_receiver",
)


@command()
def doctor(invocation: Invocation) -> CommandResult:
    """Check settings, database and channels; say what to do. Exit code 1 if something is broken."""
    findings = [finding for target in CHECKS for finding in _findings(target, invocation)]
    settings = invocation.settings.described()
    is_healthy = all(finding.state != "failure" for finding in findings)
    data = {"is_healthy": is_healthy, "findings": findings, "settings": settings}
    return CommandResult(data, _report(findings, settings), exit_code=0 if is_healthy else 1)


def _findings(target: str, invocation: Invocation) -> Iterator[CheckResult]:
    module, _, name = target.partition(":")
    try:
        yield from getattr(importlib.import_module(module), name)(invocation)
    except DripError as error:
        # A check that cannot be made is a finding too; the others still run.
        yield CheckResult(name.removeprefix("check_"), "failure", str(error), error.hint)


def _report(findings: list[CheckResult], settings: list[SettingRow]) -> Any:
    from rich.console import Group
    from rich.text import Text

    styles = {"ok": "green", "warning": "yellow", "failure": "red"}
    lines: list[Any] = []
    for finding in findings:
        line = Text.assemble(
            (f"{finding.state:8}", styles[finding.state]), f"{finding.check}: {finding.message}"
        )
        lines.append(line)
        if finding.hint:
            lines.append(Text(f"        {finding.hint}", style="dim"))
    shown = [
        {
            "setting": row["name"],
            "value": row["value"] or f"({row['default']})",
            "what it does": f"{row['consequence']} [{row['unit']}]",
        }
        for row in settings
    ]
    return Group(*lines, Text(), table(shown))
