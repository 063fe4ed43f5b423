"""`drip contacts show` and `drip contacts set`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import now_option, parse_types, reason_option

if TYPE_CHECKING:
    from drip_pipeline.engine.contacts.set_fields import FieldsSet


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

    @command(group, name="set")
    @click.argument("who", metavar="EMAIL|ID")
    @click.argument("fields", metavar="FIELD=VALUE...", nargs=-1, callback=_parse_fields)
    @click.option(
        "--types",
        metavar="FIELD=TYPE",
        multiple=True,
        callback=parse_types,
        help="Store a custom field as text, integer, number, boolean or date, as in an import.",
    )
    @click.option(
        "--workspace",
        metavar="NAME",
        help="Workspace; required if contacts of several have the address.",
    )
    @reason_option
    @now_option
    def set_(
        invocation: Invocation,
        who: str,
        fields: dict[str, str],
        types: dict[str, str],
        workspace: str | None,
        reason: str | None,
        now: datetime,
    ) -> CommandResult:
        """Set fields of one contact, such as company=Acorn email=new@example.com tags=vip,news.

        Values are read and checked as in an import; every other name is a custom field. FIELD=
        removes a value. Tags are replaced. If one value cannot be read, nothing is changed.

        A corrected address is free of the suppressions of the former one, which stay with that;
        only the person's own no (unsubscribed, reported spam) applies to both.
        """
        from drip_pipeline.engine.contacts.set_fields import set_fields

        result = set_fields(
            invocation.database,
            who,
            fields,
            now=now,
            types=types,
            workspace=workspace,
            actor=invocation.actor,
            reason=reason,
        )
        return CommandResult(result, _describe(result))


def _parse_fields(
    _context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, str]:
    fields: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name.strip():
            raise click.BadParameter(f"{text!r} is not FIELD=VALUE")
        if name.strip() in fields:
            raise click.BadParameter(f"{name.strip()!r} is given twice")
        fields[name.strip()] = value
    return fields


def _describe(result: FieldsSet) -> str:
    if not result.changed:
        return "nothing changed: the contact has these values"
    lines = [f"changed: {', '.join(result.changed)}"]
    if result.unchanged:
        lines.append(f"unchanged: {', '.join(result.unchanged)}")
    if result.left_behind:
        lines.append(
            f"suppressions that stay with the former address, and no longer apply:"
            f" {result.left_behind:,}"
        )
    if result.suppressed_by:
        lines.append(
            f"still suppressed: {', '.join(result.suppressed_by)}; `drip contacts resubscribe`"
            " lifts it"
        )
    return "\n".join(lines)
