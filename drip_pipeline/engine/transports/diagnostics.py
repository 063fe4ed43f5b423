"""Looking at every way out before messages do: does it connect and authenticate, how has it fared,
and are the rules for senders kept that can be seen from here. Nothing is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email import message_from_bytes
from typing import Final
from uuid import UUID

from drip_pipeline.channels.email.message import EmailWriter
from drip_pipeline.channels.protocol import Finding, OutgoingMessage, Severity
from drip_pipeline.db.connection import Database
from drip_pipeline.db.delivery import channel_accounts as channels_db
from drip_pipeline.db.delivery import flow_control as flow_db
from drip_pipeline.engine.transports.factory import row_transport, settings_transport
from drip_pipeline.engine.transports.transport import Transport
from drip_pipeline.errors import DeliveryError, DripError
from drip_pipeline.settings import Settings

_FREE_MAIL: Final = frozenset(
    {
        "aol.com",
        "gmail.com",
        "gmx.de",
        "gmx.net",
        "googlemail.com",
        "hotmail.com",
        "icloud.com",
        "mail.ru",
        "outlook.com",
        "proton.me",
        "protonmail.com",
        "web.de",
        "yahoo.com",
        "yandex.ru",
    }
)
_RESERVED: Final = ("example.com", "example.net", "example.org", "localhost", "invalid", "test")
_MILDER: Final = {
    Severity.ERROR: Severity.WARNING,
    Severity.WARNING: Severity.OK,
    Severity.OK: Severity.OK,
}
_SAMPLE_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)
_SAMPLE_ID: Final = UUID("00000000-0000-5000-8000-000000000000")


@dataclass(frozen=True, slots=True)
class Look:
    """One finding about one way out (or about the sender)."""

    about: str
    finding: Finding


def look_at_channels(
    settings: Settings, database: Database | None, *, now: datetime
) -> Iterator[Look]:
    """Check what the settings and, with a database, the channel rows set up; then how the ways out
    have fared. With DRIP_DELIVERY=record nothing leaves, so everything is a degree less bad.
    """
    is_recorded = settings.delivery == "record"
    if is_recorded:
        told = "nothing leaves: DRIP_DELIVERY is `record`; what is set up is checked all the same"
        yield Look("delivery", Finding(Severity.OK, "recorded", told))
    for look in _looks(settings, database, now):
        if is_recorded:
            milder = _MILDER[look.finding.severity]
            look = replace(look, finding=replace(look.finding, severity=milder))
        yield look


def look_at_sender(settings: Settings) -> Iterator[Look]:
    """The rules for senders of bulk mail, as far as they can be seen from here."""
    try:
        writer = EmailWriter(settings.mail_from)
    except DeliveryError as error:
        told = f"{error}; set DRIP_MAIL_FROM to `Name <address>`"
        yield _sender(Severity.ERROR, "sender_invalid", told)
        return
    yield from _domain(writer.domain, is_sending=settings.delivery == "send")
    yield from _links(settings)
    yield from _headers(writer, settings)
    told = (
        f"what only the DNS can answer was not looked at: SPF, DKIM and DMARC of {writer.domain},"
        " and the reverse name of the relay; ask whoever keeps the zone"
    )
    yield _sender(Severity.OK, "dns_not_seen", told)


def _looks(settings: Settings, database: Database | None, now: datetime) -> Iterator[Look]:
    for category in ("email", "webhook"):
        yield from _transport_checks(settings_transport(category, settings))
    if database is None:
        return
    with database.transaction(is_read_only=True) as connection:
        rows = channels_db.rows(connection)
        states = flow_db.all_transports(connection, now)
    for row in rows:
        if not row.is_active:
            told = "switched off: its messages wait"
            yield Look(f"{row.category}/{row.slug}", Finding(Severity.WARNING, "off", told))
            continue
        transport = row_transport(row, settings)
        yield from _transport_checks(transport)
        unread = transport.config.unread_keys() if transport.channel is not None else ()
        if unread:
            told = f"nobody reads {', '.join(unread)} in its configuration"
            yield Look(transport.key, Finding(Severity.WARNING, "unread_keys", told))
    for state in states:
        yield from _state_looks(state)


def _transport_checks(transport: Transport) -> Iterator[Look]:
    if transport.channel is None:
        severity = Severity.WARNING if transport.channel_id is None else Severity.ERROR
        yield Look(transport.key, Finding(severity, "not_set_up", transport.problem))
        return
    try:
        for finding in transport.channel.check():
            yield Look(transport.key, finding)
    except DripError as error:
        yield Look(transport.key, Finding(Severity.ERROR, "check_failed", str(error)))
    finally:
        transport.channel.close()


def _state_looks(state: dict[str, object]) -> Iterator[Look]:
    about, words = str(state["transport"]), state["last_error"] or "no words"
    if state["state"] == "disabled":
        told = f"it said that it is gone; `drip channels reset {about}` calls it again ({words})"
        yield Look(about, Finding(Severity.WARNING, "gone", told))
    elif state["state"] != "closed":
        told = f"its provider fails or asks to wait (breaker: {state['state']}): {words}"
        yield Look(about, Finding(Severity.WARNING, "breaker", told))
    if state["unknown"]:
        told = f"{state['unknown']} messages in doubt; `drip deliveries settle` speaks for them"
        yield Look(about, Finding(Severity.WARNING, "in_doubt", told))


def _domain(domain: str, *, is_sending: bool) -> Iterator[Look]:
    if domain.endswith(_RESERVED):
        severity = Severity.ERROR if is_sending else Severity.OK
        told = f"DRIP_MAIL_FROM is at {domain}, which nobody can send from; set your own"
        yield _sender(severity, "sender_reserved", told)
    elif domain in _FREE_MAIL:
        told = f"mail from {domain} through another relay fails DMARC; use a domain of your own"
        yield _sender(Severity.ERROR, "sender_free_mail", told)
    else:
        told = f"From, envelope and Message-ID are aligned at {domain}"
        yield _sender(Severity.OK, "sender_aligned", told)


def _links(settings: Settings) -> Iterator[Look]:
    if not settings.public_url.startswith("https://"):
        told = "DRIP_PUBLIC_URL is not https://; mail clients offer no one-click unsubscribe then"
        severity = Severity.WARNING if settings.delivery == "send" else Severity.OK
        yield _sender(severity, "public_url_not_https", told)
    if settings.secret_key is None:
        told = (
            "DRIP_SECRET_KEY is not set; a key kept in DRIP_HOME signs the links, and other"
            " machines on this database would sign with another"
        )
        severity = Severity.WARNING if settings.delivery == "send" else Severity.OK
        yield _sender(severity, "secret_key_kept", told)


def _headers(writer: EmailWriter, settings: Settings) -> Iterator[Look]:
    """A sample, written and read back, is better than a promise."""
    sample = OutgoingMessage(
        delivery_id=_SAMPLE_ID,
        channel="email",
        recipient=f"sample@{writer.domain}",
        created_at=_SAMPLE_TIME,
        subject="Sample",
        text="Sample",
        unsubscribe_url=f"{settings.public_url}/u/sample",
    )
    try:
        read = message_from_bytes(writer.write(sample).content)
    except DeliveryError as error:
        yield _sender(Severity.ERROR, "unsubscribe_headers", str(error))
        return
    one_click = read["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    if read["List-Unsubscribe"] == f"<{sample.unsubscribe_url}>" and one_click:
        told = "every mail carries List-Unsubscribe and List-Unsubscribe-Post (RFC 8058)"
        yield _sender(Severity.OK, "unsubscribe_headers", told)
    else:
        told = "the unsubscribe headers do not come out whole"
        yield _sender(Severity.ERROR, "unsubscribe_headers", told)


def _sender(severity: Severity, code: str, message: str) -> Look:
    return Look("sender", Finding(severity, code, message))
