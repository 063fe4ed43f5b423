"""Mailgun webhooks: one event per request, with its signature."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from drip_pipeline.domain.events.providers.common import (
    TRACE_KEY,
    EventLine,
    JsonObject,
    ParsedPayload,
    PayloadInvalid,
    ReportedEvent,
    derived_id,
    from_epoch,
    json_object,
    mapping,
    our_message_id,
    reason,
    text,
)

_TYPES: Final[Mapping[str, str]] = {
    "delivered": "email_delivered",
    "failed": "email_bounced",
    "rejected": "email_failed",
    "opened": "email_opened",
    "clicked": "email_clicked",
    "complained": "email_complained",
    "unsubscribed": "email_unsubscribed",
}
_IGNORED: Final = frozenset({"accepted", "stored", "list_member_uploaded", "list_uploaded"})
_ON_A_LIST: Final[Mapping[object, str]] = {
    # The code or reason of a failure → why the address is on Mailgun's list.
    605: "bounced",
    606: "unsubscribed",
    607: "complained",
    "suppress-bounce": "bounced",
    "suppress-unsubscribe": "unsubscribed",
    "suppress-complaint": "complained",
}
# Gmail's proxy is not included: it loads an image only when the recipient opens the email.
_MACHINES: Final = frozenset({"apple", "generic"})


def read(payload: bytes, received_at: datetime) -> ParsedPayload:
    """Parse the event of a request. Raises PayloadInvalid."""
    event = mapping(json_object(payload).get("event-data"))
    kind = event.get("event")
    if kind in _IGNORED:
        return ParsedPayload(ignored=1)
    if kind not in _TYPES:
        raise PayloadInvalid("the call is of an unknown kind")
    return ParsedPayload([_line(str(kind), event, received_at)])


def _line(kind: str, event: JsonObject, received_at: datetime) -> EventLine:
    headers = mapping(mapping(event.get("message")).get("headers"))
    provider_id = text(headers.get("message-id"))
    client = mapping(event.get("client-info"))
    status = mapping(event.get("delivery-status"))
    occurred_at = from_epoch(event.get("timestamp"))
    suppression = _suppression(kind, event, status)
    event_type = _type(kind, event, suppression)
    own_id = text(event.get("id"))
    message_id = our_message_id(mapping(event.get("user-variables")).get(TRACE_KEY), provider_id)
    is_bounce = event_type == "email_bounced"
    return ReportedEvent(
        # Mailgun guarantees that its id is unique within a day.
        event_id=f"{own_id}:{(occurred_at or '')[:10]}"
        if own_id
        else derived_id(
            kind,
            event.get("recipient"),
            message_id,
            provider_id,
            event.get("timestamp"),
            event.get("url"),
        ),
        event_type=event_type,
        occurred_at=occurred_at,
        received_at=received_at,
        message_id=message_id,
        provider_message_id=provider_id,
        email=text(event.get("recipient")),
        user_agent=client.get("user-agent"),
        ip_address=event.get("ip"),
        url=event.get("url"),
        data={
            # Mailgun has given up, which it calls permanent, too, if the message became too old.
            "bounce_type": (text(event.get("reason")) or "permanent") if is_bounce else None,
            "bounce_subtype": text(status.get("bounce-type")) if is_bounce else None,
            "suppression_reason": suppression,
            "reason": reason(
                status.get("message")
                or status.get("description")
                or mapping(event.get("reject")).get("reason")
            ),
            "status": text(status.get("enhanced-code")) if is_bounce else None,
            "code": status["code"] if isinstance(status.get("code"), int) else None,
            "machine": True if client.get("bot") in _MACHINES else None,
            "location": dict(mapping(event.get("geolocation"))) or None,
        },
    ).line()


def _suppression(kind: str, event: JsonObject, status: JsonObject) -> str | None:
    """Return the reason for which Mailgun did not try to deliver; None if it tried."""
    if kind != "failed":
        return None
    code, why = status.get("code"), event.get("reason")
    by_code = _ON_A_LIST.get(code) if isinstance(code, int) else None
    return by_code or (_ON_A_LIST.get(why) if isinstance(why, str) else None)


def _type(kind: str, event: JsonObject, suppression: str | None) -> str:
    if suppression or (kind == "failed" and str(event.get("reason", "")).startswith("suppress-")):
        return "email_suppressed"
    if kind == "failed" and event.get("severity") == "temporary":
        return "email_deferred"
    return _TYPES[kind]
