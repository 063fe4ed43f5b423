"""Payloads in the format that the providers document, with invented recipients."""

from __future__ import annotations

from typing import Any, Final

import orjson

OURS: Final = "0b9c6e52-7d4a-5f0e-9c1d-2a3b4c5d6e7f"
EMAIL: Final = "ada@example.com"
AGENT: Final = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"
)
LINK: Final = "https://shop.example.com/sale?a=1&b=2"
AT: Final = "2026-03-02T09:05:00.000Z"
SECONDS: Final = 1772442300


# --- Amazon SES -----------------------------------------------------------------------------------

SES_MAIL: Final[dict[str, Any]] = {
    "timestamp": "2026-03-02T09:00:00.000Z",
    "source": "Shop <hello@example.com>",
    "sourceArn": "arn:aws:ses:eu-central-1:123456789012:identity/example.com",
    "sendingAccountId": "123456789012",
    "messageId": "0107018dfb2c1a2b-6f1d2c3b-0000-4a4a-8b8b-000000000001-000000",
    "destination": [EMAIL],
    "headersTruncated": False,
    "headers": [
        {"name": "From", "value": "Shop <hello@example.com>"},
        {"name": "To", "value": EMAIL},
        {"name": "Subject", "value": "Hello"},
        {"name": "Message-ID", "value": f"<{OURS}@example.com>"},
    ],
    "commonHeaders": {
        "from": ["Shop <hello@example.com>"],
        "to": [EMAIL],
        "messageId": "0107018dfb2c1a2b-6f1d2c3b-0000-4a4a-8b8b-000000000001-000000",
        "subject": "Hello",
    },
    "tags": {
        "ses:configuration-set": ["drip"],
        "ses:from-domain": ["example.com"],
        "drip_message_id": [OURS],
    },
}

SES_PARTS: Final[dict[str, dict[str, Any]]] = {
    "bounce": {
        "eventType": "Bounce",
        "bounce": {
            "feedbackId": "0107018dfb2c-bounce-000000",
            "bounceType": "Permanent",
            "bounceSubType": "General",
            "bouncedRecipients": [
                {
                    "emailAddress": EMAIL,
                    "action": "failed",
                    "status": "5.1.1",
                    "diagnosticCode": "smtp; 550 5.1.1 user unknown",
                }
            ],
            "timestamp": AT,
            "reportingMTA": "dns; mta.example.com",
        },
    },
    "full mailbox": {
        "eventType": "Bounce",
        "bounce": {
            "bounceType": "Transient",
            "bounceSubType": "MailboxFull",
            "bouncedRecipients": [{"emailAddress": EMAIL}],
            "timestamp": AT,
        },
    },
    "complaint": {
        "notificationType": "Complaint",
        "complaint": {
            "userAgent": "ExampleCorp Feedback Loop (V0.01)",
            "complainedRecipients": [{"emailAddress": EMAIL}],
            "complaintFeedbackType": "abuse",
            "arrivalDate": AT,
            "timestamp": AT,
            "feedbackId": "0107018dfb2c-complaint-000000",
        },
    },
    "delivery": {
        "eventType": "Delivery",
        "delivery": {
            "timestamp": AT,
            "processingTimeMillis": 11893,
            "recipients": [EMAIL],
            "smtpResponse": "250 2.6.0 Message received",
            "remoteMtaIp": "192.0.2.9",
            "reportingMTA": "mta.example.com",
        },
    },
    "open": {
        "eventType": "Open",
        "open": {"ipAddress": "192.0.2.1", "timestamp": AT, "userAgent": AGENT},
    },
    "click": {
        "eventType": "Click",
        "click": {
            "ipAddress": "192.0.2.1",
            "timestamp": AT,
            "userAgent": AGENT,
            "link": LINK,
            "linkTags": None,
        },
    },
    "reject": {"eventType": "Reject", "reject": {"reason": "Bad content"}},
    "rendering failure": {
        "eventType": "Rendering Failure",
        "failure": {"errorMessage": "Attribute 'x' is not present", "templateName": "T"},
    },
    "send": {"eventType": "Send", "send": {}},
}


