"""Headers by which our message id goes through a provider that puts its own in place of Message-ID:
it gives them back with every event. They hold the id and nothing about anybody.
"""

from __future__ import annotations

from typing import Final, Literal
from uuid import UUID

from drip_pipeline.domain.events.providers.common import TRACE_KEY
from drip_pipeline.domain.events.providers.postmark import METADATA_KEY

Relay = Literal["ses", "sendgrid", "postmark", "mailgun", "other"]
"""Whose relay it is, as far as headers go."""

_HOSTS: Final[tuple[tuple[str, Relay], ...]] = (
    (".amazonaws.com", "ses"),
    (".sendgrid.net", "sendgrid"),
    (".postmarkapp.com", "postmark"),
    (".mailgun.org", "mailgun"),
)


def relay_of_host(host: str) -> Relay:
    """Whose relay this host is."""
    name = f".{host.lower().rstrip('.')}"
    return next((relay for end, relay in _HOSTS if name.endswith(end)), "other")


def trace_headers(relay: Relay, message_id: UUID) -> bytes:
    """The header lines that this relay needs; none for a relay that keeps Message-ID."""
    lines = {
        "ses": f"X-SES-MESSAGE-TAGS: {TRACE_KEY}={message_id}\r\n",
        "sendgrid": f'X-SMTPAPI: {{"unique_args": {{"{TRACE_KEY}": "{message_id}"}}}}\r\n',
        "postmark": f"X-PM-Metadata-{METADATA_KEY}: {message_id}\r\nX-PM-KeepID: true\r\n",
        "mailgun": f'X-Mailgun-Variables: {{"{TRACE_KEY}": "{message_id}"}}\r\n',
        "other": "",
    }
    return lines[relay].encode("ascii")
