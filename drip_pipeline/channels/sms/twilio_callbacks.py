"""Callbacks of a Twilio-compatible provider: check the signature, translate status reports and
inbound SMS into the event vocabulary.

Pure functions: requests are received in receiver/, contacts are resolved in engine/events.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from drip_pipeline.domain.addresses import Unusable, parse_phone
from drip_pipeline.domain.events.sms_keywords import SmsKeyword, keyword_of
from drip_pipeline.settings import Secret

_OPT_OUT_TYPES: Final[Mapping[str, SmsKeyword]] = {"stop": "stop", "start": "start", "help": "help"}
"""What Twilio has read itself, in the languages of the account."""
_OPTED_OUT: Final = "21610"
"""The error of a message to a number that has opted out."""
_EVENT_OF_STATUS: Final[Mapping[str, str]] = {
    "delivered": "sms_delivered",
    "undelivered": "sms_failed",
    "failed": "sms_failed",
}


@dataclass(frozen=True, slots=True)
class InboundSms:
    """An SMS from a contact; `keyword` is what it requests, None without a keyword."""

    provider_id: str
    sender: str
    recipient: str
    keyword: SmsKeyword | None

    @property
    def event_type(self) -> str:
        """The event type of the vocabulary."""
        return "sms_opted_out" if self.keyword == "stop" else "sms_replied"


def is_signed(auth_token: Secret, url: str, form: Mapping[str, str], signature: str) -> bool:
    """Verify `X-Twilio-Signature`: HMAC-SHA1 over the full URL and the sorted fields."""
    text = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    digest = hmac.digest(auth_token.reveal().encode(), text.encode(), "sha1")
    return hmac.compare_digest(base64.b64encode(digest), signature.encode())


def read_status(form: Mapping[str, str], message_id: str | None) -> dict[str, object] | None:
    """Translate a status report into a line of an events file, without its time; None for an
    intermediate status (queued, sent). `message_id` comes from the callback's URL.
    """
    status = (form.get("MessageStatus") or form.get("SmsStatus") or "").lower()
    event_type = _EVENT_OF_STATUS.get(status)
    if event_type == "sms_failed" and form.get("ErrorCode") == _OPTED_OUT:
        event_type = "sms_opted_out"
    sid = form.get("MessageSid") or form.get("SmsSid")
    if event_type is None or not sid:
        return None
    data = {"status": status, "provider_message_id": sid}
    if form.get("ErrorCode"):
        data["reason"] = f"twilio_{form['ErrorCode']}"
    line: dict[str, object] = {
        "event_id": f"{sid}:{status}",
        "event_type": event_type,
        "data": data,
    }
    if message_id:
        line["message_id"] = message_id
    line["provider_message_id"] = sid
    return line


def read_inbound(form: Mapping[str, str]) -> InboundSms | None:
    """Parse an inbound SMS; None if the form has none. The text itself is not stored."""
    sid = form.get("MessageSid") or form.get("SmsSid")
    sender = parse_phone(form.get("From", ""))
    if not sid or isinstance(sender, Unusable) or "Body" not in form:
        return None
    return InboundSms(sid, sender, form.get("To", ""), _keyword(form))


def _keyword(form: Mapping[str, str]) -> SmsKeyword | None:
    return _OPT_OUT_TYPES.get(form.get("OptOutType", "").lower()) or keyword_of(form["Body"])
