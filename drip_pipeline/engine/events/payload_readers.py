"""The parser of each provider's payloads. Payloads of other providers are rejected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, TypeAlias
from urllib.parse import parse_qsl

from drip_pipeline.channels.sms.twilio_callbacks import InboundSms, read_inbound, read_status
from drip_pipeline.domain.events.providers import generic, mailgun, postmark, sendgrid, ses
from drip_pipeline.domain.events.providers.common import (
    ParsedPayload,
    PayloadInvalid,
    our_message_id,
)
from drip_pipeline.engine.events.inbound_sms import PROVIDER as TWILIO

LINKS: Final = "link"
"""The provider name of events that the receiver itself records: followed links, loaded pixels."""

Context: TypeAlias = Mapping[str, object]
PayloadReader: TypeAlias = Callable[[bytes, Context, datetime], ParsedPayload]


def read(provider: str, payload: bytes, context: Context, received_at: datetime) -> ParsedPayload:
    """Parse a payload. Raises PayloadInvalid."""
    try:
        reader = _READERS[provider]
    except KeyError:
        raise PayloadInvalid("unknown provider") from None
    return reader(payload, context, received_at)


def inbound_sms(provider: str, payload: bytes) -> InboundSms | None:
    """Return the inbound SMS of a payload, None if it is something else."""
    if provider != TWILIO:
        return None
    form = form_of(payload)
    # A report on a message of ours has a status and no body.
    return None if form.get("MessageStatus") else read_inbound(form)


def form_of(payload: bytes) -> dict[str, str]:
    """Parse the fields of a form; the first of a name counts. Raises PayloadInvalid."""
    try:
        pairs = parse_qsl(
            payload.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=200
        )
    except ValueError:
        raise PayloadInvalid("the form has too many fields") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return fields


def _twilio(payload: bytes, context: Context, received_at: datetime) -> ParsedPayload:
    line = read_status(form_of(payload), our_message_id(context.get("message_id")))
    if line is None:
        return ParsedPayload(ignored=1)
    return ParsedPayload([{**line, "occurred_at": received_at.isoformat()}])


def _generic(payload: bytes, context: Context, received_at: datetime) -> ParsedPayload:
    return generic.read(payload, received_at, str(context.get("call_id") or ""))


_READERS: Final[Mapping[str, PayloadReader]] = {
    "ses": lambda payload, _, received_at: ses.read(payload, received_at),
    "sendgrid": lambda payload, _, received_at: sendgrid.read(payload, received_at),
    "postmark": lambda payload, _, received_at: postmark.read(payload, received_at),
    "mailgun": lambda payload, _, received_at: mailgun.read(payload, received_at),
    TWILIO: _twilio,
    "generic": _generic,
    LINKS: _generic,
}
