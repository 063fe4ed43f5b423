"""`drip campaign preview`: every message as a person would get it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drip_pipeline.cli.campaign.files import text_of
from drip_pipeline.cli.framework.command import CommandResult, Invocation, command
from drip_pipeline.cli.framework.options import now_option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from drip_pipeline.db.connection import Database
    from drip_pipeline.engine.preview.message_preview import MessagePreview
    from drip_pipeline.engine.preview.preview import CampaignPreview, PreviewRequest

_LONGEST_TEXT_LINES = 60
_MOST_DIFFERENCES = 6


def message_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that select the person, the message and the data."""
    for option in (
        click.option(
            "--workspace", metavar="NAME", help="The workspace of a file that names none."
        ),
        click.option(
            "--data", metavar="JSON", help="Entry data of the run, read as `entry` in the texts."
        ),
        click.option("--node", "node_id", metavar="N", help="Only the message of this node."),
        click.option(
            "--as", "person", metavar="EMAIL|ID", help="The contact who gets the messages."
        ),
    ):
        function = option(function)
    return function


@command()
@click.argument("campaign", metavar="CAMPAIGN|FILE")
@message_options
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Write a page with all messages into this folder.",
)
@click.option("--open", "is_opened", is_flag=True, help="Write the page and open it in a browser.")
@now_option
def preview(
    invocation: Invocation,
    campaign: str,
    person: str | None,
    node_id: str | None,
    data: str | None,
    workspace: str | None,
    out: Path | None,
    is_opened: bool,
    now: datetime,
) -> CommandResult:
    """Show every message of CAMPAIGN, or of a campaign FILE, as a person would get it.

    Without --as, ten people are chosen so that every branch of the texts and the emptiest and the
    longest values are seen; where the workspace has no such contact, they are made up. Nothing is
    sent or stored, and the links of previews count for nobody.
    """
    from drip_pipeline.engine.preview.preview import preview as make_preview
    from drip_pipeline.engine.runner.factory import message_settings
    from drip_pipeline.engine.transports.registry import sending_channels
    from drip_pipeline.reports.preview_page import write_preview

    request, database = preview_request(
        invocation, campaign, person=person, node_id=node_id, data=data, workspace=workspace
    )
    shown = make_preview(
        database,
        request,
        settings=message_settings(invocation.settings),
        channels=sending_channels(invocation.settings),
        now=now,
    )
    result: dict[str, Any] = shown.to_dict()
    if is_opened and out is None:
        import tempfile

        out = Path(tempfile.mkdtemp(prefix="drip-preview-"))
    exit_code = 1 if shown.failures else 0
    if out is None:
        return CommandResult(result, "\n".join(_lines(shown)), exit_code=exit_code)
    page = write_preview(shown, out)
    if is_opened:
        click.launch(str(page))
    text = "\n".join([*_summary(shown), f"written to {page}"])
    return CommandResult(result | {"file": page}, text, exit_code=exit_code)


def preview_request(
    invocation: Invocation,
    campaign: str,
    *,
    person: str | None,
    node_id: str | None,
    data: str | None,
    workspace: str | None,
) -> tuple[PreviewRequest, Database | None]:
    """Return the request of the options, and the database; None if there is none and a file needs
    none. Raises ImportFileError for a file that cannot be read."""
    from drip_pipeline.engine.preview.preview import PreviewRequest

    values = None if data is None else _object(data)
    path = Path(campaign)
    if path.suffix.lower() not in (".yaml", ".yml", ".json") and not path.is_file():
        request = PreviewRequest(
            campaign=campaign, person=person, node_id=node_id, data=values, workspace=workspace
        )
        return request, invocation.database
    request = PreviewRequest(
        file=text_of(path),
        path=path,
        settings=invocation.settings,
        person=person,
        node_id=node_id,
        data=values,
        workspace=workspace,
    )
    return request, _database_if_any(invocation, is_needed=person is not None)


def _database_if_any(invocation: Invocation, *, is_needed: bool) -> Database | None:
    """Return the database; for a file, None if it is not set up or cannot be reached."""
    from drip_pipeline.errors import DripError

    settings = invocation.settings
    is_set_up = settings.database_url is not None or (settings.home / "postgres").exists()
    if is_needed:
        return invocation.database
    if not is_set_up:
        return None
    try:
        database = invocation.database
        with database.transaction(is_read_only=True):
            return database
    except DripError as error:
        click.echo(f"without a database, all people are made up: {error}", err=True)
        return None


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise click.BadParameter(
            'is not a JSON object such as \'{"order_id": "A-17"}\'', param_hint="--data"
        )
    return value


