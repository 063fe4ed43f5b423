"""`drip demo`: run sample campaigns through the real Dagster jobs and assets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import ProgressLine, format_counts
from drip_pipeline.errors import NotAllowed

if TYPE_CHECKING:
    from rich.console import RenderableType

    from drip_pipeline.db.operations.demo import RulesAtWork
    from drip_pipeline.demo.simulation import DemoRun
    from drip_pipeline.demo.summary import CampaignTotals
    from drip_pipeline.engine.ab_tests.results import SplitResults

TESTED_CAMPAIGN = "Newsletter subjects"


@command()
@click.option(
    "--contacts",
    type=click.IntRange(100, 1_000_000),
    default=10_000,
    show_default=True,
    help="Number of generated contacts.",
)
@click.option("--force", is_flag=True, help="Run even if DRIP_DATABASE_URL is set.")
def demo(invocation: Invocation, contacts: int, force: bool) -> CommandResult:
    """Run generated contacts through three campaigns on a simulated clock.

    Simulates 24 days in the workspace "Drip demo", and replaces an earlier demo but nothing else.
    Messages are recorded and not sent. Refused beside other published campaigns, which the
    simulated clock would move. Exits with code 1 if the totals of a campaign do not reconcile.
    """
    from drip_pipeline.cli.local.dagster_home import dagster_environment
    from drip_pipeline.db.migrate import migrate
    from drip_pipeline.demo import dagster_runs
    from drip_pipeline.demo.simulation import run_demo
    from drip_pipeline.demo.summary import campaign_totals, rules_at_work
    from drip_pipeline.engine.ab_tests.results import campaign_results
    from drip_pipeline.engine.ab_tests.results_json import as_json
    from drip_pipeline.engine.replace_file import replace_file
    from drip_pipeline.reports.write import campaign_page

    settings, database = invocation.settings, invocation.database
    if settings.delivery != "record":
        raise NotAllowed(
            "DRIP_DELIVERY is `send`, but the demo's contacts do not exist",
            hint="Unset DRIP_DELIVERY.",
        )
    if settings.database_url is not None and not force:
        raise NotAllowed(
            "DRIP_DATABASE_URL is set",
            hint="Unset it to use the embedded server, or use --force: the demo writes only to its"
            " own workspace.",
        )
    started_at = monotonic()
    migrate(database)
    with (
        ProgressLine() as progress,
        dagster_runs.opened(dagster_environment(settings, database.url)) as runner,
    ):
        demo_run = run_demo(
            settings,
            database,
            runner,
            ends_at=datetime.now(UTC),
            progress=progress,
            contacts=contacts,
        )
    rows = campaign_totals(database, demo_run.campaigns)
    rules = rules_at_work(database, demo_run.workspace_id)
    tests = campaign_results(database, demo_run.campaigns[TESTED_CAMPAIGN], now=demo_run.ended_at)
    page = settings.home / "reports" / "demo.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    replace_file(
        page, campaign_page(database, demo_run.campaigns[TESTED_CAMPAIGN], now=demo_run.ended_at)
    )
    seconds = round(monotonic() - started_at, 1)
    data = {
        "campaigns": rows,
        "tests": as_json(tests),
        "rules": rules,
        "job_runs": demo_run.job_runs,
        "events": demo_run.events,
        "simulated_days": (demo_run.ended_at - demo_run.began_at).days,
        "seconds": seconds,
        "report": page,
    }
    is_sound = all(row.balanced and not row.failed for row in rows)
    return CommandResult(
        data, _render(rows, rules, tests, demo_run, seconds, page), 0 if is_sound else 1
    )


def _render(
    rows: Sequence[CampaignTotals],
    rules: RulesAtWork,
    tests: Sequence[SplitResults],
    demo_run: DemoRun,
    seconds: float,
    page: Path,
) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from drip_pipeline.cli.ab import render_results
    from drip_pipeline.demo.summary import sentences

    days = (demo_run.ended_at - demo_run.began_at).days
    counts = ("entered", "active", "completed", "exited", "failed")
    totals = [
        {"campaign": row.campaign, **{name: f"{getattr(row, name):,}" for name in counts}}
        for row in rows
    ]
    exits = "\n".join(
        f"{row.campaign}, exited: {format_counts(row.exits)}" for row in rows if row.exits
    )
    reconcile = "totals reconcile"
    if not all(row.balanced for row in rows):
        reconcile = "TOTALS DO NOT RECONCILE"
    return Group(
        Text(
            f"simulated {days} days in {seconds:g} s: {demo_run.job_runs} runs of the Dagster job,"
            f" {demo_run.events:,} engagement events"
        ),
        table(totals),
        Text(f"entered = active + completed + exited + failed: {reconcile}"),
        Text(f"{exits}\n"),
        Text("\n".join(sentences(rules)) + "\n"),
        render_results(tests),
        Text(f"Report: {page}"),
        Text("Runs, assets and lineage: run `make dev` and open http://localhost:3000"),
    )