def ses(part: dict[str, Any], mail: dict[str, Any] = SES_MAIL) -> dict[str, Any]:
    """An SNS message with this event."""
    return {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": "arn:aws:sns:eu-central-1:123456789012:ses-events",
        "Subject": "Amazon SES Email Event Notification",
        "Message": orjson.dumps({**part, "mail": mail}).decode(),
        "Timestamp": AT,
        "SignatureVersion": "1",
        "Signature": "none",
        "SigningCertURL": "https://sns.eu-central-1.amazonaws.com/cert.pem",
        "UnsubscribeURL": "https://sns.eu-central-1.amazonaws.com/?Action=Unsubscribe",
    }


# --- SendGrid -------------------------------------------------------------------------------------


def sendgrid(event: str, number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "email": EMAIL,
        "timestamp": SECONDS,
        "smtp-id": f"<{OURS}@example.com>",
        "event": event,
        "category": ["drip"],
        "sg_event_id": f"ZGVsaXZlcmVkLTAtMTIzNDU2{number}",
        "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",
        "drip_message_id": OURS,
        **fields,
    }


SENDGRID: Final[dict[str, dict[str, Any]]] = {
    "processed": sendgrid("processed"),
    "deferred": sendgrid("deferred", response="400 try again later", attempt="5"),
    "delivered": sendgrid("delivered", response="250 OK", ip="192.0.2.9", tls=1),
    "open": sendgrid("open", useragent=AGENT, ip="192.0.2.1", sg_machine_open=False),
    "machine open": sendgrid("open", useragent="Mozilla/5.0", ip="192.0.2.1", sg_machine_open=True),
    "click": sendgrid(
        "click", useragent=AGENT, ip="192.0.2.1", url=LINK, url_offset={"index": 0, "type": "html"}
    ),
    "bounce": sendgrid(
        "bounce", reason="550 5.1.1 user unknown", status="5.1.1", type="bounce",
        bounce_classification="Invalid Address",
    ),
    "blocked": sendgrid("bounce", reason="550 spam", status="5.7.1", type="blocked"),
    "dropped": sendgrid("dropped", reason="Bounced Address", status="5.0.0"),
    "dropped for its content": sendgrid("dropped", reason="Spam Content"),
    "spamreport": sendgrid("spamreport"),
    "unsubscribe": sendgrid("unsubscribe"),
    "group_unsubscribe": sendgrid(
        "group_unsubscribe", useragent=AGENT, ip="192.0.2.1", asm_group_id=10
    ),
    "group_resubscribe": sendgrid("group_resubscribe", asm_group_id=10),
}  # fmt: skip


# --- Postmark -------------------------------------------------------------------------------------


def postmark(kind: str, **fields: Any) -> dict[str, Any]:
    return {
        "RecordType": kind,
        "MessageStream": "broadcast",
        "ServerID": 23,
        "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
        "Tag": "",
        "Metadata": {"drip-message-id": OURS},
        **fields,
    }


_BOUNCE: Final[dict[str, Any]] = {
    "ID": 4323372036854775807,
    "Name": "Hard bounce",
    "Description": "The server was unable to deliver your message",
    "Details": "smtp;550 5.1.1 user unknown",
    "Email": EMAIL,
    "From": "hello@example.com",
    "BouncedAt": AT,
    "DumpAvailable": True,
    "Inactive": True,
    "CanActivate": True,
    "Subject": "Hello",
}
_LOOKED: Final[dict[str, Any]] = {
    "Recipient": EMAIL,
    "ReceivedAt": AT,
    "Platform": "Mobile",
    "Client": {"Name": "Mobile Safari", "Company": "Apple Inc.", "Family": "Safari"},
    "OS": {"Name": "iOS 17", "Company": "Apple Inc.", "Family": "iOS"},
    "UserAgent": AGENT,
    "Geo": {
        "CountryISOCode": "DE", "Country": "Germany", "RegionISOCode": "BE", "Region": "Berlin",
        "City": "Berlin", "Zip": "", "Coords": "52.5,13.4", "IP": "192.0.2.1",
    },
}  # fmt: skip