# --- text -----------------------------------------------------------------------------------------


def _lines(shown: CampaignPreview) -> Iterator[str]:
    if len(shown.recipients) == 1:
        person = shown.recipients[0]
        for message in person.messages:
            yield from _message_lines(message)
            yield ""
        yield from _summary(shown)
        return
    for n, first in enumerate(shown.recipients[0].messages if shown.recipients else ()):
        versions = shown.versions[first.node_id]
        yield (
            f"{first.node_id} ({first.channel}): {versions} version{'s' if versions != 1 else ''}"
            f" for {len(shown.recipients)} people"
        )
        common = _common_warnings(shown, n)
        yield from (f"  warning, for everybody: {text}" for text in common)
        for person in shown.recipients:
            yield from _person_lines(person.person, person.messages[n], common)
        yield ""
    yield from _summary(shown)


def _common_warnings(shown: CampaignPreview, n: int) -> list[str]:
    of_each = [[w.message for w in person.messages[n].warnings] for person in shown.recipients]
    return [text for text in of_each[0] if all(text in own for own in of_each)]


def _person_lines(label: str, message: MessagePreview, common: list[str]) -> Iterator[str]:
    title = message.subject or message.text.strip().partition("\n")[0][:70]
    if message.status != "sent":
        title = f"{message.status}: {message.reason}"
    yield f"  {label}: {title}"
    own = [f for f in message.differences if not f.startswith(("subject: ", "warning: "))]
    shown = own[:_MOST_DIFFERENCES]
    yield from (f"      {fact}" for fact in shown)
    if len(own) > len(shown):
        yield f"      and {len(own) - len(shown)} more differences"
    for warning in message.warnings:
        if warning.message not in common:
            yield f"      warning: {warning.message}"


def _message_lines(message: MessagePreview) -> Iterator[str]:
    yield f"== {message.node_id} ({message.channel}): {message.step_name}"
    if message.status != "sent":
        yield f"{message.status}: {message.reason}"
        return
    for name, value in (
        ("From", message.sender),
        ("To", message.recipient),
        ("Language", message.language),
        ("Subject", message.subject),
        ("Preheader", message.preheader),
    ):
        if value:
            yield f"{name}: {value}"
    for attachment in message.attachments:
        yield f"Attachment: {attachment.name} ({attachment.media_type}, {attachment.size:,} bytes)"
    if message.segments is not None:
        segments = message.segments
        yield f"Segments: {segments.segments} ({segments.encoding}, {segments.units} units)"
    if message.size_bytes:
        yield (
            f"Size: {message.size_bytes / 1024:,.1f} kB, HTML {message.html_bytes / 1024:,.1f} kB"
            " (Gmail clips at 102 kB)"
        )
    yield ""
    lines = message.text.splitlines()
    yield from lines[:_LONGEST_TEXT_LINES]
    if len(lines) > _LONGEST_TEXT_LINES:
        yield f"… {len(lines) - _LONGEST_TEXT_LINES} more lines; --out FOLDER writes all"
    if message.payload:
        yield json.dumps(message.payload, indent=2, ensure_ascii=False, default=str)
    for link in message.links:
        if link.part == "html":
            yield f"link: {link.text or '(no text)'} -> {link.target}"
            if link.tracked:
                yield f"      tracked as {link.tracked}"
    yield from (f"warning: {warning.message} [{warning.code}]" for warning in message.warnings)


def _summary(shown: CampaignPreview) -> Iterator[str]:
    made_up = sum(person.is_made_up for person in shown.recipients)
    recipients = f"{len(shown.recipients)} {'person' if len(shown.recipients) == 1 else 'people'}"
    if made_up:
        recipients += f" ({made_up} made up)"
    messages = len(shown.recipients[0].messages) if shown.recipients else 0
    line = f"{shown.source}: {messages} message{'s' if messages != 1 else ''}, {recipients}"
    if shown.branches and len(shown.recipients) > 1:
        seen = len(shown.branches) - len(shown.unseen)
        line += f", {seen} of {len(shown.branches)} branches seen"
    yield line
    if len(shown.recipients) > 1:
        for branch in shown.unseen:
            yield (
                f"not seen: {branch.node_id}, {branch.text}, line {branch.line}: {branch.branch}"
            )
    yield from (f"note: {note}" for note in shown.notes)
    if shown.failures:
        yield f"{shown.failures} messages cannot be rendered"
