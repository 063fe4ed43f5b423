"""Notify operators of incidents by email and by Slack-compatible webhook.

Each incident is sent once per route, with retries, and so is its resolution. `incidents.py` defines
what is an incident. With DRIP_DELIVERY=record nothing is sent, but incidents are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

import orjson

from drip_pipeline.channels.protocol import Outcome, OutgoingMessage
from drip_pipeline.db.connection import Database
from drip_pipeline.db.operations import incidents as incidents_db
from drip_pipeline.db.operations.incidents import NewIncident, Notice
from drip_pipeline.engine.operations import incidents
from drip_pipeline.engine.transports.operator_mail import mail_channel
from drip_pipeline.errors import DripError
from drip_pipeline.redaction import redact
from drip_pipeline.settings import Settings

MAIL: Final = "mail"
WEBHOOK: Final = "webhook"
OPENED: Final = "opened"
RESOLVED: Final = "resolved"
MAX_ATTEMPTS: Final = 12
_NOTICES_PER_CALL: Final = 20
# Conditions come and go within a minute or two: a breaker that probes, a job that recovers.
_RESOLVED_AFTER: Final = timedelta(minutes=3)
_RESOLUTIONS_WITHIN: Final = timedelta(days=1)
# The sensor that sends notices has a minute.
_TIMEOUT_SECONDS: Final = 10.0
_HTTPS_PORT: Final = 443
_HTTP_PORT: Final = 80

Send = Callable[[Notice], str | None]
"""Sends a notice; returns None, or what went wrong."""


@dataclass(frozen=True, slots=True)
class WatchReport:
    """The result of a check: incidents opened and resolved, notices sent and failed."""

    opened: int = 0
    resolved: int = 0
    notified: int = 0
    failed: int = 0
    errors: tuple[str, ...] = ()


def routes_of(settings: Settings) -> tuple[str, ...]:
    """Return the routes that the settings configure: MAIL, WEBHOOK, both or none."""
    if settings.delivery == "record":
        return ()
    mail = (MAIL,) if settings.alert_to else ()
    return (*mail, WEBHOOK) if settings.alert_webhook else mail


def watch(database: Database, settings: Settings, *, now: datetime) -> WatchReport:
    """Store the incidents of now, resolve those that are over, and send the due notices.

    Safe to run concurrently: each notice is sent once.
    """
    current = incidents.current(database, now=now, backlog_minutes=settings.alert_backlog_minutes)
    opened, resolved = incidents.update(database, current, routes=routes_of(settings), now=now)
    return replace(send_notices(database, settings, now=now), opened=opened, resolved=resolved)


def raise_incident(
    database: Database, settings: Settings, incident: NewIncident, *, now: datetime
) -> WatchReport:
    """Store an incident that the caller detected, and send the due notices."""
    with database.transaction() as connection:
        opened = incidents_db.store(
            connection,
            [incident],
            routes=routes_of(settings),
            reopen_since=now - incidents.REOPENS_WITHIN,
            now=now,
        )
    return replace(send_notices(database, settings, now=now), opened=opened)


def send_notices(database: Database, settings: Settings, *, now: datetime) -> WatchReport:
    """Send the due notices by all configured routes.

    A failed notice is due again after a minute at first, and after an hour at last.
    """
    routes = routes_of(settings)
    if not routes:
        return WatchReport()
    with database.transaction() as connection:
        incidents_db.report_resolutions(
            connection, since=now - _RESOLUTIONS_WITHIN, delay=_RESOLVED_AFTER
        )
        notices = incidents_db.take_notices(
            connection, routes, max_attempts=MAX_ATTEMPTS, limit=_NOTICES_PER_CALL, now=now
        )
    results: list[str | None] = []
    for route in routes:
        of_route = [notice for notice in notices if notice.route == route]
        if not of_route:
            continue
        for notice, error in zip(of_route, _send(route, settings, of_route), strict=True):
            with database.transaction() as connection:
                incidents_db.record_notice_result(
                    connection, notice.incident_id, route, error, now=now
                )
            results.append(None if error is None else f"{route}: {error}")
    errors = tuple(dict.fromkeys(error for error in results if error is not None))
    failed = sum(error is not None for error in results)
    return WatchReport(notified=len(results) - failed, failed=failed, errors=errors)


def send_test_notifications(settings: Settings, *, now: datetime) -> dict[str, str | None]:
    """Send a test notification by each configured route. Return its error, or None, by route."""
    return {
        route: _send(route, settings, [_test_notice(route, now)])[0]
        for route in routes_of(settings)
    }


def mail_of(notice: Notice, sender: str, to: str) -> OutgoingMessage:
    """Build the email for one address. Its id identifies the notice, so repeats are detected."""
    identity = f"drip:incident:{notice.incident_id}:{notice.number}:{to}"
    times = f"First seen at {_time(notice.opened_at)}."
    if notice.reports == RESOLVED:
        text = f"Resolved at {_time(notice.resolved_at)}: {notice.sentence}\n\n{times}"
    else:
        text = f"{notice.sentence}\n\nWhat to do: {notice.what_to_do}\n\n{times}"
    return OutgoingMessage(
        delivery_id=uuid5(NAMESPACE_URL, identity),
        channel="email",
        recipient=to,
        created_at=notice.opened_at,
        sender=sender,
        subject=f"[drip] {'Resolved: ' if notice.reports == RESOLVED else ''}"
        f"{_subject(notice.sentence)}",
        text=f"{text} Each incident is sent once, and once more when it is over;"
        " `drip alerts list` shows what is open.\n",
        headers={"Auto-Submitted": "auto-generated"},
    )


def slack_body(notice: Notice) -> bytes:
    """Build the webhook's JSON body, in the format of Slack's incoming webhooks."""
    kind = notice.kind.replace("_", " ")
    if notice.reports == RESOLVED:
        text = f"*Resolved, {kind}*: {notice.sentence}"
    else:
        text = f"*{kind}*: {notice.sentence}\n_What to do:_ {notice.what_to_do}"
    # Slack reads these three characters as markup.
    for plain, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(plain, escaped)
    return orjson.dumps({"text": text})


def _time(time: datetime | None) -> str:
    return "" if time is None else f"{time:%Y-%m-%d %H:%M %Z}"


def _test_notice(route: str, now: datetime) -> Notice:
    return Notice(
        incident_id=uuid5(NAMESPACE_URL, f"drip:test:{now.isoformat()}"),
        route=route,
        kind="test",
        sentence="This is a test notification from the drip engine.",
        what_to_do="Nothing.",
        opened_at=now,
        resolved_at=None,
        reports=OPENED,
        number=1,
    )


def _send(route: str, settings: Settings, notices: Sequence[Notice]) -> list[str | None]:
    opened = _mail(settings) if route == MAIL else _webhook(settings)
    try:
        with opened as send:
            return [send(notice) for notice in notices]
    except DripError as error:
        return [redact(str(error))] * len(notices)


@contextmanager
def _mail(settings: Settings) -> Iterator[Send]:
    channel = mail_channel(settings)
    assert channel is not None  # with DRIP_DELIVERY=record there are no routes

    def send_by_mail(notice: Notice) -> str | None:
        messages = [mail_of(notice, settings.mail_from, to) for to in settings.alert_to]
        refused = [r for r in channel.send(messages) if r.outcome is not Outcome.ACCEPTED]
        if not refused:
            return None
        return f"{len(refused)} of {len(messages)} mails: {refused[0].error or refused[0].outcome}"

    try:
        yield send_by_mail
    finally:
        channel.close()


@contextmanager
def _webhook(settings: Settings) -> Iterator[Send]:
    from drip_pipeline.channels.http.address_guard import AddressGuard
    from drip_pipeline.channels.http.client import HttpClient, HttpRequest

    assert settings.alert_webhook is not None
    url = settings.alert_webhook.reveal()
    # The operator named this host in the settings, so it may be an internal one.
    client = HttpClient(AddressGuard((*settings.webhook_allow, _host_of(url))))

    def send_by_webhook(notice: Notice) -> str | None:
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
        yield send_by_webhook
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
