"""`drip campaign test-send`: send the messages of a campaign to testers."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from drip_pipeline.cli.campaign.preview import message_options, preview_request
from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import now_option, reason_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drip_pipeline.engine.preview.send_test import SendTestReport


@command(name="test-send")
@click.argument("campaign", metavar="CAMPAIGN|FILE")
@click.option("--to", "addresses", multiple=True, metavar="ADDRESS",
              help="Email address or phone number of a tester; may be repeated.")  # fmt: skip
@click.option(
    "--seeds", metavar="NAME", help="Seed list of the workspace (`drip workspace seeds`)."
)
@message_options
@reason_option
@now_option
def test_send(
    invocation: Invocation,
    campaign: str,
    addresses: tuple[str, ...],
    seeds: str | None,
    person: str | None,
    node_id: str | None,
    data: str | None,
    workspace: str | None,
    reason: str | None,
    now: datetime,
) -> CommandResult:
    """Send every message of CAMPAIGN, or of a campaign FILE, to testers.

    The messages go through the campaign's channel, as to the contact of --as (by default with
    made-up values), with [Test] in front of the subject. They create no state, event or metric, use
    no limit, and their links count for nobody. With DRIP_DELIVERY=record nothing is sent.
    """
    from drip_pipeline.engine.preview.send_test import send_test
    from drip_pipeline.engine.runner.factory import message_settings
    from drip_pipeline.engine.transports.registry import sending_channels

    if not addresses and seeds is None:
        raise click.UsageError("Specify --to ADDRESS or --seeds NAME.")
    request, _ = preview_request(
        invocation, campaign, person=person, node_id=node_id, data=data, workspace=workspace
    )
    channels = sending_channels(invocation.settings)
    try:
        report = send_test(
            invocation.database,
            request,
            addresses,
            seeds,
            settings=message_settings(invocation.settings),
            channels=channels,
            is_recorded=invocation.settings.delivery == "record",
            now=now,
            actor=invocation.actor,
            reason=reason,
        )
    finally:
        for channel in channels.values():
            channel.close()
    is_failed = report.count("failed") or not (report.count("sent") + report.count("recorded"))
    return CommandResult(report, "\n".join(_lines(report)), exit_code=1 if is_failed else 0)


def _lines(report: SendTestReport) -> Iterator[str]:
    for message in report.messages:
        why = f": {message.reason}" if message.reason else ""
        yield f"{message.node_id} ({message.channel}) to {message.to}: {message.status}{why}"
    yield from report.notes
    yield f"{report.campaign!r} as seen by {report.seen_by}: {report.count('sent')} sent"
    if report.count("recorded"):
        yield "nothing was sent, because DRIP_DELIVERY is `record`"
