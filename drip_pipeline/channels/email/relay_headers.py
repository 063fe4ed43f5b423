"""Headers that carry our message id through relays that replace Message-ID.

The relay returns them with every event. They contain the id and no personal data.
"""

from __future__ import annotations

from typing import Final, Literal
from uuid import UUID

from drip_pipeline.domain.events.providers.common import TRACE_KEY
from drip_pipeline.domain.events.providers.postmark import METADATA_KEY

Relay = Literal["ses", "sendgrid", "postmark", "mailgun", "other"]
"""The provider of a relay, as far as its headers differ."""

_HOSTS: Final[tuple[tuple[str, Relay], ...]] = (
    (".amazonaws.com", "ses"),
    (".sendgrid.net", "sendgrid"),
    (".postmarkapp.com", "postmark"),
    (".mailgun.org", "mailgun"),
)


def relay_of_host(host: str) -> Relay:
    """Return the provider of a relay by its host name."""
    name = f".{host.lower().rstrip('.')}"
    return next((relay for end, relay in _HOSTS if name.endswith(end)), "other")


def trace_headers(relay: Relay, message_id: UUID) -> bytes:
    """Return the header lines of a relay; none for a relay that keeps Message-ID."""
    lines = {
        "ses": f"X-SES-MESSAGE-TAGS: {TRACE_KEY}={message_id}\r\n",
        "sendgrid": f'X-SMTPAPI: {{"unique_args": {{"{TRACE_KEY}": "{message_id}"}}}}\r\n',
        "postmark": f"X-PM-Metadata-{METADATA_KEY}: {message_id}\r\nX-PM-KeepID: true\r\n",
        "mailgun": f'X-Mailgun-Variables: {{"{TRACE_KEY}": "{message_id}"}}\r\n',
        "other": "",
    }
    return lines[relay].encode("ascii")