POSTMARK: Final[dict[str, dict[str, Any]]] = {
    "delivery": postmark("Delivery", Recipient=EMAIL, DeliveredAt=AT, Details="250 OK"),
    "bounce": postmark("Bounce", Type="HardBounce", TypeCode=1, **_BOUNCE),
    "soft bounce": postmark("Bounce", Type="SoftBounce", TypeCode=4096, **_BOUNCE),
    "transient": postmark("Bounce", Type="Transient", TypeCode=2, **_BOUNCE),
    "vacation": postmark("Bounce", Type="AutoResponder", TypeCode=32, **_BOUNCE),
    "complaint": postmark("SpamComplaint", Type="SpamComplaint", TypeCode=512, **_BOUNCE),
    "open": postmark("Open", FirstOpen=True, **_LOOKED),
    "click": postmark("Click", ClickLocation="HTML", OriginalLink=LINK, **_LOOKED),
    "unsubscribe": postmark(
        "SubscriptionChange", ChangedAt=AT, Recipient=EMAIL, Origin="Recipient",
        SuppressSending=True, SuppressionReason="ManualSuppression",
    ),
    "reactivation": postmark(
        "SubscriptionChange", ChangedAt=AT, Recipient=EMAIL, Origin="Customer",
        SuppressSending=False, SuppressionReason=None, Metadata={},
    ),
}  # fmt: skip


def postmark_mail(**headers: str) -> dict[str, Any]:
    """A mail that came in."""
    return {
        "FromName": "Ada",
        "From": EMAIL,
        "FromFull": {"Email": EMAIL, "Name": "Ada", "MailboxHash": ""},
        "To": "answers@example.com",
        "OriginalRecipient": "answers@example.com",
        "Subject": "Re: Hello",
        "MessageID": "73e6d360-66eb-11e1-8e72-a8904824019b",
        "Date": "Mon, 2 Mar 2026 09:05:00 +0000",
        "TextBody": "Thank you",
        "Headers": [{"Name": n.replace("_", "-"), "Value": v} for n, v in headers.items()],
    }


# --- Mailgun --------------------------------------------------------------------------------------


def mailgun(event: str, **fields: Any) -> dict[str, Any]:
    return {
        "signature": {"timestamp": str(SECONDS), "token": "a" * 50, "signature": "none"},
        "event-data": {
            "event": event,
            "id": "MXcc2gEpS-eN8HfkOnmK2w",
            "timestamp": SECONDS + 0.372891,
            "log-level": "info",
            "recipient": EMAIL,
            "recipient-domain": "example.com",
            "tags": [],
            "user-variables": {},
            "flags": {"is-test-mode": False},
            "message": {
                "headers": {
                    "to": EMAIL, "from": "hello@example.com", "subject": "Hello",
                    "message-id": f"{OURS}@example.com",
                },
                "size": 341,
            },
            **fields,
        },
    }  # fmt: skip


_CLIENT: Final[dict[str, Any]] = {
    "ip": "192.0.2.1",
    "geolocation": {"country": "DE", "region": "BE", "city": "Berlin"},
    "client-info": {
        "client-name": "Mobile Safari", "client-type": "mobile browser", "client-os": "iOS",
        "device-type": "mobile", "user-agent": AGENT, "bot": "",
    },
}  # fmt: skip

MAILGUN: Final[dict[str, dict[str, Any]]] = {
    "accepted": mailgun("accepted"),
    "delivered": mailgun(
        "delivered", **{"delivery-status": {"code": 250, "message": "OK", "tls": True}}
    ),
    "failed permanently": mailgun(
        "failed", severity="permanent", reason="bounce",
        **{"delivery-status": {"code": 550, "message": "5.1.1 user unknown", "description": ""}},
    ),
    "failed for now": mailgun(
        "failed", severity="temporary", reason="generic",
        **{"delivery-status": {"code": 452, "message": "4.2.2 over quota", "retry-seconds": 600}},
    ),
    "rejected": mailgun("rejected", reject={"reason": "Sandbox", "description": ""}),
    "opened": mailgun("opened", **_CLIENT),
    "clicked": mailgun("clicked", url=LINK, **_CLIENT),
    "unsubscribed": mailgun("unsubscribed", **_CLIENT),
    "complained": mailgun("complained"),
}  # fmt: skip
