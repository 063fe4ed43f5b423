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
    event_type = _type(kind, event)
    own_id = text(event.get("id"))
    return ReportedEvent(
        # Mailgun guarantees that its id is unique within a day.
        event_id=f"{own_id}:{(occurred_at or '')[:10]}"
        if own_id
        else derived_id(kind, provider_id, event.get("timestamp"), event.get("url")),
        event_type=event_type,
        occurred_at=occurred_at,
        received_at=received_at,
        message_id=our_message_id(mapping(event.get("user-variables")).get(TRACE_KEY), provider_id),
        provider_message_id=provider_id,
        email=text(event.get("recipient")),
        user_agent=client.get("user-agent"),
        ip_address=event.get("ip"),
        url=event.get("url"),
        data={
            "bounce_type": "permanent" if event_type == "email_bounced" else None,
            "reason": reason(
                status.get("message")
                or status.get("description")
                or mapping(event.get("reject")).get("reason")
            ),
            "status": str(status["code"]) if isinstance(status.get("code"), int) else None,
            "machine": True if client.get("bot") in _MACHINES else None,
            "location": dict(mapping(event.get("geolocation"))) or None,
        },
    ).line()


def _type(kind: str, event: JsonObject) -> str:
    if kind == "failed" and event.get("severity") == "temporary":
        return "email_deferred"
    if kind == "failed" and str(event.get("reason", "")).startswith("suppress-"):
        return "email_suppressed"
    return _TYPES[kind]
