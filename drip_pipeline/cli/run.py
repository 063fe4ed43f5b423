"""`drip run`: the engine without Dagster, for one tick or until nothing is due."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import ProgressLine, format_counts, now_option

if TYPE_CHECKING:
    from drip_pipeline.engine.runner.tick import TickReport


@command()
@click.option("--until-idle", is_flag=True, help="Again and again until nothing is due.")
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Stop between two batches after this time; what is left stays due.",
)
@now_option
def run(
    invocation: Invocation, until_idle: bool, max_seconds: float | None, now: datetime
) -> CommandResult:
    """Take in what came in, let in who came to match, advance everybody who is due, deliver what is
    to be delivered.

    Safe to run beside Dagster, or several times at once: nobody is moved twice.
    """
    from drip_pipeline.cli.inbox import told as inbox_told
    from drip_pipeline.engine.events.drain_inbox import drain_inbox
    from drip_pipeline.engine.runner.factory import close, engine_from
    from drip_pipeline.engine.runner.tick import tick

    engine = engine_from(invocation.settings, invocation.database)
    begun = monotonic()
    try:
        with ProgressLine() as progress:
            # First: whoever unsubscribed is not written to, and whom an event wakes goes on.
            drained = drain_inbox(
                engine.database, now=now, max_seconds=max_seconds, progress=progress
            )
            report = tick(
                engine,
                now=now,
                until_idle=until_idle,
                max_seconds=max_seconds,
                progress=progress,
            )
    finally:
        close(engine)
    seconds = round(monotonic() - begun, 3)
    data = {**asdict(report), "inbox": drained, "now": now, "seconds": seconds}
    lines = [inbox_told(drained)] if drained.rows else []
    return CommandResult(data, "\n".join([*lines, _told(report, seconds)]))


def _told(report: TickReport, seconds: Any) -> str:
    lines = [f"advanced {report.advanced:,} people in {report.batches:,} batches"]
    if report.moved:
        lines[0] += f" ({format_counts(report.moved)})"
    for new in report.newcomers:
        verdicts = {"enrolled": new.enrolled, "already in": new.already_in, **new.refused}
        shown = format_counts({name: n for name, n in verdicts.items() if n})
        lines.append(f"{new.campaign}, by its {new.kind} trigger: {shown or 'nobody'}")
    for channel, done in report.delivered.items():
        figures = {
            "sent": done.sent,
            **{f"skipped ({reason})": count for reason, count in done.skipped.items()},
            "failed": done.failed,
            "to be retried": done.retried,
            "in doubt": done.unknown,
            "held": done.held,
        }
        lines.append(f"{channel}: {format_counts({name: n for name, n in figures.items() if n})}")
    put_right = {name: n for name, n in asdict(report.rescued).items() if n}
    if put_right:
        lines.append(f"put right first: {format_counts(put_right)}")
    left = "nothing is due any more" if report.is_idle else "there may be more that is due"
    return "\n".join([*lines, f"{left}; {seconds:g} s"])
