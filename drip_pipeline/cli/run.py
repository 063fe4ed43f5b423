"""`drip run`: run the engine without Dagster, once or until nothing is due."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import (
    ProgressLine,
    format_counts,
    now_option,
    without_zeros,
)
from drip_pipeline.errors import DatabaseUnavailable, EmbeddedServerError, NotAllowed

if TYPE_CHECKING:
    from drip_pipeline.engine.runner.tick import TickReport

CLOCK_TOLERANCE: Final = timedelta(minutes=1)
RECONNECT_SECONDS: Final = 60.0
RECONNECT_PAUSE_SECONDS: Final = 1.0
MOST_OUTAGES: Final = 10
# Enough for one batch: the time is checked between batches.
MIN_SECONDS: Final = 0.001


@command()
@click.option("--until-idle", is_flag=True, help="Repeat until nothing is due.")
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Stop after the batch during which this time has passed; the rest stays due.",
)
@click.option("--send-anyway", is_flag=True, help="Send messages even if --now is in the future.")
@now_option
def run(
    invocation: Invocation,
    until_idle: bool,
    max_seconds: float | None,
    send_anyway: bool,
    now: datetime,
) -> CommandResult:
    """Import the inbox, admit new enrollments, advance due enrollments, deliver due messages.

    Safe to run beside Dagster, and in several processes at once: a due enrollment is claimed by
    one process only. If the connection to the database is lost, it is tried again for a minute.
    With DRIP_DELIVERY=send, a time in the future is refused: it would send messages to people
    before they are due.
    """
    from drip_pipeline.cli.inbox import describe_drain
    from drip_pipeline.db.standby import check_writable
    from drip_pipeline.domain.events.soft_bounces import SoftBounceLimit
    from drip_pipeline.engine.events.drain_inbox import DrainReport, drain_inbox
    from drip_pipeline.engine.runner.factory import close, engine_from
    from drip_pipeline.engine.runner.tick import TickReport, tick

    if not send_anyway:
        _refuse_early_sending(invocation.settings.delivery, now)
    started_at = monotonic()
    drained, report = DrainReport(), TickReport()

    def work() -> None:
        """Do what is due, in addition to what the reports have."""
        left = max_seconds and max(MIN_SECONDS, max_seconds - (monotonic() - started_at))
        engine = engine_from(invocation.settings, invocation.database)
        try:
            with ProgressLine() as progress:
                # The inbox comes first, because its events unsubscribe contacts and resume waits.
                drain_inbox(
                    engine.database,
                    now=now,
                    max_seconds=left,
                    progress=progress,
                    report=drained,
                    soft_bounces=SoftBounceLimit.of(invocation.settings),
                )
                tick(
                    engine,
                    now=now,
                    until_idle=until_idle,
                    max_seconds=left,
                    progress=progress,
                    report=report,
                )
        finally:
            close(engine)

    with invocation.database.transaction() as connection:  # a wrong URL is reported at once
        check_writable(connection)
    outlast_outages(work, invocation)
    seconds = round(monotonic() - started_at, 3)
    data = {**asdict(report), "inbox": drained, "now": now, "seconds": seconds}
    lines = [describe_drain(drained)] if drained.rows else []
    return CommandResult(data, "\n".join([*lines, _describe(report, seconds)]))


def _refuse_early_sending(delivery: str, now: datetime) -> None:
    if delivery == "send" and now - datetime.now(UTC) > CLOCK_TOLERANCE:
        raise NotAllowed(
            f"--now {now.isoformat()} is in the future, and DRIP_DELIVERY is `send`: messages would"
            " be sent to people before they are due",
            hint="Use DRIP_DELIVERY=record to see what would be sent, or --send-anyway.",
        )


def outlast_outages(work: Callable[[], None], invocation: Invocation) -> None:
    """Run `work`, and again after the connection to the database was lost and is there again.

    What was not committed is still due, so that repeating the work loses and repeats nothing.
    Raises DatabaseUnavailable if the database does not answer within a minute.
    """
    for _ in range(MOST_OUTAGES):
        try:
            work()
            return
        except DatabaseUnavailable as error:
            click.echo(f"{error}; trying to connect again for {RECONNECT_SECONDS:g} s", err=True)
            _reconnect(invocation)
    work()


def _reconnect(invocation: Invocation) -> None:
    deadline = monotonic() + RECONNECT_SECONDS
    while True:
        sleep(RECONNECT_PAUSE_SECONDS)
        try:
            # An embedded server that has stopped is started, possibly on another port.
            invocation.reopen_database().check()
        except (DatabaseUnavailable, EmbeddedServerError):
            if monotonic() > deadline:
                raise
        else:
            click.echo("the database answers again", err=True)
            return


def _describe(report: TickReport, seconds: float) -> str:
    lines = [f"advanced {report.advanced:,} enrollments in {report.batches:,} batches"]
    if report.moved:
        lines[0] += f" ({format_counts(report.moved)})"
    lines += [
        f"{name!r} was paused by its guard; `drip alerts list` says why"
        for name in report.paused_by_guard
    ]
    followed = report.followed
    if followed.moved or followed.ended or followed.exited:
        lines.append(
            f"changed contacts: {followed.moved:,} waits end at another time,"
            f" {followed.ended:,} have ended; {followed.exited:,} enrollments exited by exit rules"
        )
    for new in report.new_enrollments:
        counts = {"enrolled": new.enrolled, "already enrolled": new.already_in, **new.refused}
        lines.append(f"{new.campaign}, {new.kind} trigger: {format_counts(without_zeros(counts))}")
    for channel, done in report.delivered.items():
        counts = {
            "sent": done.sent,
            **{f"skipped ({reason})": count for reason, count in done.skipped.items()},
            "failed": done.failed,
            "to be retried": done.retried,
            "unknown": done.unknown,
            "held back": done.held,
            **{f"held ({rule})": count for rule, count in done.held_by.items()},
        }
        lines.append(f"{channel}: {format_counts(without_zeros(counts))}")
    recovered = without_zeros(asdict(report.recovered))
    if recovered:
        lines.append(f"recovered: {format_counts(recovered)}")
    rest = "nothing more is due" if report.is_idle else "more work may be due"
    return "\n".join([*lines, f"{rest}; {seconds:g} s"])
