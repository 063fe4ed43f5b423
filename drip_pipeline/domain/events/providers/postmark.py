"""Postmark webhooks: one event per request, distinguished by RecordType; inbound email has none."""

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
    items,
    json_object,
    mapping,
    our_message_id,
    reason,
    text,
)
from drip_pipeline.domain.events.providers.replies import lower_case, reply_line

METADATA_KEY: Final = TRACE_KEY.replace("_", "-")
"""Postmark takes metadata from header names, which have hyphens."""
_PERMANENT, _PASSING, _BLOCKED = "permanent", "soft", "blocked"
# Bounce type → (event type, `bounce_type`). None: not a bounce of an address.
_BOUNCES: Final[Mapping[str, tuple[str, str | None] | None]] = {
    "HardBounce": ("email_bounced", _PERMANENT),
    "BadEmailAddress": ("email_bounced", _PERMANENT),
    "SoftBounce": ("email_bounced", _PASSING),
    "Undeliverable": ("email_bounced", _PASSING),
    "Unknown": ("email_bounced", _PASSING),
    "Blocked": ("email_bounced", _BLOCKED),
    "DMARCPolicy": ("email_bounced", _BLOCKED),
    "SpamNotification": ("email_bounced", _BLOCKED),
    "VirusNotification": ("email_bounced", _BLOCKED),
    "Transient": ("email_deferred", None),
    "DnsError": ("email_deferred", None),
    "OpenRelayTest": ("email_deferred", None),
    "Unsubscribe": ("email_unsubscribed", None),
    "SpamComplaint": ("email_complained", None),
    "ManuallyDeactivated": ("email_suppressed", None),
    "Unconfirmed": ("email_failed", None),
    "SMTPApiError": ("email_failed", None),
    "TemplateRenderingFailed": ("email_failed", None),
    # An automatic answer is neither a bounce nor a reply.
    "AutoResponder": None,
    "AddressChange": None,
    "ChallengeVerification": None,
    "Subscribe": None,
    "InboundError": None,
}
_CHANGES: Final[Mapping[str, tuple[str, str | None]]] = {
    "HardBounce": ("email_bounced", _PERMANENT),
    "SpamComplaint": ("email_complained", None),
}


def read(payload: bytes, received_at: datetime) -> ParsedPayload:
    """Parse the event of a request. Raises PayloadInvalid."""
    event = json_object(payload)
    kind = event.get("RecordType")
    line: EventLine | None
    if kind in (None, "Inbound") and "FromFull" in event:
        line = _mail(event, received_at)
    elif kind == "Delivery":
        line = _line(event, "email_delivered", event.get("DeliveredAt"), received_at)
    elif kind == "Open":
        line = _line(event, "email_opened", event.get("ReceivedAt"), received_at)
    elif kind == "Click":
        line = _line(event, "email_clicked", event.get("ReceivedAt"), received_at)
    elif kind in ("Bounce", "SpamComplaint"):
        line = _bounce(event, received_at)
    elif kind == "SubscriptionChange":
        line = _change(event, received_at)
    else:
        raise PayloadInvalid("the call is of an unknown kind")
    return ParsedPayload(ignored=1) if line is None else ParsedPayload([line])


def _bounce(event: JsonObject, received_at: datetime) -> EventLine | None:
    kind = str(event.get("Type") or event.get("RecordType"))
    if kind not in _BOUNCES:
        raise PayloadInvalid("the bounce is of an unknown kind")
    meaning = _BOUNCES[kind]
    if meaning is None:
        return None
    event_type, bounce_type = meaning
    return _line(event, event_type, event.get("BouncedAt"), received_at, bounce_type)


def _change(event: JsonObject, received_at: datetime) -> EventLine | None:
    if event.get("SuppressSending") is False and event.get("Origin") == "Recipient":
        return _line(event, "email_resubscribed", event.get("ChangedAt"), received_at)
    if event.get("SuppressSending") is not True:
        return None
    event_type, bounce_type = _CHANGES.get(
        str(event.get("SuppressionReason")), ("email_unsubscribed", None)
    )
    return _line(event, event_type, event.get("ChangedAt"), received_at, bounce_type)


def _line(
    event: JsonObject,
    event_type: str,
    at: object,
    received_at: datetime,
    bounce_type: str | None = None,
) -> EventLine:
    location = dict(mapping(event.get("Geo")))
    ip_address = location.pop("IP", None)
    number = event.get("ID")
    provider_id = text(event.get("MessageID"))
    recipient = text(event.get("Email")) or text(event.get("Recipient"))
    message_id = our_message_id(mapping(event.get("Metadata")).get(METADATA_KEY))
    has_reason = bounce_type is not None or event_type in ("email_deferred", "email_failed")
    return ReportedEvent(
        event_id=str(number)
        if isinstance(number, int)
        else derived_id(
            event.get("RecordType"),
            recipient,
            message_id,
            provider_id,
            at,
            event.get("OriginalLink"),
            event.get("SuppressionReason"),
        ),
        event_type=event_type,
        occurred_at=text(at),
        received_at=received_at,
        message_id=message_id,
        provider_message_id=provider_id,
        email=recipient,
        user_agent=event.get("UserAgent"),
        ip_address=ip_address,
        url=event.get("OriginalLink"),
        data={
            "bounce_type": bounce_type,
            "bounce_subtype": text(event.get("Type")) if has_reason else None,
            "reason": reason(event.get("Details")) if has_reason else None,
            "location": {name: value for name, value in location.items() if value} or None,
        },
    ).line()


def _mail(event: JsonObject, received_at: datetime) -> EventLine | None:
    headers = [mapping(each) for each in items(event.get("Headers"))]
    return reply_line(
        lower_case((each.get("Name"), each.get("Value")) for each in headers),
        received_at=received_at,
        sender=text(event.get("From")),
        recipients=[event.get("OriginalRecipient"), event.get("To")],
        event_id=text(event.get("MessageID")),
    )
