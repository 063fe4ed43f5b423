"""The protocol of all channels: outgoing message, delivery result, capabilities.

Every channel takes the same `OutgoingMessage` and uses the fields it needs. How a channel calls its
provider is in the channel's module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Outcome(StrEnum):
    """The outcome of handing a message to a provider.

    accepted: the provider has it. rejected: permanently refused, repeating is pointless. throttled:
    not accepted now, to be repeated later (`retry_after_seconds` if the provider says).
    not_sent: certainly not sent, repeating is safe. unknown: it may have been sent.
    """

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    THROTTLED = "throttled"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


class MailAttachment(NamedTuple):
    """A file attached to an email: its name, its media type, and its content."""

    name: str
    media_type: str
    content: bytes


class OutgoingMessage(NamedTuple):
    """One rendered message to one recipient (or one post). A tuple because a batch has thousands;
    set and read its fields by name.

    `delivery_id` is the same at every attempt. `created_at` (aware) is the message's own date.
    `sender` and `recipient` are as the channel writes them: for email `Name <address>` or the bare
    address, `recipient` always the bare address. `subject`, `text` and `preheader` are plain text,
    `html` is HTML. `headers` are additional email or HTTP headers; `payload` holds what only some
    channels need (the body of a webhook, media of a post).
    """

    delivery_id: UUID
    channel: str
    recipient: str
    created_at: datetime
    sender: str = ""
    recipient_name: str | None = None
    subject: str = ""
    text: str = ""
    html: str | None = None
    preheader: str | None = None
    unsubscribe_url: str | None = None
    headers: Mapping[str, str] = NOTHING
    payload: Mapping[str, Any] = NOTHING
    attachments: tuple[MailAttachment, ...] = ()


class DeliveryResult(NamedTuple):
    """The result of sending one message. Set and read its fields by name.

    `error_code` is a short stable word, `error` the provider's response; neither contains
    addresses or parts of the message. `recipient_invalid`: the address does not exist, so nothing
    more should be sent to it. `mailbox_unavailable`: the recipient's mailbox is full or closed for
    now: a soft bounce, if no attempt follows. `recipient_opted_out`: the recipient opted out at the
    provider.
    `is_provider_fault`: the provider or the connection failed, not this message. `is_gone`: the
    endpoint answered 410 Gone. `continues`: by the channel's policy, the enrollment
    continues although the message failed. `details` are stored in the event (status, response …).
    """

    delivery_id: UUID
    outcome: Outcome
    provider_message_id: str | None = None
    error_code: str | None = None
    error: str | None = None
    retry_after_seconds: float | None = None
    recipient_invalid: bool = False
    mailbox_unavailable: bool = False
    recipient_opted_out: bool = False
    is_provider_fault: bool = False
    is_gone: bool = False
    continues: bool = False
    details: Mapping[str, object] = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What publishing and delivery can rely on.

    `is_idempotent`: the provider recognizes a repeated delivery id, so an unknown outcome may be
    retried; for `idempotency_seconds` after the first attempt, None without limit. `max_batch`:
    messages per call of `send`. `has_schedule`: the provider schedules posts itself; otherwise the
    engine waits. `max_text_characters`: longest text, None for no limit. `per_hour`: the provider's
    documented limit, used if the channel's configuration has none. `is_recorder`: nothing is sent;
    the engine stores the messages in the transaction that advances the states.
    """

    is_idempotent: bool
    max_batch: int
    idempotency_seconds: float | None = None
    has_subject: bool = False
    has_html: bool = False
    has_media: bool = False
    has_schedule: bool = False
    max_text_characters: int | None = None
    per_hour: float | None = None
    is_recorder: bool = False


class Severity(StrEnum):
    """Severity of a finding."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """A result of checking a channel; `message` includes what to do, if anything."""

    severity: Severity
    code: str
    message: str


class Channel(Protocol):
    """Sends messages to one provider. Safe to use from several threads at once."""

    @property
    def name(self) -> str:
        """The name in campaigns and channel rows: email, sms, webhook …"""

    @property
    def capabilities(self) -> Capabilities:
        """The capabilities; constant."""

    def send(self, messages: Sequence[OutgoingMessage]) -> list[DeliveryResult]:
        """Attempt each message once; return one result per message, in the same order. Failures of
        a message or the provider are outcomes and never raised."""

    def check(self) -> list[Finding]:
        """Connect and authenticate without sending; return the findings."""

    def close(self) -> None:
        """Close connections; sending again opens new ones."""
