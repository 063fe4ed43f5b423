"""Telling people of incidents: by email and by a webhook in Slack's format, once per incident and
way, tried again while telling fails. What counts as an incident is said in incidents.py.

Nothing leaves with DRIP_DELIVERY=record; the incidents stand all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

import orjson

from drip_pipeline.channels.protocol import Outcome, OutgoingMessage
from drip_pipeline.db.connection import Database
from drip_pipeline.db.operations import incidents as incidents_db
from drip_pipeline.db.operations.incidents import IncidentRow
from drip_pipeline.engine.operations import incidents
from drip_pipeline.engine.transports.operator_mail import mail_channel
from drip_pipeline.errors import DripError
from drip_pipeline.redaction import redact
from drip_pipeline.settings import Settings

MAIL: Final = "mail"
WEBHOOK: Final = "webhook"
MOST_ATTEMPTS: Final = 12
_AT_ONCE: Final = 20
# The sensor that tells has a minute.
_TIMEOUT_SECONDS: Final = 10.0
_HTTPS_PORT: Final = 443
_HTTP_PORT: Final = 80

Tell = Callable[[Mapping[str, Any]], str | None]
"""Tells of one incident; None when it was told, else what is wrong."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What a look came to: incidents that are new and over, notices told and not told."""

    opened: int = 0
    resolved: int = 0
    told: int = 0
    failed: int = 0
    errors: tuple[str, ...] = ()


def routes_of(settings: Settings) -> tuple[str, ...]:
    """The ways of telling that the settings name."""
    if settings.delivery == "record":
        return ()
    mail = (MAIL,) if settings.alert_to else ()
    return (*mail, WEBHOOK) if settings.alert_webhook else mail


def watch(database: Database, settings: Settings, *, now: datetime) -> Watched:
    """Look what is wrong, write down what is new and what is over, and tell of what was not told
    yet. Two watchers at once tell once.
    """
    found = incidents.look(database, now=now, backlog_minutes=settings.alert_backlog_minutes)
    opened, resolved = incidents.note(database, found, routes=routes_of(settings), now=now)
    told = tell(database, settings, now=now)
    return Watched(opened, resolved, told.told, told.failed, told.errors)


def raise_incident(
    database: Database, settings: Settings, row: IncidentRow, *, now: datetime
) -> Watched:
    """Write down one incident that somebody else noticed, and tell of it."""
    with database.transaction() as connection:
        opened = incidents_db.note(
            connection,
            [row],
            routes=routes_of(settings),
            reopen_since=now - incidents.REOPENS_WITHIN,
            now=now,
        )
    told = tell(database, settings, now=now)
    return Watched(opened, 0, told.told, told.failed, told.errors)


def tell(database: Database, settings: Settings, *, now: datetime) -> Watched:
    """Tell of what is due to be told. A notice that could not be told comes up again, a minute
    later at first, an hour in the end.
    """
    routes = routes_of(settings)
    if not routes:
        return Watched()
    with database.transaction() as connection:
        notices = incidents_db.take_notices(
            connection, routes, most_attempts=MOST_ATTEMPTS, limit=_AT_ONCE, now=now
        )
    results: list[str | None] = []
    for route in routes:
        of_route = [notice for notice in notices if notice["route"] == route]
        if not of_route:
            continue
        for notice, error in zip(of_route, _told(route, settings, of_route), strict=True):
            with database.transaction() as connection:
                incidents_db.record_notice_result(
                    connection, notice["incident_id"], route, error, now=now
                )
            results.append(None if error is None else f"{route}: {error}")
    errors = tuple(dict.fromkeys(error for error in results if error is not None))
    failed = sum(error is not None for error in results)
    return Watched(told=len(results) - failed, failed=failed, errors=errors)


