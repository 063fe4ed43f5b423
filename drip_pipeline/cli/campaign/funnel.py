"""`drip campaign funnel`: where the people of a campaign are, as a table, a picture or a page."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import now_option

_SHOWN = ("step", "type", "reached", "now", "passed", "ended", "lost")


@command()
@click.argument("campaign")
@click.option("--version", type=int, metavar="N", help="The version; else the published one.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw it: a picture (.svg), or a page with the picture and the figures (.html).",
)
@now_option
def funnel(
    invocation: Invocation, campaign: str, version: int | None, out: Path | None, now: datetime
) -> CommandResult:
    """How many people of CAMPAIGN are at each node now, passed it, or were lost there, and how far
    its goal is reached.
    """
    from drip_pipeline.engine.metrics.funnel import campaign_funnel
    from drip_pipeline.reports.funnel_diagram import funnel_picture
    from drip_pipeline.reports.funnel_page import funnel_page, node_rows

    if out is not None and out.suffix.lower() not in {".svg", ".html", ".htm"}:
        raise click.UsageError(f"{out} must end in .svg or .html.")
    found = campaign_funnel(invocation.database, campaign, now=now, version=version)
    rows = node_rows(found)
    goal = found.goal
    data = {
        "campaign_id": found.campaign_id,
        "campaign": found.campaign,
        "version": found.version,
        "entered": found.entered,
        "inside": found.total("now"),
        "ended": found.total("ended"),
        "lost": found.total("lost_people"),
        "inside_other_versions": found.elsewhere,
        "goal": goal and {"told": goal.told(), "is_reached": goal.is_reached, "goal": goal},
        "nodes": rows,
        "edges": found.edges,
    }
    if out is not None:
        drawn = funnel_picture(found) if out.suffix.lower() == ".svg" else funnel_page(found)
        out.write_text(drawn, encoding="utf-8")
        return CommandResult(data | {"file": out}, f"written to {out}")
    told = found.told() if goal is None else f"{found.told()}\n{goal.told()}"
    return CommandResult(data, table(rows, _SHOWN, title=told))
