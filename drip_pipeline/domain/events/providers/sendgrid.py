"""SendGrid's event webhook: a list of events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from drip_pipeline.domain.events.providers.common import (
    TRACE_KEY,
    PayloadInvalid,
    Reading,
    derived_id,
    event_line,
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
}
_UNHEEDED: Final = frozenset({"processed", "group_resubscribe", "account_status_change"})
_ON_A_LIST: Final = (
    "bounced address",
    "unsubscribed address",
    "spam reporting address",
    "invalid",
)


def read(payload: bytes, received_at: datetime) -> Reading:
    """The events of a call. Raises PayloadInvalid."""
    events = json_of(payload)
    if not isinstance(events, list):
        raise PayloadInvalid("the payload is not a list of events")
    reading = Reading()
    for event in events:
        if not isinstance(event, dict):
            reading.problems.append("an event is not a JSON object")
        elif event.get("event") in _UNHEEDED:
            reading.ignored += 1
        elif event.get("event") not in _TYPES:
            reading.problems.append("an event is of a kind that is not known")
        else:
            reading.lines.append(_line(event, received_at))
    return reading


def _line(event: Mapping[str, Any], received_at: datetime) -> dict[str, Any]:
    kind = str(event["event"])
    provider_id = text(event.get("sg_message_id"))
    return event_line(
        event_id=text(event.get("sg_event_id"))
        or derived_id(kind, provider_id, event.get("timestamp"), event.get("url")),
        event_type=_type(kind, event),
        occurred_at=from_epoch(event.get("timestamp")),
        received_at=received_at,
        message_id=our_message_id(event.get(TRACE_KEY), event.get("smtp-id")),
        # What the relay called it when it took it, without the machine that sent it.
        provider_message_id=provider_id.partition(".")[0] if provider_id else None,
        email=text(event.get("email")),
        user_agent=event.get("useragent"),
        # Of a delivery it is the address that the mail left from.
        ip_address=event.get("ip") if kind in ("open", "click") else None,
        url=event.get("url"),
        data={
            "bounce_type": _bounce_type(event) if kind == "bounce" else None,
            "reason": reason(event.get("reason")),
            "response": reason(event.get("response")),
            "status": text(event.get("status")),
            "machine": True if event.get("sg_machine_open") is True else None,
            "unsubscribe_group": event.get("asm_group_id") if "unsubscribe" in kind else None,
        },
    )


def _type(kind: str, event: Mapping[str, Any]) -> str:
    why = str(event.get("reason", "")).lower()
    if kind == "dropped" and why.startswith(_ON_A_LIST):
        return "email_suppressed"
    return _TYPES[kind]


def _bounce_type(event: Mapping[str, Any]) -> str:
    """`blocked` is the content's or the sender's fault, not the address's."""
    return "blocked" if event.get("type") in ("blocked", "expired") else "permanent"
