"""`drip report`: write the report of a campaign's A/B tests as one HTML file."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import now_option


@command()
@click.argument("campaign")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="Path of the HTML file. It is self-contained.",
)
@now_option
def report(invocation: Invocation, campaign: str, out: Path, now: datetime) -> CommandResult:
    """Write a report of the A/B tests of CAMPAIGN (id or exact name): verdicts, charts, metrics."""
    from drip_pipeline.engine.replace_file import replace_file
    from drip_pipeline.reports.write import campaign_page

    replace_file(out, campaign_page(invocation.read_database, campaign, now=now))
    return CommandResult({"file": out}, f"report written to {out}")
