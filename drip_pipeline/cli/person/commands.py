"""`drip contacts show` and `drip contacts set`."""

from __future__ import annotations

from datetime import datetime

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import now_option


def register(group: click.Group) -> None:
    """Add the commands to `drip contacts`."""

    @command(group)
    @click.argument("who", metavar="EMAIL|ID")
    @click.option(
        "--campaign",
        metavar="CAMPAIGN",
        help="Only this campaign; if the contact is not in it, why not.",
    )
    @click.option(
        "--workspace",
        metavar="NAME",
        help="Workspace; required if contacts of several have the address.",
    )
    @click.option("--all", "all_events", is_flag=True, help="Show all runs, entries and messages.")
    @now_option
    def show(
        invocation: Invocation,
        who: str,
        campaign: str | None,
        workspace: str | None,
        all_events: bool,
        now: datetime,
    ) -> CommandResult:
        """Explain one contact: where it is, how it came there, and what happens next and when.

        The first sentence says it. Then come its data, suppressions and topics, and each run with
        its path (with the values that decided), variants, messages and what became of them, and
        messages that were not sent, with the rule. Times are in the contact's time zone.
        """
        from drip_pipeline.engine.explanations.show_person import show_person

        shown = show_person(
            invocation.database,
            who,
            now=now,
            campaign=campaign,
            workspace=workspace,
            all_events=all_events,
        )
        if invocation.is_json:
            return CommandResult(shown)
        from drip_pipeline.cli.person.explanation_text import explanation_text

        return CommandResult(shown, explanation_text(shown))
