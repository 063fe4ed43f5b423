"""`drip campaign funnel`: contacts per node of a campaign, as a table, a diagram or a page."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import now_option

_COLUMNS = ("step", "type", "reached", "now", "passed", "ended", "lost")


@command()
@click.argument("campaign")
@click.option("--version", type=int, metavar="N", help="The version. Default: the published one.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a diagram (.svg), or a page with the diagram and the metrics (.html).",
)
@now_option
def funnel(
    invocation: Invocation, campaign: str, version: int | None, out: Path | None, now: datetime
) -> CommandResult:
    """Show the funnel of CAMPAIGN.

    For each node, it shows how many contacts are there, have passed and were lost, and the
    progress of the goal.
    """
    from drip_pipeline.engine.metrics.funnel import campaign_funnel
    from drip_pipeline.engine.replace_file import replace_file
    from drip_pipeline.reports.funnel_diagram import funnel_diagram
    from drip_pipeline.reports.funnel_page import funnel_page, node_rows

    if out is not None and out.suffix.lower() not in {".svg", ".html", ".htm"}:
        raise click.UsageError(f"{out} must end in .svg or .html.")
    result = campaign_funnel(invocation.read_database, campaign, now=now, version=version)
    rows = node_rows(result)
    goal = result.goal
    data = {
        "campaign_id": result.campaign_id,
        "campaign": result.campaign,
        "version": result.version,
        "entered": result.entered,
        "inside": result.total("now"),
        "ended": result.total("ended"),
        "at_goal": result.total("at_goal"),
        "lost": result.total("lost_total"),
        "held": result.total("held_total"),
        "inside_other_versions": result.elsewhere,
        "goal": goal and {"summary": goal.describe(), "is_reached": goal.is_reached, "goal": goal},
        "nodes": rows,
        "edges": result.edges,
    }
    if out is not None:
        svg = out.suffix.lower() == ".svg"
        replace_file(out, funnel_diagram(result) if svg else funnel_page(result))
        return CommandResult(data | {"file": out}, f"written to {out}")
    lines = [result.describe(), *([] if goal is None else [goal.describe()])]
    if data["at_goal"]:
        lines.append(f"{data['at_goal']:,} left because they reached the goal.")
    held = [(node.label, node.describe_held()) for node in result.nodes.values() if node.held]
    summary = "\n".join([*lines, *(f"Held at {label}: {text}" for label, text in held)])
    return CommandResult(data, table(rows, _COLUMNS, title=summary))
