"""Parse DRIP_SMTP_URL: host, port, TLS and credentials of the mail relay."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from drip_pipeline.errors import SettingsError
from drip_pipeline.settings import Secret

_SETTING: Final = "DRIP_SMTP_URL"
_PORT_RELAY: Final = 25
_PORT_SUBMISSION: Final = 587
_PORT_TLS: Final = 465


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """A mail relay.

    `is_local`: on this machine, so TLS is optional and its certificate is not verified; any other
    server must offer TLS with a valid certificate. `begins_with_tls` is smtps://.
    """

    host: str
    port: int
    begins_with_tls: bool = False
    username: str | None = None
    password: Secret | None = None
    is_local: bool = False

    def tls_context(self) -> ssl.SSLContext:
        """Return the TLS context for this server."""
        context = ssl.create_default_context()
        if self.is_local:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def parse_smtp_url(url: str) -> SmtpServer:
    """Parse `smtp://user:password@host:port` or `smtps://…`, special characters percent-encoded.

    Without a port: 465 for smtps, 587 with a user, else 25. Raises SettingsError, which never
    quotes the URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingsError(_SETTING, "is not a URL") from None
    if parts.scheme not in ("smtp", "smtps"):
        raise SettingsError(_SETTING, "must begin with smtp:// or smtps://")
    if not parts.hostname:
        raise SettingsError(_SETTING, "has no host")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise SettingsError(_SETTING, "must end with host and port; encode / ? # as %2F %3F %23")
    if bool(parts.username) != bool(parts.password):
        raise SettingsError(_SETTING, "must have both a user and a password, or neither")
    tls = parts.scheme == "smtps"
    default_port = _PORT_TLS if tls else _PORT_SUBMISSION if parts.username else _PORT_RELAY
    return SmtpServer(
        host=parts.hostname,
        port=port or default_port,
        begins_with_tls=tls,
        username=unquote(parts.username) if parts.username else None,
        password=Secret(unquote(parts.password)) if parts.password else None,
        is_local=_is_local(parts.hostname),
    )


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
