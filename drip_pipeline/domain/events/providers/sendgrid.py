"""SendGrid's event webhook: a list of events per request."""

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
    json_of,
    our_message_id,
    reason,
    text,
)

_TYPES: Final[Mapping[str, str]] = {
    "delivered": "email_delivered",
    "deferred": "email_deferred",
    "bounce": "email_bounced",
    "dropped": "email_failed",
    "open": "email_opened",
    "click": "email_clicked",
    "spamreport": "email_complained",
    "unsubscribe": "email_unsubscribed",
    "group_unsubscribe": "email_unsubscribed",
    "group_resubscribe": "email_resubscribed",
}
_IGNORED: Final = frozenset({"processed", "account_status_change"})
_ON_A_LIST: Final[Mapping[str, str]] = {
    # The start of the reason of a drop, in lower case → why the address is on SendGrid's list.
    "bounced address": "bounced",
    "unsubscribed address": "unsubscribed",
    "spam reporting address": "complained",
    "invalid": "bounced",
}
# The type of a bounce → a word of the classifier. Other types are such words already.
_BOUNCE_TYPES: Final[Mapping[str, str]] = {"bounce": "permanent"}


def read(payload: bytes, received_at: datetime) -> ParsedPayload:
    """Parse the events of a request. Raises PayloadInvalid."""
    events = json_of(payload)
    if not isinstance(events, list):
        raise PayloadInvalid("the payload is not a list of events")
    parsed = ParsedPayload()
    for event in events:
        if not isinstance(event, dict):
            parsed.problems.append("an event is not a JSON object")
        elif event.get("event") in _IGNORED:
            parsed.ignored += 1
        elif event.get("event") not in _TYPES:
            parsed.problems.append("an event is of an unknown kind")
        else:
            parsed.lines.append(_line(event, received_at))
    return parsed


def _line(event: JsonObject, received_at: datetime) -> EventLine:
    kind = str(event["event"])
    provider_id = text(event.get("sg_message_id"))
    message_id = our_message_id(event.get(TRACE_KEY), event.get("smtp-id"))
    suppression = _suppression(kind, event)
    return ReportedEvent(
        event_id=text(event.get("sg_event_id"))
        or derived_id(
            kind,
            event.get("email"),
            message_id,
            provider_id,
            event.get("timestamp"),
            event.get("url"),
            event.get("asm_group_id"),
        ),
        event_type="email_suppressed" if suppression else _TYPES[kind],
        occurred_at=from_epoch(event.get("timestamp")),
        received_at=received_at,
        message_id=message_id,
        # The id that the SMTP relay returned, without the suffix of the sending server.
        provider_message_id=provider_id.partition(".")[0] if provider_id else None,
        email=text(event.get("email")),
        user_agent=event.get("useragent"),
        # For a delivery it is the address of the sending server.
        ip_address=event.get("ip") if kind in ("open", "click") else None,
        url=event.get("url"),
        data={
            "bounce_type": _bounce_type(event) if kind == "bounce" else None,
            "suppression_reason": suppression,
            "reason": reason(event.get("reason")),
            "response": reason(event.get("response")),
            "status": text(event.get("status")),
            "machine": True if event.get("sg_machine_open") is True else None,
            "unsubscribe_group": event.get("asm_group_id") if "unsubscribe" in kind else None,
        },
    ).line()


def _suppression(kind: str, event: JsonObject) -> str | None:
    """Return the reason for which SendGrid dropped a message; None if it has another cause."""
    if kind != "dropped":
        return None
    why = str(event.get("reason", "")).lower()
    return next((reason for start, reason in _ON_A_LIST.items() if why.startswith(start)), None)


def _bounce_type(event: JsonObject) -> str:
    kind = text(event.get("type")) or "bounce"
    return _BOUNCE_TYPES.get(kind, kind)
