"""The page of a preview: every message of every person, in frames without scripts or forms."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Final

from drip_pipeline.engine.preview.message_preview import MessagePreview, PreviewLink
from drip_pipeline.engine.preview.preview import CampaignPreview, PersonPreview
from drip_pipeline.engine.preview.warn import CLIPPED_BYTES
from drip_pipeline.engine.replace_file import replace_file
from drip_pipeline.reports.preview_style import PREVIEW_SCRIPT, PREVIEW_STYLE
from drip_pipeline.reports.style import html_page

INDEX: Final = "index.html"
_FOLDER: Final = "messages"
_SKIPPED: Final = {
    "empty_subject": "the subject is empty for this person, so that nothing is sent",
    "empty_text": "the text is empty for this person, so that nothing is sent",
}
# No script of the mail runs, nothing is submitted, and no link leaves the frame.
_FRAME_POLICY: Final = (
    "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; img-src * data:;"
    " style-src 'unsafe-inline' *; font-src *\">"
)


def write_preview(preview: CampaignPreview, folder: Path) -> Path:
    """Write the page and a file for every HTML mail into a folder; return the page's path.

    Files of an earlier preview in the folder are replaced; those that are not needed any more are
    deleted.
    """
    messages = folder / _FOLDER
    messages.mkdir(parents=True, exist_ok=True)
    files = {
        _file_name(message, number): _framed(message)
        for number, person in enumerate(preview.recipients, 1)
        for message in person.messages
        if message.html
    }
    for name, content in files.items():
        replace_file(messages / name, content)
    for stale in messages.glob("*.html"):
        if stale.name not in files:
            stale.unlink()
    index = folder / INDEX
    replace_file(index, preview_page(preview))
    return index


def preview_page(preview: CampaignPreview) -> str:
    """Return the page that shows the messages in frames."""
    sections = [
        _message(message, person, number)
        for number, person in enumerate(preview.recipients, 1)
        for message in person.messages
    ]
    body = (
        f'<header class=top><h1>{escape(preview.campaign)}</h1><p class="chips">'
        f"{_summary(preview)}</p></header>"
        f"<div class=layout>{_navigation(preview)}<div>{''.join(sections)}"
        f"{_notes(preview)}</div></div><script>{PREVIEW_SCRIPT}</script>"
    )
    return html_page(f"Preview: {preview.campaign}", body, style=PREVIEW_STYLE)


def _file_name(message: MessagePreview, number: int) -> str:
    safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in message.node_id)[:60]
    return f"{number:02d}-{safe}.html"


def _framed(message: MessagePreview) -> str:
    """Return the HTML as it is sent, with a policy that keeps a browser from running scripts."""
    html = message.html or ""
    head = html.lower().find("<head")
    end = html.find(">", head) + 1 if head >= 0 else 0
    if end == 0:
        return f'<!doctype html><meta charset="utf-8">{_FRAME_POLICY}{html}'
    return f'{html[:end]}<meta charset="utf-8">{_FRAME_POLICY}{html[end:]}'


def _summary(preview: CampaignPreview) -> Iterable[str]:
    nodes = len(preview.recipients[0].messages) if preview.recipients else 0
    warnings = {
        (message.node_id, warning.code)
        for person in preview.recipients
        for message in person.messages
        for warning in message.warnings
    }
    count = len(preview.recipients)
    chips = [
        _chip(f"{nodes} message{'s' if nodes != 1 else ''}"),
        _chip(f"{count} {'person' if count == 1 else 'people'}"),
    ]
    if preview.branches and not preview.unseen:
        chips.append(_chip(f"all {len(preview.branches)} branches seen", "ok"))
    elif preview.branches:
        seen = len(preview.branches) - len(preview.unseen)
        chips.append(_chip(f"{seen} of {len(preview.branches)} branches seen", "warn"))
    chips.append(
        _chip(f"{len(warnings)} kind{'s' if len(warnings) != 1 else ''} of warnings", "warn")
        if warnings
        else _chip("no warnings", "ok")
    )
    if preview.failures:
        chips.append(_chip(f"{preview.failures} cannot be rendered", "bad"))
    return "".join(chips)


def _chip(text: str, kind: str = "") -> str:
    return f'<span class="chip {kind}">{escape(text)}</span>'


def _navigation(preview: CampaignPreview) -> str:
    messages = preview.recipients[0].messages if preview.recipients else ()
    node_options, node_items = [], []
    for message in messages:
        same = [m for p in preview.recipients for m in p.messages if m.node_id == message.node_id]
        count = len({w.code for m in same for w in m.warnings})
        versions = preview.versions[message.node_id]
        note = f"{message.channel} · {versions} version{'s' if versions != 1 else ''}"
        note += f" · {count} warning{'s' if count != 1 else ''}" if count else ""
        name = escape(message.step_name)
        node_options.append(f'<option value="{escape(message.node_id)}">{name}</option>')
        node_items.append(
            f'<li tabindex=0 data-node="{escape(message.node_id)}">{name}<small>{note}</small></li>'
        )
    person_options, person_items = [], []
    for number, person in enumerate(preview.recipients, 1):
        label = escape(person.person)
        why = escape("; ".join(person.why))
        person_options.append(f'<option value="{number}">{label}</option>')
        person_items.append(
            f'<li tabindex=0 data-person="{number}">{label}<small>{why}</small></li>'
        )
    return (
        "<nav><label>Message<select id=node>"
        f"{''.join(node_options)}</select></label>"
        f"<label>Seen by<select id=person>{''.join(person_options)}</select></label>"
        f"<h2>Messages</h2><ol>{''.join(node_items)}</ol>"
        f"<h2>Seen by</h2><ol>{''.join(person_items)}</ol></nav>"
    )


def _message(message: MessagePreview, person: PersonPreview, number: int) -> str:
    return (
        f'<section class=m data-node="{escape(message.node_id)}" data-person="{number}">'
        f"{_head(message, person)}{_stage(message, number)}"
        f"<div class=two>{_warnings(message)}{_differences(message)}</div>"
        "</section>"
    )


def _head(message: MessagePreview, person: PersonPreview) -> str:
    sender = message.sender or message.channel
    name = sender.partition("<")[0].strip(' "') or sender
    chips = [_chip(message.channel)]
    if message.language:
        chips.append(_chip(f"language {message.language}"))
    if message.html_bytes:
        kind = "bad" if message.html_bytes > CLIPPED_BYTES else "ok"
        chips.append(_chip(f"HTML {_kilobytes(message.html_bytes)} of 102 kB", kind))
    if message.size_bytes:
        chips.append(_chip(f"mail {_kilobytes(message.size_bytes)}"))
    chips += [_chip(f"attached: {each.name}") for each in message.attachments]
    if message.segments is not None:
        segments = message.segments
        many = "s" if segments.segments != 1 else ""
        chips.append(_chip(f"{segments.segments} segment{many}, {segments.encoding}"))
    title = message.subject or message.text.strip().partition("\n")[0] or message.step_name
    return (
        "<div class=card><div class=inbox>"
        f"<div class=avatar aria-hidden=true>{escape(name[:1].upper())}</div><div>"
        f"<p class=from>{escape(name)} → {escape(message.recipient or person.person)}</p>"
        f"<p class=subject>{escape(title)}</p>"
        f"<p class=pre>{escape(message.preheader or message.text.strip()[:140])}</p>"
        f"</div></div><p class=facts>{''.join(chips)}</p></div>"
    )


def _stage(message: MessagePreview, number: int) -> str:
    if message.status != "sent":
        reason = _SKIPPED.get(message.reason or "", message.reason or "")
        return (
            f'<div class="card warn"><h3>{message.status.capitalize()}</h3>{escape(reason)}</div>'
        )
    tabs: list[tuple[str, str]] = []
    panes: list[str] = []
    if message.html:
        tabs += [("mail", "Desktop"), ("phone", "Phone")]
        source = f"{_FOLDER}/{_file_name(message, number)}"
        panes.append(
            '<div class="pane stage" data-views="mail phone"><iframe sandbox="" loading=lazy'
            f' title="{escape(message.subject)}" data-src="{escape(source)}"></iframe></div>'
        )
    if message.text:
        tabs.append(("text", "Text"))
        shown = (
            f"<p class=bubble>{escape(message.text)}</p>"
            if message.channel == "sms"
            else f"<pre>{escape(message.text)}</pre>"
        )
        panes.append(f'<div class="pane stage" data-views=text>{shown}</div>')
    if message.payload:
        tabs.append(("payload", "Payload"))
        payload = json.dumps(message.payload, indent=2, ensure_ascii=False, default=str)
        panes.append(
            f'<div class="pane stage" data-views=payload><pre>{escape(payload)}</pre></div>'
        )
    if message.links:
        tabs.append(("links", f"Links ({len(message.links)})"))
        panes.append(f'<div class="pane card" data-views=links>{_links(message.links)}</div>')
    if message.headers:
        tabs.append(("headers", "Headers"))
        rows = "".join(
            f"<tr><th>{escape(name)}<td>{escape(value)}" for name, value in message.headers
        )
        panes.append(
            f'<div class="pane card" data-views=headers><table class=grid>{rows}</table></div>'
        )
    buttons = "".join(
        f'<button type=button role=tab data-view="{view}">{escape(label)}</button>'
        for view, label in tabs
    )
    return f"<div class=tabs role=tablist>{buttons}</div>{''.join(panes)}"


def _links(links: Sequence[PreviewLink]) -> str:
    rows = "".join(
        f"<tr><th>{escape(link.text or ('in the text' if link.part == 'text' else 'no text'))}"
        f"<td>{escape(link.target)}"
        + (f"<small>tracked: {escape(link.tracked)}</small>" if link.tracked else "")
        for link in links
    )
    return f"<table class=grid>{rows}</table>"


def _warnings(message: MessagePreview) -> str:
    if not message.warnings:
        return "<div class='card fine'><h3>Warnings</h3>None for this person.</div>"
    items = "".join(
        f"<li>{escape(warning.message)} <code>{escape(warning.code)}</code></li>"
        for warning in message.warnings
    )
    return f"<div class='card warn'><h3>Warnings</h3><ul>{items}</ul></div>"


def _differences(message: MessagePreview) -> str:
    facts = [fact for fact in message.differences if not fact.startswith("warning: ")]
    if not facts:
        return (
            "<div class=card><h3>What differs for this person</h3>Nothing: all see this text.</div>"
        )
    items = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    return f"<div class='card list'><h3>What differs for this person</h3><ul>{items}</ul></div>"


def _notes(preview: CampaignPreview) -> str:
    unseen = [f"{b.node_id}, {b.text}, line {b.line}: {b.branch}" for b in preview.unseen]
    parts = [("Branches that none of them sees", unseen if len(preview.recipients) > 1 else [])]
    parts.append(("Publishing would refuse", list(preview.notes)))
    return "".join(
        f"<div class='card warn'><h3>{title}</h3><ul>"
        + "".join(f"<li>{escape(item)}</li>" for item in items)
        + "</ul></div>"
        for title, items in parts
        if items
    )


def _kilobytes(size: int) -> str:
    return f"{size / 1024:,.1f} kB" if size < CLIPPED_BYTES else f"{size / 1024:,.0f} kB"
