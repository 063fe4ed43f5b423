"""Check every transport: connection and authentication, breaker state, and the rules for bulk
senders that can be checked without DNS. Nothing is sent.
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
from drip_pipeline.db.delivery.flow_control import TransportState
from drip_pipeline.engine.transports.factory import row_transport, settings_transport
from drip_pipeline.engine.transports.transport import Transport
from drip_pipeline.errors import DeliveryError, DripError
from drip_pipeline.settings import Settings

_FREE_MAIL: Final = frozenset({
    "aol.com", "gmail.com", "gmx.de", "gmx.net", "googlemail.com", "hotmail.com", "icloud.com",
    "mail.ru", "outlook.com", "proton.me", "protonmail.com", "web.de", "yahoo.com", "yandex.ru",
})  # fmt: skip
_RESERVED: Final = ("example.com", "example.net", "example.org", "localhost", "invalid", "test")
_MILDER: Final = {
    Severity.ERROR: Severity.WARNING,
    Severity.WARNING: Severity.OK,
    Severity.OK: Severity.OK,
}
_SAMPLE_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)
_SAMPLE_ID: Final = UUID("00000000-0000-5000-8000-000000000000")


@dataclass(frozen=True, slots=True)
class ChannelCheck:
    """A finding about a transport (or about the sender)."""

    about: str
    finding: Finding


def diagnose_channels(
    settings: Settings, database: Database | None, *, now: datetime
) -> Iterator[ChannelCheck]:
    """Check the channels of the settings and, with a database, the channel rows and the state of
    their transports. With DRIP_DELIVERY=record nothing is sent, so findings are less severe.
    """
    is_recorded = settings.delivery == "record"
    if is_recorded:
        message = "nothing is sent: DRIP_DELIVERY is `record`; channels are checked all the same"
        yield ChannelCheck("delivery", Finding(Severity.OK, "recorded", message))
    for check in _checks(settings, database, now):
        if is_recorded:
            milder = _MILDER[check.finding.severity]
            check = replace(check, finding=replace(check.finding, severity=milder))
        yield check


def diagnose_sender(settings: Settings) -> Iterator[ChannelCheck]:
    """Check the rules for senders of bulk email that do not need DNS."""
    try:
        writer = EmailWriter(settings.mail_from)
    except DeliveryError as error:
        message = f"{error}; set DRIP_MAIL_FROM to `Name <address>`"
        yield _sender(Severity.ERROR, "sender_invalid", message)
        return
    yield from _domain(writer.domain, is_sending=settings.delivery == "send")
    yield from _links(settings)
    yield from _headers(writer, settings)
    message = (
        f"DNS records were not checked: SPF, DKIM and DMARC of {writer.domain}, and the reverse DNS"
        " name of the relay; ask your DNS administrator"
    )
    yield _sender(Severity.OK, "dns_not_seen", message)


def _checks(settings: Settings, database: Database | None, now: datetime) -> Iterator[ChannelCheck]:
    for category in ("email", "webhook"):
        yield from _transport_checks(settings_transport(category, settings))
    if database is None:
        return
    with database.transaction(is_read_only=True) as connection:
        rows = channels_db.rows(connection)
        states = flow_db.all_transports(connection, now)
    for row in rows:
        if not row.is_active:
            finding = Finding(Severity.WARNING, "off", "switched off: its messages wait")
            yield ChannelCheck(f"{row.category}/{row.slug}", finding)
            continue
        transport = row_transport(row, settings)
        yield from _transport_checks(transport)
        unread = transport.config.unread_keys() if transport.channel is not None else ()
        if unread:
            message = f"unknown keys in its configuration: {', '.join(unread)}"
            yield ChannelCheck(transport.key, Finding(Severity.WARNING, "unread_keys", message))
    for state in states:
        yield from _state_checks(state)


def _transport_checks(transport: Transport) -> Iterator[ChannelCheck]:
    if transport.channel is None:
        severity = Severity.WARNING if transport.channel_id is None else Severity.ERROR
        yield ChannelCheck(transport.key, Finding(severity, "not_set_up", transport.problem))
        return
    try:
        for finding in transport.channel.check():
            yield ChannelCheck(transport.key, finding)
    except DripError as error:
        yield ChannelCheck(transport.key, Finding(Severity.ERROR, "check_failed", str(error)))
    finally:
        transport.channel.close()


def _state_checks(state: TransportState) -> Iterator[ChannelCheck]:
    key, error = state.transport, state.last_error or "no provider response"
    if state.state == "disabled":
        message = (
            f"the endpoint answered 410 Gone; `drip channels reset {key}` re-enables it ({error})"
        )
        yield ChannelCheck(key, Finding(Severity.WARNING, "gone", message))
    elif state.state != "closed":
        message = f"the provider fails or asked to wait (breaker: {state.state}): {error}"
        yield ChannelCheck(key, Finding(Severity.WARNING, "breaker", message))
    if state.unknown:
        message = (
            f"{state.unknown} messages with an unknown outcome; settle them with"
            " `drip deliveries settle`"
        )
        yield ChannelCheck(key, Finding(Severity.WARNING, "outcome_unknown", message))


def _domain(domain: str, *, is_sending: bool) -> Iterator[ChannelCheck]:
    if domain.endswith(_RESERVED):
        severity = Severity.ERROR if is_sending else Severity.OK
        message = f"DRIP_MAIL_FROM is at the reserved domain {domain}; set your own"
        yield _sender(severity, "sender_reserved", message)
    elif domain in _FREE_MAIL:
        message = f"mail from {domain} through another relay fails DMARC; use your own domain"
        yield _sender(Severity.ERROR, "sender_free_mail", message)
    else:
        message = f"From, envelope and Message-ID are aligned at {domain}"
        yield _sender(Severity.OK, "sender_aligned", message)


def _links(settings: Settings) -> Iterator[ChannelCheck]:
    if not settings.public_url.startswith("https://"):
        message = "DRIP_PUBLIC_URL is not https://, so mail clients offer no one-click unsubscribe"
        severity = Severity.WARNING if settings.delivery == "send" else Severity.OK
        yield _sender(severity, "public_url_not_https", message)
    if settings.secret_key is None:
        message = (
            "DRIP_SECRET_KEY is not set; links are signed with a key stored in DRIP_HOME, and other"
            " machines with this database would use another key"
        )
        severity = Severity.WARNING if settings.delivery == "send" else Severity.OK
        yield _sender(severity, "secret_key_kept", message)


def _headers(writer: EmailWriter, settings: Settings) -> Iterator[ChannelCheck]:
    """Write a sample message and parse its unsubscribe headers."""
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
        message = "every email has List-Unsubscribe and List-Unsubscribe-Post (RFC 8058)"
        yield _sender(Severity.OK, "unsubscribe_headers", message)
    else:
        message = "the unsubscribe headers are damaged"
        yield _sender(Severity.ERROR, "unsubscribe_headers", message)


def _sender(severity: Severity, code: str, message: str) -> ChannelCheck:
    return ChannelCheck("sender", Finding(severity, code, message))
