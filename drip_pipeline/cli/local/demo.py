"""`drip demo`: the engine at work on made-up people, by the real Dagster jobs and assets."""

from __future__ import annotations

from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, table
from drip_pipeline.cli.framework.options import ProgressLine
from drip_pipeline.errors import NotAllowed

if TYPE_CHECKING:
    from drip_pipeline.demo.play import Played
    from drip_pipeline.engine.ab_tests.results import SplitResults

TESTED = "Newsletter subjects"


@command()
@click.option(
    "--anyway", is_flag=True, help="Play it although DRIP_DATABASE_URL names a server of your own."
)
def demo(invocation: Invocation, anyway: bool) -> CommandResult:
    """Run 10,000 made-up people through three campaigns on a compressed clock. An earlier demo is
    replaced; nothing leaves this machine.
    """
    from drip_pipeline.cli.local.dagster_home import dagster_environment
    from drip_pipeline.db.migrate import migrate
    from drip_pipeline.demo import dagster_runs
    from drip_pipeline.demo.play import play
    from drip_pipeline.demo.summary import population
    from drip_pipeline.engine.ab_tests.results import campaign_results
    from drip_pipeline.engine.ab_tests.results_json import as_json
    from drip_pipeline.reports.write import campaign_page

    settings, database = invocation.settings, invocation.database
    if settings.delivery != "record":
        raise NotAllowed(
            "DRIP_DELIVERY is `send`, and the demo's people do not exist",
            hint="Unset DRIP_DELIVERY.",
        )
    if settings.database_url is not None and not anyway:
        raise NotAllowed(
            "DRIP_DATABASE_URL names a server of your own",
            hint="Unset it to play on the embedded server, or say --anyway: the demo keeps to a"
            " workspace of its own.",
        )
    began = monotonic()
    progress = ProgressLine()
    migrate(database)
    with dagster_runs.opened(dagster_environment(settings, database.url)) as dagster:
        played = play(settings, database, dagster, ends_at=datetime.now(UTC), tell=progress)
    progress.close()
    rows = population(database, played.campaigns)
    tests = campaign_results(database, played.campaigns[TESTED], now=played.ended_at)
    page = settings.home / "reports" / "demo.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(
        campaign_page(database, played.campaigns[TESTED], now=played.ended_at), encoding="utf-8"
    )
    seconds = round(monotonic() - began, 1)
    data = {
        "campaigns": rows,
        "tests": as_json(tests),
        "job_runs": played.job_runs,
        "events": played.events,
        "simulated_days": (played.ended_at - played.began_at).days,
        "seconds": seconds,
        "report": page,
    }
    is_sound = all(row["balanced"] and not row["failed"] for row in rows)
    return CommandResult(data, _shown(rows, tests, played, seconds, page), 0 if is_sound else 1)


def _shown(
    rows: list[dict[str, Any]],
    tests: list[SplitResults],
    played: Played,
    seconds: float,
    page: Any,
) -> Any:
    from rich.console import Group
    from rich.text import Text

    from drip_pipeline.cli.ab import results_shown

    days = (played.ended_at - played.began_at).days
    columns = ("entered", "active", "completed", "exited", "failed")
    lines = [
        {"campaign": row["campaign"], **{name: f"{row[name]:,}" for name in columns}}
        for row in rows
    ]
    left = "\n".join(
        f"{row['campaign']}, exited: {_reasons(row['exits'])}" for row in rows if row["exits"]
    )
    sound = all(row["balanced"] for row in rows)
    books = "the books balance" if sound else "THE BOOKS DO NOT BALANCE"
    return Group(
        Text(
            f"{days} days in {seconds:g} s: {played.job_runs} runs of the Dagster job,"
            f" {played.events:,} reactions of recipients"
        ),
        table(lines),
        Text(f"entered = active + completed + exited + failed: {books}"),
        Text(f"{left}\n"),
        results_shown(tests),
        Text(f"The report, with pictures: {page}"),
        Text("Runs, assets and lineage: make dev, then http://localhost:3000"),
    )


def _reasons(exits: dict[str, int]) -> str:
    return ", ".join(f"{people:,} {reason.replace('_', ' ')}" for reason, people in exits.items())
