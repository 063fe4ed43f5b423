"""The one protocol of all channels: a message, its outcome, what a channel can do.

Every channel takes the same `OutgoingMessage` and uses the parts that concern it. How a channel
talks to its provider stands in the file of that channel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

MAX_ERROR_CHARACTERS: Final = 500
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Outcome(StrEnum):
    """What became of handing a message to a provider.

    accepted: the provider has it. rejected: refused for good, repeating is pointless. throttled:
    not taken now, come back later (`retry_after_seconds` when the provider says). not_sent: it
    certainly did not go out, repeating is safe. unknown: it may have gone out.
    """

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    THROTTLED = "throttled"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


class OutgoingMessage(NamedTuple):
    """One rendered message to one recipient (or one post). A tuple, since a batch makes thousands;
    give and read its fields by name.

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


class DeliveryResult(NamedTuple):
    """What became of one message. Its fields, too, go by name.

    `error_code` is a short stable word, `error` a sentence in the provider's words; neither ever
    holds addresses or parts of the message. `recipient_invalid`: the address does not exist, so
    nothing more should be sent to it; `recipient_opted_out`: its owner told the provider to stop.
    `is_provider_fault`: the provider, or the way to it, is at fault; that says nothing about this
    message. `is_gone`: the endpoint said that it wants no more calls. `details` are facts for the
    event (status, response …).
    """

    delivery_id: UUID
    outcome: Outcome
    provider_message_id: str | None = None
    error_code: str | None = None
    error: str | None = None
    retry_after_seconds: float | None = None
    recipient_invalid: bool = False
    recipient_opted_out: bool = False
    is_provider_fault: bool = False
    is_gone: bool = False
    details: Mapping[str, Any] = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What publishing and delivering may expect of a channel.

    `is_idempotent`: the provider recognizes a repeated delivery id, so an unknown outcome may be
    tried again; for `idempotency_seconds` after the first time, or for ever. `max_batch`: messages
    per call of `send`. `has_schedule`: the provider keeps a time itself; for the others the engine
    waits. `max_text_characters`: longest text, None for no limit. `per_hour`: what the provider is
    known to take, where the channel's own configuration says nothing. `is_recorder`: nothing
    leaves; the engine may store what is "sent" itself, in the transaction that moves the state on.
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
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that checking a channel brought to light; `message` says what to do, if any."""

    severity: Severity
    code: str
    message: str


class Channel(Protocol):
    """A way out. Safe to use from several threads at once."""

    @property
    def name(self) -> str:
        """The name under which campaigns and channel rows know it: email, sms, webhook …"""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; constant."""

    def send(self, messages: Sequence[OutgoingMessage]) -> list[DeliveryResult]:
        """Try each message once; one result a message, in the same order. Raises nothing for what
        concerns one message or the provider: that is an outcome."""

    def check(self) -> list[Finding]:
        """Connect and authenticate, send nothing, and tell what was found."""

    def close(self) -> None:
        """Give connections back; sending again opens new ones."""
