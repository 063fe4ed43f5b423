"""Amazon SES through SNS: event publishing of a configuration set, feedback notifications of an
identity (nearly the same format), and inbound email.
"""

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
    items,
    json_object,
    mapping,
    our_message_id,
    reason,
    text,
)
from drip_pipeline.domain.events.providers.replies import lower_case, reply_line

_TYPES: Final[Mapping[str, str]] = {
    "bounce": "email_bounced",
    "complaint": "email_complained",
    "delivery": "email_delivered",
    "open": "email_opened",
    "click": "email_clicked",
    "reject": "email_failed",
    "rendering failure": "email_failed",
    "deliverydelay": "email_deferred",
}
_PART_OF: Final[Mapping[str, str]] = {
    "rendering failure": "failure",
    "deliverydelay": "deliveryDelay",
}
_TEST_NOTICE: Final = "Successfully validated SNS topic"


def read(payload: bytes, received_at: datetime) -> ParsedPayload:
    """Parse the events of an SNS message. Raises PayloadInvalid."""
    notice = json_object(payload)
    parsed = ParsedPayload()
    content = text(notice.get("Message")) or ""
    if notice.get("Type") != "Notification" or content.startswith(_TEST_NOTICE):
        parsed.ignored = 1
        return parsed
    event = json_object(content.encode())
    kind = str(event.get("eventType") or event.get("notificationType") or "").lower()
    notice_id = text(notice.get("MessageId"))
    if notice_id is None:
        raise PayloadInvalid("the notification has no MessageId")
    if kind == "received":
        _read_mail(event, notice_id, received_at, parsed)
    elif kind == "subscription":
        _read_subscription(event, notice_id, received_at, parsed)
    elif kind == "send":
        parsed.ignored = 1
    elif kind in _TYPES:
        _read_event(kind, event, notice_id, received_at, parsed)
    else:
        raise PayloadInvalid("the notification is of an unknown kind")
    return parsed


def _read_event(
    kind: str, event: JsonObject, notice_id: str, received_at: datetime, parsed: ParsedPayload
) -> None:
    part = mapping(event.get(_PART_OF.get(kind, kind)))
    if kind == "complaint" and part.get("complaintFeedbackType") == "not-spam":
        parsed.ignored = 1  # the opposite of a complaint
        return
    mail = mapping(event.get("mail"))
    at = text(part.get("timestamp"))
    data = _data(kind, part)
    recipients = _recipients(kind, part, mail) or [None]
    for number, recipient in enumerate(recipients):
        parsed.lines.append(
            ReportedEvent(
                event_id=notice_id if number == 0 else f"{notice_id}:{number}",
                event_type=_TYPES[kind],
                occurred_at=at,
                received_at=received_at,
                email=recipient,
                user_agent=part.get("userAgent"),
                ip_address=part.get("ipAddress"),
                url=part.get("link"),
                message_id=_our_id(mail),
                provider_message_id=text(mail.get("messageId")),
                data=data if kind != "bounce" else data | _of_bounced(part, number),
            ).line()
        )


def _our_id(mail: JsonObject) -> str | None:
    headers = _headers(mail)
    tags = mapping(mail.get("tags")).get(TRACE_KEY)
    tag = tags[0] if isinstance(tags, list) and tags else None
    common = mapping(mail.get("commonHeaders"))
    return our_message_id(tag, headers.get("message-id"), common.get("messageId"))


def _data(kind: str, part: JsonObject) -> EventLine:
    if kind == "bounce":
        return {
            "bounce_type": str(part.get("bounceType", "undetermined")).lower(),
            "bounce_subtype": text(part.get("bounceSubType")),
        }
    if kind == "complaint":
        return {"complaint_type": text(part.get("complaintFeedbackType"))}
    if kind == "delivery":
        return {"response": reason(part.get("smtpResponse"))}
    if kind == "deliverydelay":
        return {"reason": text(part.get("delayType"))}
    return {"reason": reason(part.get("reason") or part.get("errorMessage"))}


def _of_bounced(part: JsonObject, number: int) -> EventLine:
    bounced = items(part.get("bouncedRecipients"))
    recipient = mapping(bounced[number]) if number < len(bounced) else {}
    return {
        "reason": reason(recipient.get("diagnosticCode")),
        "status": text(recipient.get("status")),
    }


def _recipients(kind: str, part: JsonObject, mail: JsonObject) -> list[str | None]:
    field = {
        "bounce": "bouncedRecipients",
        "complaint": "complainedRecipients",
        "deliverydelay": "delayedRecipients",
    }.get(kind)
    if field is not None:
        return [text(mapping(each).get("emailAddress")) for each in items(part.get(field))]
    addresses = items(part.get("recipients")) or items(mail.get("destination"))
    return [text(each) for each in addresses]


def _read_subscription(
    event: JsonObject, notice_id: str, received_at: datetime, parsed: ParsedPayload
) -> None:
    part = mapping(event.get("subscription"))
    preferences = mapping(part.get("newTopicPreferences"))
    topics = [mapping(each) for each in items(preferences.get("topicSubscriptionStatus"))]
    if preferences.get("unsubscribeAll") is not True and not any(
        topic.get("subscriptionStatus") == "OptOut" for topic in topics
    ):
        parsed.ignored = 1
        return
    mail = mapping(event.get("mail"))
    recipients = [text(each) for each in items(mail.get("destination"))]
    parsed.lines.append(
        ReportedEvent(
            event_id=notice_id,
            event_type="email_unsubscribed",
            occurred_at=text(part.get("timestamp")),
            received_at=received_at,
            email=recipients[0] if recipients else None,
            message_id=_our_id(mail),
            provider_message_id=text(mail.get("messageId")),
            data={"reason": text(part.get("source"))},
        ).line()
    )


def _read_mail(
    event: JsonObject, notice_id: str, received_at: datetime, parsed: ParsedPayload
) -> None:
    mail = mapping(event.get("mail"))
    line = reply_line(
        _headers(mail),
        received_at=received_at,
        sender=text(mail.get("source")),
        recipients=items(mapping(event.get("receipt")).get("recipients")),
        occurred_at=text(mail.get("timestamp")),
        event_id=notice_id,
    )
    if line is None:
        parsed.ignored = 1
    else:
        parsed.lines.append(line)


def _headers(mail: JsonObject) -> dict[str, str]:
    headers = [mapping(each) for each in items(mail.get("headers"))]
    return lower_case((each.get("name"), each.get("value")) for each in headers)