def trial(settings: Settings, *, now: datetime) -> dict[str, str | None]:
    """Tell of nothing by every way that is set up: what is wrong with each, None where it works."""
    notice = {
        "incident_id": now.isoformat(),
        "kind": "trial",
        "sentence": "This is a trial: the engine can reach you.",
        "what_to_do": "Nothing.",
        "opened_at": now,
    }
    return {route: _told(route, settings, [notice])[0] for route in routes_of(settings)}


def mail_of(notice: Mapping[str, Any], sender: str, to: str) -> OutgoingMessage:
    """The mail to one address. Its id is the incident's, so that one sent twice is recognized."""
    identity = f"drip:incident:{notice['incident_id']}:{to}"
    return OutgoingMessage(
        delivery_id=uuid5(NAMESPACE_URL, identity),
        channel="email",
        recipient=to,
        created_at=notice["opened_at"],
        sender=sender,
        subject=f"[drip] {_subject(notice['sentence'])}",
        text=f"{notice['sentence']}\n\nWhat to do: {notice['what_to_do']}\n\n"
        f"Seen first at {notice['opened_at']:%Y-%m-%d %H:%M %Z}. You are told once per incident;"
        " `drip alerts list` shows what is open.\n",
        headers={"Auto-Submitted": "auto-generated"},
    )


def slack_body(notice: Mapping[str, Any]) -> bytes:
    """The webhook's body, as Slack and its likes take it: one text."""
    kind = str(notice["kind"]).replace("_", " ")
    text = f"*{kind}*: {notice['sentence']}\n_What to do:_ {notice['what_to_do']}"
    # The three characters that Slack reads as markup of its own.
    for plain, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(plain, escaped)
    return orjson.dumps({"text": text})


def _told(route: str, settings: Settings, notices: Sequence[Mapping[str, Any]]) -> list[str | None]:
    opened = _mail(settings) if route == MAIL else _webhook(settings)
    try:
        with opened as told:
            return [told(notice) for notice in notices]
    except DripError as error:
        return [redact(str(error))] * len(notices)


@contextmanager
def _mail(settings: Settings) -> Iterator[Tell]:
    channel = mail_channel(settings)
    assert channel is not None  # with DRIP_DELIVERY=record there are no routes

    def tell_by_mail(notice: Mapping[str, Any]) -> str | None:
        messages = [mail_of(notice, settings.mail_from, to) for to in settings.alert_to]
        refused = [r for r in channel.send(messages) if r.outcome is not Outcome.ACCEPTED]
        if not refused:
            return None
        return f"{len(refused)} of {len(messages)} mails: {refused[0].error or refused[0].outcome}"

    try:
        yield tell_by_mail
    finally:
        channel.close()


@contextmanager
def _webhook(settings: Settings) -> Iterator[Tell]:
    from drip_pipeline.channels.http.address_guard import AddressGuard
    from drip_pipeline.channels.http.client import HttpClient, HttpRequest

    assert settings.alert_webhook is not None
    url = settings.alert_webhook.reveal()
    # The operator named this host in the settings, so it may be an internal one.
    client = HttpClient(AddressGuard((*settings.webhook_allow, _host_of(url))))

    def tell_by_webhook(notice: Mapping[str, Any]) -> str | None:
        request = HttpRequest(
            method="POST",
            url=url,
            headers={"Content-Type": "application/json"},
            body=slack_body(notice),
            timeout_seconds=_TIMEOUT_SECONDS,
        )
        (answer,) = client.call([request])
        if answer.failure is not None:
            return f"{answer.failure}: {redact(answer.error)}"
        return None if 200 <= answer.status < 300 else f"answered with {answer.status}"

    try:
        yield tell_by_webhook
    finally:
        client.close()


def _host_of(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{parts.port or (_HTTPS_PORT if parts.scheme == 'https' else _HTTP_PORT)}"


def _subject(sentence: str) -> str:
    first = sentence.split(": ", 1)[0]
    return first if len(first) <= 150 else f"{first[:149]}…"
