"""The pages on which people choose topics, leave everything, come back, and confirm a topic."""

from __future__ import annotations

from html import escape
from typing import Final

from starlette.responses import HTMLResponse

from drip_pipeline.db.contacts.topics import RecipientTopic
from drip_pipeline.engine.events.preferences import Preferences
from drip_pipeline.receiver.pages import page

SAVE: Final = "save"
ALL: Final = "all"
AGAIN: Final = "again"
LEFT: Final = "left"


def ask(sender: str, done: str | None) -> HTMLResponse:
    """Return the page of a message without topics: it asks whether to unsubscribe."""
    if done == AGAIN:
        return page(
            "done",
            "Welcome back",
            f'<p role="status">You get email from <strong>{escape(sender)}</strong> again.</p>'
            + _button(ALL, "Unsubscribe", is_quiet=True),
        )
    return page(
        "ask",
        "Unsubscribe?",
        f"<p>You will get no more email from <strong>{escape(sender)}</strong>.</p>"
        '<form method="post"><button type="submit">Unsubscribe</button></form>'
        '<p class="soft">Changed your mind? Just close this page.</p>',
    )


def unsubscribed(sender: str, done: str | None) -> HTMLResponse:
    """Return the page of a recipient who gets nothing."""
    if done == AGAIN:
        return page(
            "sorry",
            "You are still unsubscribed",
            f'<p role="status">Only <strong>{escape(sender)}</strong> can change this. Please'
            " write to them.</p>",
        )
    return page(
        "done",
        "You are unsubscribed",
        f"<p>You will get no more email from <strong>{escape(sender)}</strong>.</p>"
        '<p class="soft">It takes effect immediately. You can close this page.</p>'
        + _button(AGAIN, "Subscribe again", is_quiet=True),
    )


def topics(sender: str, current: Preferences, done: str | None) -> HTMLResponse:
    """Return the page on which the recipient chooses topics."""
    of_message = current.of_message
    status = ""
    if done == LEFT and of_message is not None and of_message.status != "subscribed":
        title = escape(of_message.title)
        status = f"You will get no more messages about <strong>{title}</strong>."
    elif done == AGAIN:
        status = "Welcome back. You get the topics that are ticked."
    elif done == SAVE:
        status = "Your choice is saved."
    rows = "".join(_row(number, topic) for number, topic in enumerate(current.topics))
    return page(
        "done" if status else "ask",
        "Your messages",
        (f'<p class="status" role="status">{status}</p>' if status else "")
        + '<form method="post"><fieldset>'
        f"<legend>What would you like to get from <strong>{escape(sender)}</strong>?</legend>"
        f'<ul class="topics">{rows}</ul></fieldset>'
        f'<button type="submit" name="action" value="{SAVE}">Save my choice</button></form>'
        + _button(ALL, "Unsubscribe from everything", is_quiet=True)
        + '<p class="soft">Changes take effect immediately.</p>',
    )


def ask_to_confirm(sender: str, title: str) -> HTMLResponse:
    """Return the page that asks to confirm a topic."""
    return page(
        "ask",
        "Please confirm",
        f"<p>You will get messages about <strong>{escape(title)}</strong> from"
        f" <strong>{escape(sender)}</strong>.</p>"
        '<form method="post"><button type="submit">Yes, I want them</button></form>'
        '<p class="soft">You did not ask for this? Just close this page.</p>',
    )


def confirmed(sender: str, title: str) -> HTMLResponse:
    """Return the page of a confirmed topic."""
    return page(
        "done",
        "Thank you",
        f'<p role="status">You get messages about <strong>{escape(title)}</strong> from'
        f" <strong>{escape(sender)}</strong>.</p>"
        '<p class="soft">Each of them has a link to change this. You can close this page.</p>',
    )


def left_meanwhile(title: str) -> HTMLResponse:
    """Return the page of a topic that was left after it was asked about."""
    return page(
        "sorry",
        "This link is no longer valid",
        f"<p>You have left <strong>{escape(title)}</strong> since. To join again, please use the"
        " link in one of our messages, or answer it and say so.</p>",
    )


def _row(number: int, topic: RecipientTopic) -> str:
    notes = [escape(topic.description)] if topic.description else []
    if topic.is_locked:
        notes.append("Turned off by the sender.")
    elif topic.status == "pending":
        notes.append("Not confirmed yet. Tick it to confirm.")
    described = f' aria-describedby="note{number}"' if notes else ""
    lines = "<br>".join(notes)
    note = f'<span class="note" id="note{number}">{lines}</span>' if notes else ""
    ticked = " checked" if topic.status == "subscribed" else ""
    disabled = " disabled" if topic.is_locked else ""
    return (
        f'<li><input type="checkbox" name="topic" id="topic{number}"'
        f' value="{escape(topic.topic)}"{described}{ticked}{disabled}>'
        f'<div><label for="topic{number}">{escape(topic.title)}</label>{note}</div></li>'
    )


def _button(action: str, text: str, *, is_quiet: bool = False) -> str:
    style = ' class="quiet"' if is_quiet else ""
    return (
        f'<form method="post"><button type="submit" name="action" value="{action}"{style}>'
        f"{escape(text)}</button></form>"
    )
